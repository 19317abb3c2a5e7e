"""How a pipeline's steps fall into passes; what `headrace plan` shows and the ETL does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.source import Source
from pipelines.plugins import SOURCE, Registry
from pipelines.steps.select_columns import ALWAYS_KEPT
from pipelines.steps.step import RowStep, Step, TableStep


@dataclass(frozen=True)
class PlannedPass:
    """One pass through the executors' Python workers.

    Attributes:
        feed: the name of what feeds it: the source, or the table step before it.
        steps: the row steps that are fused in it, by the names that they are counted under.
        then: the table step that follows it in Spark, by name; None where the rows land.
    """

    feed: str
    steps: tuple[tuple[str, RowStep], ...]
    then: tuple[str, TableStep] | None


def plan_passes(feed: str, steps: Sequence[Step]) -> tuple[PlannedPass, ...]:
    """Return the passes that the steps make, in order: a table step ends one, and row steps fuse.

    Args:
        feed: the name of what feeds the first one.
        steps: the pipeline's steps.
    """
    passes: list[PlannedPass] = []
    fused: list[tuple[str, RowStep]] = []
    for name, step in zip(_names(steps), steps, strict=True):
        if isinstance(step, RowStep):
            fused.append((name, step))
        elif isinstance(step, TableStep):
            passes.append(PlannedPass(feed, tuple(fused), (name, step)))
            feed, fused = name, []
        else:
            raise TypeError(f"{type(step).__name__} is neither a RowStep nor a TableStep; derive it from one of them")
    return (*passes, PlannedPass(feed, tuple(fused), None))


def columns_wanted(first: PlannedPass, schema: pa.Schema) -> tuple[str, ...] | None:
    """Return the columns of a source that its pass has a use for, in their order; None is all of them.

    Args:
        first: the pass that the source feeds.
        schema: the columns that it has.
    """
    wanted: frozenset[str] | None = None
    for _, step in reversed(first.steps):
        wanted = step.input_columns(wanted) if _speaks_for_itself(step) else None
    if wanted is None or wanted | {*ALWAYS_KEPT} >= {*schema.names}:
        return None
    return tuple(name for name in schema.names if name in wanted or name in ALWAYS_KEPT)


def _speaks_for_itself(step: RowStep) -> bool:
    """Tell whether what a step says of its columns is said of its own `apply`, and not of that of a class above."""
    for kind in type(step).__mro__:
        if "apply" in vars(kind) or "input_columns" in vars(kind):
            return "input_columns" in vars(kind)
    return False


def source_name(source: Source | None) -> str:
    """Return the name that a source's rows are counted under; ``data`` where they are handed in from outside."""
    return "data" if source is None else Registry.installed().name_of(SOURCE, type(source))


def _names(steps: Sequence[Step]) -> list[str]:
    """Return the steps' names; the second of a name becomes ``name_2``."""
    seen: dict[str, int] = {}
    names = []
    for step in steps:
        seen[step.name] = seen.get(step.name, 0) + 1
        names.append(step.name if seen[step.name] == 1 else f"{step.name}_{seen[step.name]}")
    return names
