"""Between what a pipeline moves rows: what tells its source and its sink from others, as it is kept with a cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.sink import Sink
from connectors.source import Source
from pipelines.plugins import SINK, SOURCE, Registry

TYPE = "type"
_SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class Ends:
    """A source and a sink.

    Attributes:
        source: its type and what else tells it from others; see `Source.identity`.
        sink: likewise; see `Sink.identity`.
    """

    source: Mapping[str, object]
    sink: Mapping[str, object]

    @classmethod
    def of(cls, source: Source, sink: Sink) -> Ends:
        """Return the ends of a pipeline."""
        registry = Registry.installed()
        return cls(
            {TYPE: registry.name_of(SOURCE, type(source)), **source.identity()},
            {TYPE: registry.name_of(SINK, type(sink)), **sink.identity()},
        )


def source_changes(before: Ends, after: Ends) -> str:
    """Return what has changed of the source, from what to what; empty where nothing has."""
    return "; ".join(_changes(before.source, after.source))


def sink_changes(before: Ends, after: Ends) -> str:
    """Return what has changed of the sink, from what to what; empty where nothing has."""
    return "; ".join(_changes(before.sink, after.sink))


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        was, now = before.get(name), after.get(name)
        if was != now:
            yield f"{name} was {_shown(was)} and is {_shown(now)}"


def _shown(value: object) -> str:
    # An option that is not there is as it is by default.
    said = "left out" if value is None else json.dumps(value, ensure_ascii=False)
    return said if len(said) <= _SHOWN_CHARACTERS else said[: _SHOWN_CHARACTERS - 1] + "…"
