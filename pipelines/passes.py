"""One pass over the rows: what feeds it, the row steps it fuses, where it ends, and the account it keeps.

A pass runs inside Spark's ``mapInArrow``, once per partition. Its rows never leave the Python worker between the feed
and the end, so that reading, all neighbouring row steps and landing cost one crossing at most.

What a pass says of its rows reaches the driver through an accumulator, keyed by pass and partition. Spark merges an
accumulator only for attempts that succeed, and a partition that is computed again puts the same account in the same
place, so retries and speculation count nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import pyarrow as pa
from pyspark import Accumulator, AccumulatorParam

from connectors.source import BATCH_BYTES
from pipelines.accounting import MAX_EXAMPLES, Rejection, StepAccount
from pipelines.distributions import measure, merge
from pipelines.excerpts import Excerpts
from pipelines.feeds import Batches, Feed, partition_number
from pipelines.steps.kernel import run_step
from pipelines.steps.step import REASON, Outcome, RowStep

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


class End(Protocol):
    """What a pass ends with: sends the rows on and yields what Spark is to get instead, or the rows themselves."""

    def send(self, batches: Batches) -> Batches:
        """Consume `batches` to their end."""


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
            self.accounts.add({(self.number, partition_number()): tally.close()})


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


def _compress(batches: list[pa.RecordBatch]) -> bytes:
    if not batches:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, REJECTIONS, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())
