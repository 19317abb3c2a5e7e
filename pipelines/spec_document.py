"""A pipeline as plain data: what a spec file holds, and what its hash is taken of."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from pipelines.errors import SpecError
from pipelines.plugins import KINDS, STEP, Kind, Registry

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline


def to_document(pipeline: Pipeline, *, exact: bool) -> dict[str, object]:
    """Return the spec of a pipeline as what YAML and JSON can hold, with all defaults written out.

    Sections that are not used are left out.

    Args:
        pipeline: the pipeline.
        exact: refuse what would not come back as it was; without, a function that cannot be imported is
            written with a digest of its code, and rows in memory as a digest of their content.

    Raises:
        SpecError: an option holds something that is not data; or, when exact, that would not come back.
    """
    registry = Registry.installed()
    document: dict[str, object] = {"version": pipeline.version, "name": pipeline.name}
    for kind in KINDS:
        held = getattr(pipeline, kind.section)
        if kind is STEP:
            entries = [_entry(registry, kind, step, f"steps[{at}]", exact) for at, step in enumerate(held)]
            if entries:
                document[kind.section] = entries
        elif held is not None:
            document[kind.section] = _entry(registry, kind, held, kind.section, exact)
    document["session"] = _options(pipeline.session, "session", exact)
    if pipeline.checkpoint is not None:
        document["checkpoint"] = pipeline.checkpoint
    document["baselines"] = pipeline.baselines
    document["incremental"] = pipeline.incremental
    if pipeline.schema_contract is not None:
        document["schema_contract"] = pipeline.schema_contract.to_spec()
    return document


def document_hash(pipeline: Pipeline) -> str:
    """Return SHA-256, in hexadecimal, over the canonical JSON of a pipeline; see `Pipeline.spec_hash`."""
    document = to_document(pipeline, exact=False)
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _entry(registry: Registry, kind: Kind, plugin: BaseModel, where: str, exact: bool) -> dict[str, object]:
    name = registry.name_of(kind, type(plugin))
    return {
        "type": _name(type(plugin), where, exact) if ":" in name else name,
        **_options(plugin, where, exact),
    }


def _options(model: BaseModel, where: str, exact: bool) -> dict[str, object]:
    return {field: _option(model, field, f"{where}.{field}", exact) for field in type(model).model_fields}


def _option(model: BaseModel, field: str, where: str, exact: bool) -> object:
    digest = getattr(getattr(model, field), "digest", None)
    if isinstance(digest, str) and not exact:
        return f"sha256:{digest}"
    try:
        value = model.model_dump(mode="python", include={field})[field]
    except PydanticSerializationError as error:
        reason = re.sub(r"^Error calling function `.*?`: \w+: ", "", str(error))
        raise SpecError(f"{where}: {reason}") from error
    if is_mapping_option(type(model).model_fields[field].annotation):
        value = dict(value)
    return _plain(value, where, exact)


def is_mapping_option(annotation: object) -> bool:
    """Tell whether an option is a mapping that is kept as sorted pairs: ``tuple[tuple[str, X], ...]``.

    Such an option is written as a mapping, and its class takes one.
    """
    outer = typing.get_args(annotation)
    if typing.get_origin(annotation) is not tuple or len(outer) != 2 or outer[1] is not Ellipsis:
        return False
    inner = typing.get_args(outer[0])
    return typing.get_origin(outer[0]) is tuple and len(inner) == 2 and inner[0] is str and inner[1] is not Ellipsis


def _plain(value: object, where: str, exact: bool) -> object:
    """Return a value as plain data; mappings keep their order."""
    if isinstance(value, Enum):
        return _plain(value.value, where, exact)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}", exact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{at}]", exact) for at, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, where, exact) for item in value), key=str)
    if callable(value):
        return _name(value, where, exact)
    raise SpecError(
        f"{where}: a value of type {type(value).__module__}.{type(value).__qualname__} is not data; an "
        "option is text, a number, a list, a mapping, a function, or a Secret by its reference"
    )


def _name(thing: object, where: str, exact: bool) -> str:
    """Return ``module:name`` of a class or a callable, with a digest of its code where that finds nothing."""
    found = _importable_name(thing)
    if found is not None:
        return found
    qualname = getattr(thing, "__qualname__", None) or repr(thing)
    if exact:
        raise SpecError(
            f"{where}: {qualname} cannot be written to YAML, as no other process could import it by "
            "a name; define it at the top of a module of yours (not in a notebook, not as a lambda) and give it "
            "as module:name"
        )
    digest = hashlib.sha256(json.dumps(_code(thing)).encode("ascii")).hexdigest()
    module = getattr(thing, "__module__", type(thing).__module__)
    return f"{module}:{getattr(thing, '__qualname__', type(thing).__qualname__)}@{digest[:16]}"


def _importable_name(thing: object) -> str | None:
    module, qualname = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not module or not qualname or module == "__main__":
        return None
    found: object = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return f"{module}:{qualname}" if found is thing else None


def _code(thing: object) -> object:
    """Return what a callable does, as data that is the same in every process of one version of Python."""
    if isinstance(thing, partial):
        return [
            "partial",
            _code(thing.func),
            _plain_or_type(thing.args),
            _plain_or_type(thing.keywords),
        ]
    if isinstance(thing, types.FunctionType):
        closed = [_plain_or_type(cell.cell_contents) for cell in thing.__closure__ or ()]
        given = [_plain_or_type(thing.__defaults__), _plain_or_type(thing.__kwdefaults__)]
        return ["function", _compiled(thing.__code__), closed, given]
    return [
        "object",
        f"{type(thing).__module__}:{type(thing).__qualname__}",
        str(getattr(thing, "__qualname__", "")),
    ]


def _compiled(code: types.CodeType) -> object:
    constants = [_compiled(one) if isinstance(one, types.CodeType) else _plain_or_type(one) for one in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), constants]


def _plain_or_type(value: object) -> object:
    try:
        return _plain(value, "", exact=False)
    except SpecError:
        return f"{type(value).__module__}:{type(value).__qualname__}"
