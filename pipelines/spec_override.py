"""Overrides of a spec from the command line: ``train.epochs=3``, ``steps.word_count.min=4``."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from pipelines.plugins import did_you_mean
from pipelines.spec_file import Document, Fault, Path, Place, read_scalar, show_path

_PART = re.compile(r"""\.?(?P<key>[\w-]+)|\[(?P<index>\d+)\]|\[(?P<quote>["'])(?P<quoted>.+?)(?P=quote)\]""")
_FORM = 'write key=value, like train.epochs=3, steps[0].min=4, steps.split.test=0.1, session.spark_conf["a.b"]=c'


class _OverrideError(ValueError):
    """An override cannot be applied; the message says why."""


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """Return a document with values replaced or added, and a fault for each override that does not fit.

    A key is a dotted path. A part of it after a list is a position (``steps[0]``) or the type of the one
    plug-in that is meant (``steps.word_count``); a part that holds dots itself is given as ``["a.b"]``.
    Values are read as YAML, so ``null``, ``[a, b]`` and ``{type: csv}`` mean what they mean in the file.
    Mappings that are not there are made.

    Args:
        document: what the file says.
        overrides: ``key=value`` each; a later one wins.
    """
    value = copy.deepcopy(document.value)
    places, faults = dict(document.places), list(document.faults)
    for override in overrides:
        parts, text = _split(override)
        # The value is not shown: it may be what should have been a secret's reference.
        place = Place(0, f"--set {show_path(parts) if parts else override.partition('=')[0]}")
        try:
            if not parts or text is None:
                raise _OverrideError(f"this is not an override; {_FORM}")
            value, path = _replace(value, (), parts, _read(text))
        except _OverrideError as error:
            faults.append(Fault(place, (), str(error)))
            continue
        written = tuple(map(str, path))
        places = {one: at for one, at in places.items() if one[: len(written)] != written}
        # What is around the value and was not there before has come with it.
        made = (written[:size] for size in range(1, len(written) + 1))
        places.update({one: place for one in made if one not in places})
    return Document(value, places, tuple(faults))


def _split(override: str) -> tuple[Path, str | None]:
    """Return the parts of an override's key and the text of its value; no parts or None where it has none."""
    parts: list[str | int] = []
    position = 0
    while match := _PART.match(override, position):
        index = match["index"]
        parts.append(int(index) if index is not None else match["key"] or match["quoted"])
        position = match.end()
    return tuple(parts), override[position + 1 :] if override[position : position + 1] == "=" else None


def _read(text: str) -> object:
    try:
        return read_scalar(text)
    except ValueError as error:
        raise _OverrideError(f"the value is not YAML: {error}; put it in quotes") from error


def _replace(container: object, path: Path, parts: Path, value: object) -> tuple[object, Path]:
    """Return `container` with `value` at `parts`, and where that is; `path` is where the container stands."""
    if not parts:
        return value, path
    part, rest = parts[0], parts[1:]
    if isinstance(container, str) and isinstance(part, str) and path and path[0] in _PLUGIN_SECTIONS:
        # A plug-in written as its bare name.
        container = {"type": container}
    if isinstance(container, list):
        position = _position(container, path, part)
        container[position], found = _replace(container[position], (*path, position), rest, value)
        return container, found
    if container is None:
        container = {}
    if not isinstance(container, dict):
        raise _OverrideError(f"{show_path(path)} is one plain value, and has nothing inside that could be set")
    if isinstance(part, int):
        raise _OverrideError(f"{show_path(path) or 'the spec'} is no list, so it has no position [{part}]")
    inner = container.get(part)
    container[part], found = _replace(inner, (*path, part), rest, value)
    return container, found


_PLUGIN_SECTIONS = ("source", "steps", "train", "sink")


def _position(items: list[object], path: Path, part: str | int) -> int:
    where = show_path(path)
    if isinstance(part, int):
        if part >= len(items):
            raise _OverrideError(f"{where} has {len(items)} items, so the last is {where}[{len(items) - 1}]")
        return part
    types = [_type_of(item) for item in items]
    found = [position for position, one in enumerate(types) if one == part]
    if not found:
        known = sorted({one for one in types if one})
        raise _OverrideError(
            f"no item of {where} is of type {part!r}{did_you_mean(part, known) or ';'} there is: {', '.join(known)}"
        )
    if len(found) > 1:
        choice = " or ".join(f"{where}[{position}]" for position in found)
        raise _OverrideError(f"{len(found)} items of {where} are of type {part!r}; write {choice}")
    return found[0]


def _type_of(item: object) -> str:
    named = item.get("type") if isinstance(item, dict) else item
    return named if isinstance(named, str) else ""
