"""The rows' way through Spark: source, passes, table steps, and a landing in Ray or in a sink."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from operator import itemgetter

import pyarrow as pa
from pyspark import Accumulator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql
from ray.data import Dataset

from connectors.sink import Receipt, Sink
from connectors.source import ROW_ID, PartitionedSource, Source, SparkSource
from connectors.spark import arrow_to_spark_schema, partitions_frame, spark_to_arrow_schema
from connectors.spark_batches import map_in_arrow
from pipelines.accounting import Rejection, StepAccount
from pipelines.agreed_schema import Agreement
from pipelines.batch_rows import BatchRows, width_of_frame, width_of_source
from pipelines.block_files import BlockFiles
from pipelines.commits import Commits
from pipelines.errors import LawError
from pipelines.excerpts import Excerpts
from pipelines.feeds import Batches, Feed, NumberRows, ReadSource, TakeMarkedOff
from pipelines.handoff import land
from pipelines.landing import current_task
from pipelines.pass_plan import PlannedPass, columns_wanted, plan_passes, source_name
from pipelines.passes import End, MergeAccounts, Pass, PassAccounts, ToSpark, read_rejections
from pipelines.spark_job import collect
from pipelines.steps.columns import quoted
from pipelines.steps.step import REJECTED_RULE, REJECTED_VALUE, Step, TableStep

_RECEIPT = pa.schema([("receipt", pa.string())])


class Etl:
    """The source and the steps of a run, computed once, by whichever of `to_ray` and `to_sink` is called.

    Args:
        spark: the session to compute in.
        source: where the rows come from, or a frame that holds them.
        steps: what is done to them.
        labelled: whether rows of a frame that lack a label are rejected.
        since: the source's cursor that an earlier run came to: only what came after it is read.
        agreement: holds the rows to the schema agreed on, before all steps; None: they are taken as they come.
    """

    def __init__(
        self,
        spark: SparkSession,
        source: Source | DataFrame,
        steps: Sequence[Step],
        *,
        labelled: bool = False,
        since: str | None = None,
        agreement: Agreement | None = None,
    ) -> None:
        self._spark = spark
        self._labelled = labelled
        self._since = since
        self._agreement = agreement
        self._source = source
        self._excerpts = Excerpts(tuple(steps))
        self._passes = plan_passes(source_name(source if isinstance(source, Source) else None), steps)
        self._accounts: Accumulator[PassAccounts] = spark.sparkContext.accumulator({}, MergeAccounts())
        self._cached: list[DataFrame] = []
        self._batch_rows = BatchRows(spark)
        self._cursor: str | None = None

    def to_ray(self, group_by: str | None = None, files: BlockFiles | None = None) -> dict[str, Dataset]:
        """Compute the rows and land them in Ray: a Dataset for each value of `group_by`, or all in one named "".

        Where there are `files`, copies of the blocks go there.

        Raises:
            ConnectorError: the source cannot be read.
            StepError: a step fails on every row.
            HandoffError: Spark failed, or a receiver was lost.
            LawError: rows in and rows out of a step do not add up.
        """
        with self._planned() as last:
            return land(last.frame, last.schema, last.ending, group_by=group_by, files=files)

    def to_sink(self, sink: Sink, commits: Commits | None = None) -> tuple[Receipt, ...]:
        """Compute the rows, write them to `sink`, and publish what the successful attempts have staged.

        Args:
            sink: where to.
            commits: keeps the account of what is committed; None: nobody does.

        Raises:
            SinkError: the sink cannot be written; nothing of it is visible.
            Exception: as `to_ray`.
        """
        commits = commits or Commits()
        with self._planned() as last:
            commit = commits.begin(self._cursor)
            sink.begin(commit, last.schema)
            try:
                work = last.ending(_WriteToSink(sink, commit))
                rows = collect(map_in_arrow(last.frame, work, arrow_to_spark_schema(_RECEIPT)), "writing to the sink")
                receipts = tuple(_receipt(row.receipt) for row in rows)
                # The law comes before the commit: what does not add up is not published.
                self.accounts()
                commits.commit(sink, receipts)
            except BaseException:
                commits.give_up(sink)
                raise
        return receipts

    def rows_so_far(self) -> int:
        """Return how many rows the tasks that have ended have given on, in the latest pass that has any."""
        accounts = dict(self._accounts.value)
        latest = max((number for number, _ in accounts), default=0)
        return sum(account.steps[-1].rows_out for (number, _), account in accounts.items() if number == latest)

    def accounts(self) -> tuple[StepAccount, ...]:
        """Return the account of the source and of each step, in order.

        Raises:
            LawError: ``in + created = out + rejected`` does not hold somewhere.
        """
        found: list[StepAccount] = []
        for number, planned in enumerate(self._passes):
            names = [planned.feed, *(name for name, _ in planned.steps)]
            merged = [StepAccount(name) for name in names]
            for (of_pass, _), of_partition in sorted(self._accounts.value.items(), key=itemgetter(0)):
                if of_pass == number:
                    for into, one in zip(merged, of_partition.steps, strict=True):
                        into.add(one)
            if number:
                _account_for_table_step(merged[0], found[-1], self._passes[number - 1])
            found += merged
        for account in found:
            account.check()
        for before, after in pairwise(found):
            if before.rows_out != after.rows_in:
                raise LawError(
                    f"{before.name} gave out {before.rows_out} rows and {after.name} took in {after.rows_in}; rows "
                    "were lost or doubled between two passes"
                )
        return tuple(found)

    def rejections(self) -> Iterator[Rejection]:
        """Yield every rejected row, by pass and partition."""
        for _, account in sorted(self._accounts.value.items(), key=itemgetter(0)):
            yield from read_rejections(account)

    @contextmanager
    def _planned(self) -> Iterator[_LastPass]:
        """Yield the last pass, while the source's plan is open and what it needs is cached."""
        try:
            with self._batch_rows, self._fed() as (frame, feed, schema):
                yield self._through(frame, feed, schema)
        finally:
            while self._cached:
                self._cached.pop().unpersist()

    @contextmanager
    def _fed(self) -> Iterator[tuple[DataFrame, Feed, pa.Schema]]:
        """Yield what the first pass reads, what makes rows of it, and their columns, while the plan is open."""
        name = self._passes[0].feed
        if isinstance(self._source, PartitionedSource):
            schema = self._source.row_schema()
            columns = None if self._agreement is not None else columns_wanted(self._passes[0], schema)
            with self._source.plan(since=self._since, columns=columns) as plan:
                self._cursor = plan.cursor
                read = schema if columns is None else pa.schema([schema.field(name) for name in columns])
                self._agree(pa.schema([one for one in read if one.name not in plan.absent]))
                feed = ReadSource(self._source, name, columns)
                if any(planned.then and not planned.then[1].reads_twice for planned in self._passes):
                    self._batch_rows.fit(*width_of_source(self._spark, feed, plan.partitions))
                yield partitions_frame(self._spark, plan.partitions), feed, read
        else:
            frame = self._source.load(self._spark) if isinstance(self._source, SparkSource) else self._source
            assert isinstance(frame, DataFrame)
            schema = _numbered(spark_to_arrow_schema(frame.schema))
            self._agree(schema)
            frame, schema = _without_unread(frame, schema, self._passes[0])
            self._batch_rows.fit(*width_of_frame(frame))
            yield frame, NumberRows(name, self._labelled), schema

    def _agree(self, found: pa.Schema) -> None:
        """Put in front of all steps what holds the columns that were found to those that were agreed on."""
        if self._agreement is not None:
            conforming, first = self._agreement.conform(found), self._passes[0]
            self._passes = (replace(first, steps=((conforming.name, conforming), *first.steps)), *self._passes[1:])

    def _through(self, frame: DataFrame, feed: Feed, schema: pa.Schema) -> _LastPass:
        """Chain all passes but the last one, which is returned for the landing to be put at its end."""
        for number, planned in enumerate(self._passes):
            if number:
                frame, schema = _without_unread(frame, schema, planned)
            for _, step in planned.steps:
                schema = step.output_schema(schema)
            this = _LastPass(frame, schema, number, feed, planned, self._accounts, self._excerpts)
            if planned.then is None:
                return this
            name, table_step = planned.then
            frame = self._apply(table_step, this)
            feed = TakeMarkedOff(name)
            columns = [field for field in spark_to_arrow_schema(frame.schema) if field.name not in _MARKS]
            schema = pa.schema(columns)
        raise AssertionError("the last planned pass has no table step")

    def _apply(self, step: TableStep, before: _LastPass) -> DataFrame:
        frame = before.into_spark()
        if step.reads_twice:
            # Computed to its end beforehand, so that the pass before it runs once and its account is whole.
            frame = frame.persist()
            self._cached.append(frame)
            collect(frame.selectExpr("count(*) as rows"), f"rows for {step.name}")
            ends = [one.steps[-1] for (number, _), one in self._accounts.value.items() if number == before.number]
            self._batch_rows.fit(sum(end.rows_out for end in ends), sum(end.bytes_out for end in ends))
        return step.apply(frame)


