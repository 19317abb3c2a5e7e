"""Functions of the user's among a step's options: by name where they have one, else themselves."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pydantic import WithJsonSchema

FUNCTION_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^[^:]+:[^:]+$"})
"""What a function is in YAML: ``module:function``."""

Function = Callable[..., Any]


def kept_by_name(function: str | Function) -> str | Function:
    """Return the name that a function can be imported by, or the function where it has none.

    Raises:
        ValueError: a name names no function; the message says what is missing.
    """
    if isinstance(function, str):
        _imported(function)
        return function
    return _importable_name(function) or function


def load_function(function: str | Function) -> Function:
    """Return the function that ``module:function`` names, or the one given.

    Raises:
        ValueError: there is none; the message says what is missing.
    """
    return _imported(function) if isinstance(function, str) else function


def shown_name(function: str | Function) -> str:
    """Return what to call a function in a message."""
    return function if isinstance(function, str) else getattr(function, "__qualname__", "of yours")


def arrow_type(name: str) -> pa.DataType:
    """Return the Arrow type of a name such as ``int64`` or ``list<string>``.

    Raises:
        ValueError: Arrow has no type of that name.
    """
    if name.startswith("list<") and name.endswith(">"):
        return pa.list_(arrow_type(name.removeprefix("list<").removesuffix(">")))
    try:
        return pa.type_for_alias(name)
    except ValueError:
        raise ValueError(
            f"{name!r} is no name of an Arrow type that has one; such are: string, bool, int32, int64, "
            "float32, float64, date32, timestamp[us], binary, and lists of them, like list<string>"
        ) from None


def _imported(name: str) -> Function:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise ValueError(f"{name!r} does not name a function; write module:function, like my_steps:short_only")
    try:
        found: object = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(
            f"{name!r}: importing {module_name} failed with {type(error).__name__}: {error}; the module must "
            "be installed, or beside the spec, or in the directory that the command is run from"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            functions = sorted(key for key, one in vars(found).items() if callable(one) and not key.startswith("_"))
            raise ValueError(f"{name!r}: {module_name} has no {path}; it has: {', '.join(functions) or 'no functions'}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{name!r} is of type {type(found).__name__}, and not a function")
    return found


def _importable_name(function: Function) -> str | None:
    """Return ``module:function``, or None where another process would not find the function by it."""
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not path or module == "__main__":
        return None
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return f"{module}:{path}" if found is function else None
