"""Sources and sinks in Ray Data, without Spark: the same classes, as read tasks and as a `Datasink`."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import Dataset, Datasink, Datasource
from ray.data.block import BlockAccessor, BlockMetadata
from ray.data.datasource import ReadTask, WriteResult

from connectors.errors import SinkError
from connectors.sink import Receipt, Sink
from connectors.source import ROW_ID, BadRow, Partition, PartitionedSource

REJECTED = "rejected"
"""The column that `read_source` adds: null for a good row, and what is wrong with a bad one."""

REJECTED_TYPE = pa.struct(
    [
        ("rule", pa.string()),
        ("reason", pa.string()),
        ("origin", pa.string()),
        ("position", pa.int64()),
        ("value", pa.string()),
    ]
)
"""What `REJECTED` holds: the fields of a `BadRow` but for its id, which stands in the row's own column."""


@contextmanager
def read_source(
    source: PartitionedSource,
    *,
    since: str | None = None,
    columns: Sequence[str] | None = None,
    predicate: pc.Expression | None = None,
) -> Iterator[Dataset]:
    """Plan a source and yield its rows as a Dataset, which is read while it is consumed: before the block ends.

    It has the source's columns and `REJECTED`. A malformed row is a row like others: it has its id and `REJECTED`, and
    nulls elsewhere, so that it can be counted and set aside however often a task is tried::

        with read_source(source) as rows:
            good = rows.filter(lambda row: row["rejected"] is None).materialize()

    Args:
        source: what to read; each of its partitions is a read task.
        since: the cursor of an earlier plan: only what came after it is read.
        columns: the columns that are wanted, beside ``row_id``; None takes all.
        predicate: the good rows that are wanted; None takes all.

    Raises:
        SourceError: the source cannot be planned; see `PartitionedSource.plan`.
    """
    with source.plan(since=since, columns=columns, predicate=predicate) as plan:
        reading = Reading.of(source, columns, predicate)
        if plan.partitions:
            datasource = SourceDatasource(reading, plan.partitions)
            yield ray.data.read_datasource(datasource, override_num_blocks=len(plan.partitions))
        else:
            yield ray.data.from_arrow(reading.schema.empty_table())


def write_sink(dataset: Dataset, sink: Sink, *, cursor: str | None = None) -> tuple[Receipt, ...]:
    """Write a Dataset's rows to a sink and publish them, all of them or none.

    Args:
        dataset: what to write; each of Ray Data's write tasks is a partition for the sink.
        sink: where to.
        cursor: how far the rows' source has been read; goes to `Sink.commit`.

    Returns:
        What was published.

    Raises:
        SinkError: the sink cannot be written; nothing of it is visible.
    """
    schema = dataset.schema()  # known, or found out from the first rows
    datasink = SinkDatasink(sink, uuid.uuid4().hex, cursor, schema.base_schema if schema is not None else None)
    try:
        dataset.write_datasink(datasink)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SinkError):
            raise error.cause from error
        raise
    return datasink.receipts


@dataclass(frozen=True)
class Reading:
    """How a partition is read in a read task."""

    source: PartitionedSource
    schema: pa.Schema
    predicate: pc.Expression | None = None

    @classmethod
    def of(
        cls, source: PartitionedSource, columns: Sequence[str] | None = None, predicate: pc.Expression | None = None
    ) -> Reading:
        """Return how to read these columns, and the id; None reads all."""
        schema = source.row_schema()
        names = schema.names if columns is None else [ROW_ID, *(name for name in columns if name != ROW_ID)]
        # Nulls are allowed throughout, as a bad row has them.
        fields = [schema.field(name).with_nullable(True) for name in names]
        return cls(source, pa.schema([*fields, pa.field(REJECTED, REJECTED_TYPE)]), predicate)

    def tables(self, partition: Partition) -> Iterator[pa.Table]:
        """Yield the rows of a partition in batches of `schema`; one of no rows where there are none."""
        empty = True
        for item in self.source.scan(partition):
            empty = False
            yield self._bad(item) if isinstance(item, BadRow) else self._good(item)
        if empty:
            yield self.schema.empty_table()

    def _good(self, batch: pa.RecordBatch) -> pa.Table:
        table = pa.Table.from_batches([batch])
        if self.predicate is not None:
            table = table.filter(self.predicate)
        table = table.select([name for name in self.schema.names if name != REJECTED])
        return table.append_column(REJECTED, pa.nulls(table.num_rows, REJECTED_TYPE)).cast(self.schema)

    def _bad(self, row: BadRow) -> pa.Table:
        fields = asdict(row)
        return pa.Table.from_pylist([{ROW_ID: fields.pop("row_id"), REJECTED: fields}], schema=self.schema)


class SourceDatasource(Datasource):
    """A plan's partitions as read tasks, whatever parallelism Ray Data has in mind."""

    def __init__(self, reading: Reading, partitions: Sequence[Partition]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reading, self._partitions = reading, partitions

    def get_name(self) -> str:
        """Return the source's name, for Ray Data's progress and its dashboard."""
        return type(self._reading.source).__name__

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: it is known once the rows are read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """Return a task for each partition."""
        return [self._task(partition, per_task_row_limit) for partition in self._partitions]

    def _task(self, partition: Partition, limit: int | None) -> ReadTask:
        reading = self._reading
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return ReadTask(lambda: reading.tables(partition), unknown, reading.schema, limit)


class SinkDatasink(Datasink[Receipt]):
    """A sink whose partitions are Ray Data's write tasks.

    Args:
        sink: where to.
        commit_id: names the commit to the sink.
        cursor: how far the rows' source has been read.
        schema: the Dataset's columns, for where Ray Data does not know them when it begins.

    Attributes:
        receipts: what was published, once it is.
    """

    def __init__(self, sink: Sink, commit_id: str, cursor: str | None = None, schema: pa.Schema | None = None) -> None:
        self._sink, self._commit_id, self._cursor, self._schema = sink, commit_id, cursor, schema
        self._has_begun = False
        self.receipts: tuple[Receipt, ...] = ()

    def on_write_start(self, schema: pa.Schema | None = None) -> None:
        """Begin, in the driver."""
        schema = schema if isinstance(schema, pa.Schema) else self._schema
        if not isinstance(schema, pa.Schema):
            raise SinkError(f"the Dataset's columns are not known as Arrow's, but as {schema!r}; materialize it first")
        self._sink.begin(self._commit_id, schema)
        self._has_begun = True

    def write(self, blocks: Iterable[Any], ctx: Any) -> Receipt:
        """Stage the blocks of one task, which Ray may run more than once."""
        batches = (
            batch
            for block in blocks
            for batch in BlockAccessor.for_block(block).to_arrow().combine_chunks().to_batches()
        )
        return self._sink.write(self._commit_id, ctx.task_idx, secrets.randbits(62), batches)

    def on_write_complete(self, write_result: WriteResult[Receipt]) -> None:
        """Commit, in the driver."""
        if not self._has_begun:
            raise SinkError("the Dataset has no blocks, and so no columns; give it one with its columns and no rows")
        self._sink.commit(self._commit_id, write_result.write_returns, self._cursor)
        self.receipts = tuple(write_result.write_returns)

    def on_write_failed(self, error: Exception) -> None:
        """Clear what was staged."""
        if self._has_begun:
            self._sink.abort(self._commit_id)
