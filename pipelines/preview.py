"""A look at the first rows after the row steps, without Ray and Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
from rich.markup import escape
from rich.table import Table

from connectors.errors import ConnectorError
from connectors.source import ROW_ID, BadRow, PartitionedSource
from pipelines.agreed_schema import Agreement
from pipelines.errors import PipelineError
from pipelines.pass_plan import PlannedPass, plan_passes, source_name
from pipelines.pipeline import Pipeline
from pipelines.steps.kernel import run_step
from pipelines.steps.step import RowStep

_SHOWN_CHARACTERS = 120
_BATCH_ROWS = 100


@dataclass(frozen=True)
class PreviewRow:
    """One row of a preview.

    Attributes:
        row_id: the row's id.
        values: its columns after the steps; as far as it came, for one that was rejected.
        rejected: the step and the rule that it was rejected by, as ``step: rule``; None where it was not.
    """

    row_id: str
    values: dict[str, object]
    rejected: str | None = None


def preview(
    pipeline: Pipeline, rows: int, agreement: Agreement | None = None
) -> tuple[list[PreviewRow], tuple[str, ...]]:
    """Read the source's first rows and take them through the row steps up to the first table step.

    Args:
        pipeline: whose source and steps.
        rows: how many to return at most of those that are kept, and of those that are rejected on the way to them.
        agreement: holds the rows to the columns agreed on, before all steps; None: they are taken as they come.

    Returns:
        The rows, in the order that they were read, and the names of the steps that were left out.

    Raises:
        PipelineError: the pipeline has no source, or one that Spark alone reads; or the contract does not allow the
            columns that it has.
        ConnectorError: the source cannot be read.
    """
    source = pipeline.source
    if not isinstance(source, PartitionedSource):
        kind = "there is no source" if source is None else f"{source_name(source)} is read by Spark alone"
        raise PipelineError(f"nothing can be previewed without Spark: {kind}; use `headrace run`")
    passes = plan_passes(source_name(source), pipeline.steps)
    first = passes[0]
    if agreement is not None:
        conforming = agreement.conform(source.row_schema())
        first = replace(first, steps=((conforming.name, conforming), *first.steps))
    found: list[PreviewRow] = []
    room = {True: rows, False: rows}  # for kept and for rejected rows
    for row in _rows(source, first):
        kept = row.rejected is None
        if room[kept]:
            room[kept] -= 1
            found.append(row)
        if not room[True]:
            break
    left_out = [name for one in passes for name in (*(step for step, _ in one.steps), *(one.then or ())[:1])]
    return found, tuple(str(name) for name in left_out[len(passes[0].steps) :])


def preview_table(rows: Sequence[PreviewRow]) -> Table:
    """Return the rows as a table: id, the beginning of each column, and what rejected them."""
    table = Table(expand=True)
    for title, ratio in (("row_id", 1), ("columns", 4), ("rejected by", 1)):
        table.add_column(title, overflow="fold", ratio=ratio)
    for row in rows:
        shown = (f"{name}={_excerpt(value)}" for name, value in row.values.items() if name != ROW_ID)
        table.add_row(escape(row.row_id), escape(", ".join(shown)), escape(row.rejected or ""))
    return table


def _rows(source: PartitionedSource, first: PlannedPass) -> Iterator[PreviewRow]:
    for item in _items(source):
        if isinstance(item, BadRow):
            values = {"reason": item.reason, "origin": item.origin, "position": item.position, "value": item.value}
            yield PreviewRow(item.row_id or "", values, f"{first.feed}: {item.rule}")
            continue
        for start in range(0, item.num_rows, _BATCH_ROWS):
            yield from _through(item.slice(start, _BATCH_ROWS), first.steps)


def _items(source: PartitionedSource) -> Iterator[pa.RecordBatch | BadRow]:
    try:
        with source.plan() as plan:
            for partition in plan.partitions:
                yield from source.scan(partition)
    except ConnectorError as error:
        raise type(error)(f"source: {error}") from error


def _through(batch: pa.RecordBatch, steps: tuple[tuple[str, RowStep], ...]) -> list[PreviewRow]:
    # Rows that a step makes come behind those that were read.
    latest = {row[ROW_ID]: row for row in batch.to_pylist()}
    rejected: dict[str, str] = {}
    for name, step in steps:
        outcome = run_step(step, batch)
        for row in outcome.rejected.to_pylist():
            rejected[row[ROW_ID]] = f"{name}: {row['rule']}"
        batch = outcome.kept
        latest.update({row[ROW_ID]: row for row in batch.to_pylist()})
    return [PreviewRow(row_id, values, rejected.get(row_id)) for row_id, values in latest.items()]


def _excerpt(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
