"""One pass over the rows: what feeds it, the row steps it fuses, where it ends, and the account it keeps.

A pass runs inside Spark's ``mapInArrow``, once per partition. Its rows never leave the Python worker between the feed
and the end, so that reading, all neighbouring row steps and landing cost one crossing at most.

What a pass says of its rows reaches the driver through an accumulator, keyed by pass and partition. Spark merges an
accumulator only for attempts that succeed, and a partition that is computed again puts the same account in the same
place, so retries and speculation count nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import Accumulator, AccumulatorParam, TaskContext

from connectors.source import (
    BATCH_BYTES,
    LABEL,
    MAX_VALUE_CHARACTERS,
    ROW_ID,
    TEXT,
    BadRow,
    PartitionedSource,
)
from connectors.spark import read_partitions
from pipelines.accounting import MAX_EXAMPLES, Rejection, StepAccount
from pipelines.distributions import measure, merge
from pipelines.excerpts import Excerpts
from pipelines.steps.kernel import run_step
from pipelines.steps.step import REASON, REJECTED_RULE, REJECTED_VALUE, Outcome, RowStep

Batches = Iterable[pa.RecordBatch]

REJECTIONS = pa.schema(
    [
        ("row_id", pa.string()),
        ("step", pa.string()),
        ("rule", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
        ("origin", pa.string()),
        ("position", pa.int64()),
    ]
)
"""The columns that rejections travel in; those of `Rejection`."""


@dataclass
class PassAccount:
    """What one partition of one pass came to.

    Attributes:
        steps: one account for the feed, then one for each row step, in order.
        rejections: every rejected row, as a compressed Arrow stream of `REJECTIONS`; empty where there is none.
    """

    steps: list[StepAccount]
    rejections: bytes


PassAccounts = dict[tuple[int, int], PassAccount]
"""Accounts by pass and partition."""


class MergeAccounts(AccumulatorParam[PassAccounts]):
    """How Spark brings the accounts of the tasks together: the later one of a partition replaces the earlier."""

    def zero(self, value: PassAccounts) -> PassAccounts:
        """Return no accounts."""
        return {}

    def addInPlace(self, value1: PassAccounts, value2: PassAccounts) -> PassAccounts:  # noqa: N802
        """Put the accounts of `value2` into `value1`."""
        value1.update(value2)
        return value1


@dataclass
class _Tally:
    """The account of one partition while its pass runs."""

    excerpts: Excerpts
    accounts: list[StepAccount] = field(default_factory=list)
    rejected: list[pa.RecordBatch] = field(default_factory=list)

    def open(self, name: str) -> StepAccount:
        account = StepAccount(name)
        self.accounts.append(account)
        return account

    def reject(
        self, account: StepAccount, rows: list[Rejection], batch: pa.RecordBatch | None, *, by_id: bool = False
    ) -> None:
        rows = rows if by_id else self.excerpts.redacted(rows)
        for row in rows:
            account.rejected[row.rule] = account.rejected.get(row.rule, 0) + 1
            examples = account.examples.setdefault(row.rule, [])
            if len(examples) < MAX_EXAMPLES:
                examples.append(self.excerpts.example(row, batch))
        if rows:
            self.rejected.append(pa.RecordBatch.from_pylist([vars(row) for row in rows], schema=REJECTIONS))

    def close(self) -> PassAccount:
        return PassAccount(self.accounts, _compress(self.rejected))


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


class End(Protocol):
    """What a pass ends with: sends the rows on and yields what Spark is to get instead, or the rows themselves."""

    def send(self, batches: Batches) -> Batches:
        """Consume `batches` to their end."""


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
        partition, position = _partition(), 0
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


@dataclass(frozen=True)
class ToSpark:
    """Ends a pass by giving the rows to Spark, in the very types that Spark was told."""

    schema: pa.Schema

    def send(self, batches: Batches) -> Batches:
        """Yield the rows, cast to the schema."""
        for batch in batches:
            yield batch.cast(self.schema)


@dataclass(frozen=True)
class Pass:
    """A feed, row steps and an end, fused; called with the batches of one Spark partition.

    Attributes:
        number: its place among the run's passes, from 0.
        feed: where its rows come from.
        steps: the row steps, each with the name that it is counted under.
        end: where its rows go.
        accounts: where its account goes; None keeps none.
        excerpts: makes the examples of rejected rows.
    """

    number: int
    feed: Feed
    steps: tuple[tuple[str, RowStep], ...]
    end: End
    accounts: Accumulator[PassAccounts] | None
    excerpts: Excerpts

    def __call__(self, batches: Batches) -> Batches:
        """Run the pass over one partition."""
        tally = _Tally(self.excerpts)
        # Accounts are opened here and not in the generators, which begin their work last to first.
        rows = _fed(self.feed, batches, tally.open(self.feed.name), tally)
        if self.number == 0:
            rows = _measured(rows, tally.accounts[0])
        for name, step in self.steps:
            rows = _stepped(name, step, rows, tally.open(name), tally)
        if not isinstance(self.end, ToSpark) and (self.number or self.steps):
            rows = _measured(rows, tally.accounts[-1])
        yield from self.end.send(rows)
        if self.accounts is not None:
            self.accounts.add({(self.number, _partition()): tally.close()})


def read_rejections(account: PassAccount) -> Iterator[Rejection]:
    """Yield the rejected rows of an account, in the order that they were met."""
    if account.rejections:
        with pa.ipc.open_stream(account.rejections) as reader:
            for batch in reader:
                yield from (Rejection(**row) for row in batch.to_pylist())


def _fed(feed: Feed, batches: Batches, account: StepAccount, tally: _Tally) -> Batches:
    rows = iter(feed.rows(batches, account, partial(tally.reject, account, by_id=feed.rejects_by_id)))
    while True:
        begun = time.perf_counter()
        batch = next(rows, None)
        account.seconds += time.perf_counter() - begun
        if batch is None:
            return
        account.rows_out += batch.num_rows
        account.bytes_out += batch.nbytes
        if batch.num_rows:
            yield from _sized(batch)


def _stepped(name: str, step: RowStep, batches: Batches, account: StepAccount, tally: _Tally) -> Batches:
    for batch in batches:
        begun = time.perf_counter()
        outcome = run_step(step, batch)
        account.seconds += time.perf_counter() - begun
        account.rows_in += batch.num_rows
        account.rows_out += outcome.kept.num_rows
        account.created += max(0, outcome.kept.num_rows + outcome.rejected.num_rows - batch.num_rows)
        account.bytes_out += outcome.kept.nbytes
        account.count(outcome.counts, outcome.samples)
        tally.reject(account, _of_outcome(outcome, name), batch)
        if outcome.kept.num_rows:
            yield from _sized(outcome.kept)


def _measured(batches: Batches, account: StepAccount) -> Batches:
    for batch in batches:
        merge(account.distributions, measure(batch))
        yield batch


def _sized(batch: pa.RecordBatch) -> Batches:
    """Yield a batch in pieces of about `BATCH_BYTES`, if it has more than twice that; a row is never divided."""
    if batch.nbytes <= 2 * BATCH_BYTES:
        yield batch
        return
    rows = max(1, batch.num_rows * BATCH_BYTES // batch.nbytes)
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _of_outcome(outcome: Outcome, step: str) -> list[Rejection]:
    return [
        Rejection(row["row_id"], step, row["rule"], row["value"] or "", row.get(REASON) or "")
        for row in outcome.rejected.to_pylist()
    ]


def _of_bad_row(row: BadRow, source: str) -> Rejection:
    return Rejection(row.row_id or "", source, row.rule, row.value, row.reason, row.origin, row.position)


def _partition() -> int:
    context = TaskContext.get()
    return context.partitionId() if context else 0


def _compress(batches: list[pa.RecordBatch]) -> bytes:
    if not batches:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, REJECTIONS, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())
