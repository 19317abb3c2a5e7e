"""Running row steps over batches: in a pass over a whole corpus, and over the texts that are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import MAX_VALUE_CHARACTERS, ROW_ID
from pipelines.errors import LawError, PipelineError, StepError
from pipelines.steps.step import REJECTS, Outcome, RowStep, Step

ERROR_RULE = "error"
"""The rule under which a row is rejected that makes a step raise."""


def run_step(step: RowStep, batch: pa.RecordBatch) -> Outcome:
    """Apply a step to a batch, set aside the rows that it fails on, and check that no row is lost or made up.

    When the step raises, it is applied again to each row by itself, and the rows that it raises on are
    rejected under ``error``, with the exception as the value. A `PipelineError` is a verdict about the step
    and is passed on.

    Raises:
        StepError: the step raised on every row of a batch of several, or on no rows at all.
        LawError: rows in and rows out do not add up, or a row was rejected that was not given.
    """
    try:
        outcome = step.apply(batch)
    except PipelineError:
        raise
    except Exception as error:
        outcome = _row_by_row(step, batch, error)
    _check_law(step, batch, outcome)
    return outcome


@dataclass(frozen=True)
class Prepared:
    """Texts made ready for a model.

    Attributes:
        batch: the rows that passed every step, in the order that they were given.
        reasons: strings, as many as rows were given: null for a row that is in `batch`, and else the step and
            the rule that a model must not see the row for, as ``step: rule``. So the n-th null belongs to the
            n-th row of `batch`.
    """

    batch: pa.RecordBatch
    reasons: pa.Array


def prepare(steps: Sequence[Step], batch: pa.RecordBatch) -> Prepared:
    """Run the steps that have a part in scoring over texts that are to be scored; no row goes missing.

    Table steps, and steps that are for training only, are passed over.

    Args:
        steps: the steps of the pipeline that the model was trained by, in order.
        batch: the rows, with ``text`` and, where they have one, ``row_id``; ids must be unique.

    Raises:
        ValueError: two rows have the same ``row_id``.
        StepError: a step failed on every row of several, or gave out a row twice, or one that it was not
            given.
        LawError: a step lost a row.
    """
    if ROW_ID not in batch.schema.names:
        ids = pa.array([str(row) for row in range(batch.num_rows)], pa.string())
        batch = batch.add_column(0, pa.field(ROW_ID, pa.string()), ids)
    given = batch.column(ROW_ID)
    if pc.count_distinct(given).as_py() < len(given):
        raise ValueError("the rows to prepare have a row_id twice; leave the column out, or make its values unique")
    reasons = pa.nulls(batch.num_rows, pa.string())
    for step in steps:
        if not isinstance(step, RowStep) or step.training_only:
            continue
        outcome = run_step(step, batch)
        rule = outcome.rejected.column("rule").take(pc.index_in(given, value_set=outcome.rejected.column(ROW_ID)))
        reasons = pc.coalesce(reasons, pc.binary_join_element_wise(step.name, rule, ": "))
        batch = _in_order_given(step, outcome.kept, given)
    return Prepared(batch, reasons)


def _in_order_given(step: RowStep, kept: pa.RecordBatch, given: pa.Array) -> pa.RecordBatch:
    place = pc.index_in(kept.column(ROW_ID), value_set=given)
    if place.null_count or pc.count_distinct(place).as_py() < len(place):
        raise StepError(
            f"{step.name} gave out rows that it was not given, or one twice, while texts were scored, where "
            "each text must stay one row; set training_only on the step if it is to run before training "
            "alone"
        )
    return kept.take(pc.sort_indices(place))


def _row_by_row(step: RowStep, batch: pa.RecordBatch, error: Exception) -> Outcome:
    if not batch.num_rows:
        raise StepError(f"{step.name} failed on a batch of no rows: {_shown(error)}") from error
    kept: list[pa.RecordBatch] = []
    rejected: list[pa.RecordBatch] = []
    failures: list[tuple[str, Exception]] = []
    counts: Counter[str] = Counter()
    samples: dict[str, list[str]] = {}
    for row in range(batch.num_rows):
        alone = batch.slice(row, 1)
        try:
            outcome = step.apply(alone)
        except PipelineError:
            raise
        except Exception as failure:
            row_id = alone.column(ROW_ID)[0].as_py()
            failures.append((row_id, failure))
            rejected.append(_rejection(row_id, failure))
        else:
            kept.append(outcome.kept)
            counts.update(outcome.counts)
            for name, some in outcome.samples.items():
                samples.setdefault(name, []).extend(some)
            rejected.append(outcome.rejected)
    if len(failures) == batch.num_rows > 1:
        first_id, first = failures[0]
        raise StepError(
            f"{step.name} failed on each of {batch.num_rows} rows, so the step is at fault and not a row; "
            f"first, on row {first_id!r}: {_shown(first)}"
        ) from first
    return Outcome(_joined(kept) if kept else _no_rows(step, batch), _joined(rejected), counts, samples)


def _no_rows(step: RowStep, batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        schema = step.output_schema(batch.schema)
    except PipelineError:
        raise
    except Exception as error:
        raise StepError(f"{step.name} failed on a batch of no rows: {_shown(error)}") from error
    return pa.RecordBatch.from_pylist([], schema=schema)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    # A column that is null throughout one row may be of type null there, and of its real type in the next.
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    combined = table.to_batches()
    return combined[0] if combined else pa.RecordBatch.from_pylist([], schema=table.schema)


def _rejection(row_id: str, failure: Exception) -> pa.RecordBatch:
    shown = _shown(failure)[:MAX_VALUE_CHARACTERS]
    return pa.RecordBatch.from_arrays([pa.array([value]) for value in (row_id, ERROR_RULE, shown)], schema=REJECTS)


def _shown(failure: Exception) -> str:
    return f"{type(failure).__name__}: {failure}"


def _check_law(step: RowStep, batch: pa.RecordBatch, outcome: Outcome) -> None:
    rows_out = outcome.kept.num_rows + outcome.rejected.num_rows
    lost = rows_out < batch.num_rows
    if lost or (rows_out > batch.num_rows and not step.creates_rows):
        raise LawError(
            f"{step.name} {'lost' if lost else 'made up'} rows: of {batch.num_rows} it kept "
            f"{outcome.kept.num_rows} and rejected {outcome.rejected.num_rows}; a step must reject the rows "
            "that it does not keep, and set creates_rows if it makes new ones"
        )
    strangers = outcome.rejected.filter(
        pc.invert(pc.is_in(outcome.rejected.column(ROW_ID), value_set=batch.column(ROW_ID)))
    )
    if strangers.num_rows:
        raise LawError(
            f"{step.name} rejected the row {strangers.column(ROW_ID)[0].as_py()!r}, which it was not given; "
            "a step must reject rows by the row_id that they came with"
        )