_MARKS = (REJECTED_RULE, REJECTED_VALUE)


@dataclass(frozen=True)
class _LastPass:
    """A pass that has everything but its end."""

    frame: DataFrame
    schema: pa.Schema
    number: int
    feed: Feed
    planned: PlannedPass
    accounts: Accumulator[PassAccounts]
    excerpts: Excerpts

    def ending(self, end: End) -> Pass:
        """Return the pass with `end` at its end."""
        return Pass(self.number, self.feed, self.planned.steps, end, self.accounts, self.excerpts)

    def into_spark(self) -> DataFrame:
        """Return the frame of its rows, in Spark."""
        schema = arrow_to_spark_schema(self.schema)
        return map_in_arrow(self.frame, self.ending(ToSpark(spark_to_arrow_schema(schema))), schema)


@dataclass(frozen=True)
class _WriteToSink:
    """Ends a pass by staging its rows in a sink; Spark gets the receipt."""

    sink: Sink
    commit: str

    def send(self, batches: Batches) -> Batches:
        """Stage all rows, and yield the receipt as a row of JSON."""
        receipt = self.sink.write(self.commit, *current_task(), batches)
        yield pa.RecordBatch.from_arrays([pa.array([json.dumps(asdict(receipt))], pa.string())], schema=_RECEIPT)


def _receipt(text: str) -> Receipt:
    fields = json.loads(text)
    return Receipt(**{**fields, "staged": tuple(fields["staged"])})


def _numbered(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(ROW_ID, pa.string()), *(field for field in schema if field.name != ROW_ID)])


def _without_unread(frame: DataFrame, schema: pa.Schema, reader: PlannedPass) -> tuple[DataFrame, pa.Schema]:
    """Leave out the columns of a frame that the pass which reads it has no use for, so that Python is not sent them."""
    wanted = columns_wanted(reader, schema)
    if wanted is None or len({name.casefold() for name in frame.columns}) < len(frame.columns):
        return frame, schema
    kept = [sql.col(quoted(name)) for name in frame.columns if name in wanted or name in _MARKS]
    return frame.select(*kept), pa.schema([schema.field(name) for name in wanted])


def _account_for_table_step(account: StepAccount, before: StepAccount, planned: PlannedPass) -> None:
    """Complete the account of a table step, of which the pass behind it has seen only what came out."""
    assert planned.then is not None
    account.rows_in = before.rows_out
    if planned.then[1].creates_rows:
        account.created = max(0, account.rows_out + account.rows_rejected - account.rows_in)
