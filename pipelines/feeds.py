"""What a pass begins with: the rows of a source, of a frame, or of what a table step gave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext

from connectors.source import LABEL, MAX_VALUE_CHARACTERS, ROW_ID, TEXT, BadRow, PartitionedSource
from connectors.spark import read_partitions
from pipelines.accounting import Rejection, StepAccount
from pipelines.steps.step import REJECTED_RULE, REJECTED_VALUE

Batches = Iterable[pa.RecordBatch]

Reject = Callable[[list[Rejection], pa.RecordBatch | None], None]
"""Takes rejected rows, and a batch that they are among where there is one."""


class Feed(Protocol):
    """What a pass begins with: turns what Spark hands in into rows with ``row_id`` and ``text``."""

    @property
    def name(self) -> str:
        """The name that its rows are counted under."""

    @property
    def rejects_by_id(self) -> bool:
        """Whether the values that it rejects rows with are ids of others, and no pieces of texts."""

    def rows(self, batches: Batches, account: StepAccount, reject: Reject) -> Batches:
        """Yield the rows to keep, count all of them in `account`, and hand the others to `reject`."""


@dataclass(frozen=True)
class ReadSource:
    """Feeds a pass with the rows of a source, whose partitions arrive as descriptors: the JVM sees no row.

    Attributes:
        source: what is read.
        name: the name that its rows are counted under.
        columns: the columns that the plan was asked for, in their order; None is all. The source may have read more.
    """

    source: PartitionedSource
    name: str
    columns: tuple[str, ...] | None = None
    rejects_by_id: ClassVar[bool] = False

    def rows(self, batches: Batches, account: StepAccount, reject: Reject) -> Batches:
        """Yield what the source reads; its malformed rows are rejected under their own rules."""
        for item in read_partitions(self.source, batches):
            if isinstance(item, BadRow):
                account.rows_in += 1
                reject([_of_bad_row(item, self.name)], None)
            else:
                account.rows_in += item.num_rows
                yield item if self.columns is None else item.select(list(self.columns))


@dataclass(frozen=True)
class NumberRows:
    """Feeds a pass with a frame that comes from elsewhere: numbers its rows and rejects those without a text.

    Attributes:
        name: the name that its rows are counted under.
        labelled: reject those without a label, too, as the pipeline trains on them.
    """

    name: str
    labelled: bool = False
    rejects_by_id: ClassVar[bool] = False

    def rows(self, batches: Batches, account: StepAccount, reject: Reject) -> Batches:
        """Yield the rows with a ``row_id``, a string: their own, or else made of partition and position."""
        partition, position = partition_number(), 0
        for batch in batches:
            account.rows_in += batch.num_rows
            ids = pa.array([f"{partition}:{position + row}" for row in range(batch.num_rows)], pa.string())
            if ROW_ID in batch.schema.names:
                ids = pc.coalesce(batch.column(ROW_ID).cast(pa.string()), ids)
                batch = batch.drop_columns([ROW_ID])
            schema = pa.schema([pa.field(ROW_ID, pa.string()), *batch.schema])
            batch = pa.RecordBatch.from_arrays([ids, *batch.columns], schema=schema)
            position += batch.num_rows
            for column in (TEXT, LABEL) if self.labelled else (TEXT,):
                batch = self._without_nulls(batch, column, reject)
            yield batch

    def _without_nulls(self, batch: pa.RecordBatch, column: str, reject: Reject) -> pa.RecordBatch:
        if column not in batch.schema.names or not batch.column(column).null_count:
            return batch
        nulls = pc.is_null(batch.column(column))
        ids = batch.column(ROW_ID).filter(nulls).to_pylist()
        reject([Rejection(row, self.name, f"null_{column}", "", f"the {column} is null") for row in ids], batch)
        return batch.filter(pc.invert(nulls))


@dataclass(frozen=True)
class TakeMarkedOff:
    """Feeds a pass with what a table step gave out: takes the rows that it marked off, and accounts for them."""

    name: str
    rejects_by_id: ClassVar[bool] = True

    def rows(self, batches: Batches, account: StepAccount, reject: Reject) -> Batches:
        """Yield the unmarked rows, without the marks; how many went in is known to the pass before."""
        for batch in batches:
            if REJECTED_RULE not in batch.schema.names:
                yield batch
                continue
            rules = batch.column(REJECTED_RULE)
            marked = pc.is_valid(rules)
            if pc.any(marked).as_py():
                off = batch.filter(marked)
                reject(self._rejections(off), off)
            yield batch.filter(pc.invert(marked)).drop_columns(
                [name for name in (REJECTED_RULE, REJECTED_VALUE) if name in batch.schema.names]
            )

    def _rejections(self, marked: pa.RecordBatch) -> list[Rejection]:
        values = marked.column(REJECTED_VALUE) if REJECTED_VALUE in marked.schema.names else [None] * marked.num_rows
        return [
            Rejection(row_id, self.name, rule, (value or "")[:MAX_VALUE_CHARACTERS])
            for row_id, rule, value in zip(
                marked.column(ROW_ID).to_pylist(),
                marked.column(REJECTED_RULE).to_pylist(),
                pa.array(values, pa.string()).to_pylist() if isinstance(values, list) else values.to_pylist(),
                strict=True,
            )
        ]


def partition_number() -> int:
    """Return which partition this worker's task computes; 0 outside of any."""
    context = TaskContext.get()
    return context.partitionId() if context else 0


def _of_bad_row(row: BadRow, source: str) -> Rejection:
    return Rejection(row.row_id or "", source, row.rule, row.value, row.reason, row.origin, row.position)
