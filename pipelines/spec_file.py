"""The text of a spec: YAML, read with the place of every key, and written so that it reads back the same."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from pipelines.errors import SpecError

Path = tuple[str | int, ...]
"""Where something stands in a spec: keys and positions from the top."""


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written.

    Attributes:
        line: the line of the file, from 1; 0 for an override.
        origin: the file's name, or the override.
    """

    line: int
    origin: str

    def __str__(self) -> str:
        return f"{self.origin}:{self.line}" if self.line else self.origin


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a spec.

    Attributes:
        place: where it was written.
        path: where it stands in the spec.
        message: what is wrong, what is allowed, what to do.
    """

    place: Place
    path: Path
    message: str

    def __str__(self) -> str:
        where = show_path(self.path)
        return f"{self.place}: {where}: {self.message}" if where else f"{self.place}: {self.message}"


@dataclass(frozen=True)
class Document:
    """What a spec's text says.

    Attributes:
        value: its content as plain lists, mappings and scalars.
        places: where each path was written, by the path's parts as text.
        faults: what is wrong with the text itself though it is YAML: keys given twice, keys that are not
            plain text.
    """

    value: object
    places: Mapping[tuple[str, ...], Place]
    faults: tuple[Fault, ...] = field(default=())

    def place(self, path: Path) -> Place:
        """Return where the path, or the nearest thing around it, was written."""
        parts = tuple(map(str, path))
        nearest = next(parts[:size] for size in range(len(parts), -1, -1) if parts[:size] in self.places)
        return self.places[nearest]


def show_path(path: Path) -> str:
    """Return a path as people write it: ``steps[2].min``."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            shown += f".{part}" if shown else part
        else:
            shown += f'["{part}"]'
    return shown


def read_yaml(text: str, origin: str) -> Document:
    """Return what a YAML text says.

    Args:
        text: the text.
        origin: the file's name, for messages.

    Raises:
        SpecError: it is not YAML; the message shows the line and the column.
    """
    yaml = _reader()
    try:
        node = yaml.compose(text)
        if node is None:
            return Document(None, {(): Place(1, origin)})
        walk = list(_walk(node, (), ()))
        return Document(
            yaml.constructor.construct_document(node),
            {(): Place(1, origin), **{tuple(map(str, path)): Place(line, origin) for path, line, _ in walk}},
            tuple(Fault(Place(line, origin), path, message) for path, line, message in walk if message),
        )
    except (YAMLError, ValueError, RecursionError) as error:
        raise SpecError(_syntax_fault(error, text, origin)) from error


def read_scalar(text: str) -> object:
    """Return what YAML makes of a value on its own.

    Raises:
        ValueError: it is not YAML.
    """
    yaml = _reader()
    try:
        return yaml.load(text)
    except YAMLError as error:
        raise ValueError(getattr(error, "problem", None) or "a character that YAML does not allow") from error


def write_yaml(document: Mapping[str, object]) -> str:
    """Return plain data as YAML that reads back the same, its keys in the order given."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.allow_unicode = True
    out = io.StringIO()
    yaml.dump(_quoted(document), out)
    return out.getvalue()


def _reader() -> YAML:
    # The safe constructor makes plain data only. Keys given twice are found by the walk, all of them at once.
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True
    return yaml


_TWICE = "the key {key!r} is given twice, first in line {line}; keep one"
_NOT_TEXT = "a key must be plain text"
_INSIDE_ITSELF = "an alias stands inside of what it stands for; write the value out"


def _walk(node: Node, path: Path, around: tuple[int, ...]) -> Iterator[tuple[Path, int, str]]:
    """Yield each path below a node with its line and, where one is wrong with it, what is."""
    if id(node) in around:
        yield path, node.start_mark.line + 1, _INSIDE_ITSELF
        return
    inner = (*around, id(node))
    if isinstance(node, SequenceNode):
        for position, item in enumerate(node.value):
            yield (*path, position), item.start_mark.line + 1, ""
            yield from _walk(item, (*path, position), inner)
    if not isinstance(node, MappingNode):
        return
    lines: dict[str, int] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            yield path, line, _NOT_TEXT
            continue
        here = (*path, key.value)
        twice = _TWICE.format(key=key.value, line=lines[key.value]) if key.value in lines else ""
        lines.setdefault(key.value, line)
        yield here, line, twice
        yield from _walk(item, here, inner)


def _syntax_fault(error: Exception, text: str, origin: str) -> str:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
        problem = f"the character {chr(error.character)!r} is not allowed; remove it, or write it as an escape"
    elif isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line, error.problem_mark.column
        problem = ", ".join(str(part) for part in (error.problem, _context(error)) if part)
    else:
        line, column, problem = 0, 0, str(error) or type(error).__name__
    lines = text.splitlines() or [""]
    # A quote or bracket that is never closed is found missing behind the last line.
    at = min(line, len(lines) - 1)
    shown = "".join("→" if one == "\t" else one if one.isprintable() else "·" for one in lines[at])
    pointer = " " * min(column if at == line else len(shown), len(shown)) + "^"
    return (
        f"{origin}:{line + 1}:{column + 1}: this is not YAML: {problem}{_cure(problem, lines[at])}\n"
        f"  {at + 1:>4} | {shown}\n       | {pointer}"
    )


def _context(error: MarkedYAMLError) -> str:
    if not error.context:
        return ""
    mark = error.context_mark
    return f"{error.context} that begins in line {mark.line + 1}" if mark is not None else str(error.context)


def _cure(problem: str, line: str) -> str:
    if "\t" in line and ("'\\t'" in problem or "indent" in problem):
        return "; indent with spaces, not with tabs"
    if "mapping values are not allowed" in problem:
        return "; look for a ': ' inside a value that needs quotes, or for a line that is indented too far"
    if "could not determine a constructor for the tag" in problem:
        return "; a spec is plain data: remove the tag, which begins with '!'"
    return ""


class _Representer(RoundTripRepresenter):
    """Writes None as ``null``, where ruamel.yaml would leave a gap that reads like something forgotten."""


_Representer.add_representer(
    type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
)

_NEEDS_ESCAPE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


def _quoted(value: object) -> object:
    """Return data in which text that YAML would fold or drop as it stands is written with escapes."""
    if isinstance(value, Mapping):
        return {_quoted(key): _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return DoubleQuotedScalarString(value) if isinstance(value, str) and _NEEDS_ESCAPE.search(value) else value
