"""What pydantic finds wrong, said in the words of a spec: which option, what is allowed, which was meant."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Sequence

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from connectors.secret import Secret
from pipelines.plugins import did_you_mean
from pipelines.spec_file import Fault, Path

_SHOWN_CHARACTERS = 60
_SHOWN_FAULTS = 30


def option_faults(error: ValidationError, model: type[BaseModel], options: object, what: str) -> list[tuple[Path, str]]:
    """Return what is wrong with a model's options: each path below them once, and what is wrong there.

    Args:
        error: what pydantic found.
        model: the class that the options were for.
        options: the options as they were written.
        what: what the class is called in a spec, e.g. ``word_count``.
    """
    found: dict[Path, list[str]] = {}
    for detail in error.errors(include_url=False):
        path, message = _fault(detail, model, options, what)
        found.setdefault(path, []).append(message)
    # Of a union, the member that the options come nearest to says most: its faults are inside of the value.
    return [(path, _joined(messages)) for path, messages in found.items() if not _is_around(path, found)]


def unknown_option(name: str, model: type[BaseModel], what: str) -> str:
    """Return what to say of an option that a class does not have."""
    known = sorted(model.model_fields)
    listed = ", ".join(known) if known else "none, it takes no options"
    return f"unknown option {name!r} of {what}{did_you_mean(name, known) or ';'} known: {listed}"


def spec_message(origin: str, faults: Iterable[Fault]) -> str:
    """Return the one message that lists all faults, in the order of the file and no longer than a screen."""
    ordered = sorted(faults, key=lambda fault: (fault.place.line == 0, fault.place))
    lines = [f"  {fault}" for fault in ordered[:_SHOWN_FAULTS]]
    if len(ordered) > _SHOWN_FAULTS:
        lines.append(f"  … and {len(ordered) - _SHOWN_FAULTS} more")
    count = "1 fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    return "\n".join([f"{origin} is not a valid spec: {count}", *lines])


def shown(value: object) -> str:
    """Return a value as a message shows it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _fault(detail: ErrorDetails, model: type[BaseModel], options: object, what: str) -> tuple[Path, str]:
    location = detail["loc"]
    kind = detail["type"]
    if kind in ("extra_forbidden", "missing") and location:
        name, around = str(location[-1]), _written(location[:-1], options)
        if around:
            model, what = _owner(model, around), ".".join(map(str, around))
        say = unknown_option if kind == "extra_forbidden" else _missing_option
        return (*around, name), say(name, model, what)
    path = _written(location, options)
    if kind in ("value_error", "assertion_error"):
        # A validator's own words say of the value what may be said of it.
        return path, str(detail["ctx"]["error"])
    return path, _wrong_value(detail, hidden=_holds_secret(model, location))


def _missing_option(name: str, model: type[BaseModel], what: str) -> str:
    required = [one for one, field in model.model_fields.items() if field.is_required()]
    return f"missing option {name!r} of {what}; it needs: {', '.join(required) or name}"


def _wrong_value(detail: ErrorDetails, *, hidden: bool) -> str:
    message = re.sub(r", (unable to|got a number with).*", "", detail["msg"])
    given = detail["input"]
    expected = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    hint = did_you_mean(given, expected) if isinstance(given, str) and not hidden else ""
    if detail["type"] == "string_type" and isinstance(given, (bool, int, float)):
        hint = "; put it in quotes"
    must = re.sub(r"^Input should ", "must ", message)
    must = re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping", must)
    must = re.sub(r"a valid (tuple|list|set)", "a list", must)
    return f"{must}{hint}" if hidden else f"{must}, not {shown(given)}{hint}"


def _joined(messages: Sequence[str]) -> str:
    """Join what the members of a union say: ``must be a valid integer, or must be 'auto', not 'x'``."""
    unique = list(dict.fromkeys(messages))
    if len(unique) == 1:
        return unique[0]
    return ", or ".join(message.partition(", not ")[0] for message in unique[:-1]) + f", or {unique[-1]}"


def _written(location: tuple[int | str, ...], options: object) -> Path:
    """Return the part of pydantic's location that is in the file; the rest names members of unions and of tuples."""
    path: Path = ()
    for part in location:
        in_mapping = isinstance(options, dict) and part in options
        in_list = isinstance(options, list) and isinstance(part, int) and part < len(options)
        if in_mapping or in_list:
            options = typing.cast("dict[object, object]", options)[part]
            path = (*path, part)
        elif isinstance(part, int):
            # A mapping's items are pairs to pydantic, and the numbers that follow are not of the file.
            break
    return path


def _is_around(path: Path, others: Iterable[Path]) -> bool:
    return any(len(one) > len(path) and one[: len(path)] == path for one in others)


def _owner(model: type[BaseModel], location: Path) -> type[BaseModel]:
    """Return the model that stands at a location inside of another; the outer one where none can be told."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        inner = [one for one in _types(field.annotation) if _is_model(one)] if field else []
        if len(inner) == 1:
            model = typing.cast("type[BaseModel]", inner[0])
    return model


def _holds_secret(model: type[BaseModel], location: tuple[int | str, ...]) -> bool:
    """Tell whether an option on the way to a location may hold a secret, so that its value is not shown."""
    for part in location:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field and any(one in (Secret, SecretStr) for one in _types(field.annotation)):
            return True
        model = _owner(model, (part,))
    return False


def _types(annotation: object) -> list[object]:
    inside = typing.get_args(annotation)
    return [one for argument in inside for one in _types(argument)] if inside else [annotation]


def _is_model(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, BaseModel)
