"""A source of the rows of an Iceberg table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator
from typing_extensions import Self

from connectors.columns import ColumnNames, Layout, positions_from
from connectors.errors import EmptySourceError, SourceError
from connectors.object_store.store_options import resolved
from connectors.source import BATCH_BYTES, BadRow, Partition, PartitionedSource, Plan
from connectors.tables.files import Known, grouped, may_hold
from connectors.tables.iceberg_table import IcebergOptions, arrow_schema

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class IcebergPartition(Partition):
    """Data files that one task reads.

    Attributes:
        metadata: where the table's metadata is, as it was when the plan was made.
        files: the files, with the deletes that apply to them, in order.
        schema: the table's columns, as Iceberg has them.
        wanted: the columns of the rows to read; None reads all.
    """

    metadata: str
    files: tuple[FileScanTask, ...]
    schema: Schema
    wanted: tuple[str, ...] | None


class IcebergTable(IcebergOptions, PartitionedSource):
    """The rows of an Iceberg table in one snapshot, which a plan holds on to: all partitions see the same table.

    ``row_id`` is `id_column`, else the data file and the row's number in it, from 1; it stays with the row until the
    file is rewritten. Position deletes and deletion vectors are honoured; a snapshot with equality deletes is refused.

    The cursor is the snapshot, and reading on gives the rows of the files that were appended after it, so that none
    comes late, whatever times the rows hold: compaction adds none, and a history in which rows were overwritten or
    deleted is refused, as it takes a full refresh.

    Attributes:
        snapshot_id: the snapshot to read; None is the current one.
        as_of: read the snapshot that was current at this time (without a zone, in UTC).
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is. A list column makes the rows multi-label.
        id_column: a key column that becomes ``row_id``.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("catalog", "table")

    snapshot_id: int | None = None
    as_of: datetime | None = None
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @model_validator(mode="after")
    def _has_one_moment(self) -> Self:
        if self.snapshot_id is not None and self.as_of is not None:
            raise ValueError("give 'snapshot_id' or 'as_of', not both: each says which snapshot to read")
        return self

    def read_schema(self) -> pa.Schema:
        """Return the table's columns; see `PartitionedSource.read_schema`."""
        with self.opened(SourceError) as catalog:
            table = self.load_table(catalog, SourceError)
            return self._layout(self._schema(table, self._snapshot(table))).schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield groups of files; see `PartitionedSource.plan`.

        Files that the predicate excludes by what the table's manifests say of their values are left out.
        """
        with self.opened(SourceError) as catalog:
            table = self.load_table(catalog, SourceError)
            snapshot = self._snapshot(table)
            schema = self._schema(table, snapshot)
            layout = self._layout(schema)
            if snapshot is None:
                raise EmptySourceError(f"the Iceberg table {self.table} has no snapshot: nothing was written to it yet")
            with self.faults(SourceError):
                if since is None:
                    tasks = list(table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
                else:
                    tasks = self._files_since(table, snapshot, since)
        if since is None and not any(task.file.record_count for task in tasks):
            raise EmptySourceError(f"the Iceberg table {self.table} holds no rows in snapshot {snapshot.snapshot_id}")
        files = sorted(tasks, key=lambda task: task.file.file_path)
        chosen = may_hold(files, lambda task: _known(task, schema), layout, predicate)
        wanted = None if columns is None else tuple(columns)
        parts = [
            IcebergPartition(_name(group[0], table.location()), str(table.metadata_location), group, schema, wanted)
            for group in grouped(chosen, lambda task: int(task.file.file_size_in_bytes))
        ]
        yield Plan(tuple(parts), _Cursor(str(table.metadata.table_uuid), snapshot.snapshot_id).text())

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition's files, in their order, without those that are deleted."""
        assert isinstance(partition, IcebergPartition)
        from pyiceberg.table import StaticTable

        layout = self._layout(partition.schema).narrowed(partition.wanted)
        with self.faults(SourceError):
            table = StaticTable.from_metadata(partition.metadata, resolved(self.properties))
        for task in partition.files:
            name = _name(task, table.location())
            for batch, positions in self._batches(table, task, partition.schema, layout.sources):
                yield from layout.rows(batch, positions, origin=task.file.file_path, name=name)

    def _batches(
        self, table: Table, task: FileScanTask, schema: Schema, columns: Sequence[str]
    ) -> Iterator[tuple[pa.RecordBatch, pa.Array]]:
        """Yield a file's rows as batches of `columns`, and their numbers in the file, from 1."""
        from pyiceberg.expressions import AlwaysTrue
        from pyiceberg.io.pyarrow import ArrowScan, _read_all_delete_files
        from pyiceberg.table import FileScanTask

        projected = schema.select(*columns)
        kinds = arrow_schema(projected)
        with self.faults(SourceError, f", file {task.file.file_path}"):
            try:
                deletes = _read_all_delete_files(table.io, [task]).get(task.file.file_path, [])
                gone = pa.chunked_array([chunk for one in deletes for chunk in one.chunks], pa.int64())
                scan = ArrowScan(table.metadata, table.io, projected, AlwaysTrue())
                first = 1
                # Read without its deletes, as the library does not say which rows it has left out; by this method, as
                # the public one holds all of a file in memory.
                for batch in scan._record_batches_from_scan_tasks_and_deletes([FileScanTask(task.file)], {}):
                    for part in _sliced(batch):
                        positions = positions_from(first, part.num_rows)
                        first += part.num_rows
                        arrays = [part.column(name).cast(kinds.field(name).type) for name in columns]
                        typed = pa.RecordBatch.from_arrays(arrays, names=list(columns))
                        if len(gone):
                            kept = pc.invert(pc.is_in(pc.subtract(positions, 1), gone))
                            typed, positions = typed.filter(kept), positions.filter(kept)
                        if typed.num_rows:
                            yield typed, positions
            except FileNotFoundError as error:
                raise SourceError(
                    f"the Iceberg table {self.table}: the file {task.file.file_path} is not there; its snapshot was "
                    "expired, or the file deleted by hand; read a later snapshot, or restore the file"
                ) from error

    def _snapshot(self, table: Table) -> Snapshot | None:
        """Return the snapshot to read; None where the table has none yet.

        Raises:
            SourceError: the one that is asked for is not there.
        """
        if self.snapshot_id is None and self.as_of is None:
            return table.current_snapshot()
        if self.as_of is not None:
            moment = self.as_of if self.as_of.tzinfo else self.as_of.replace(tzinfo=timezone.utc)
            found = table.snapshot_as_of_timestamp(int(moment.timestamp() * 1000))
            asked = f"from {moment.isoformat()} or before"
        else:
            assert self.snapshot_id is not None
            found, asked = table.snapshot_by_id(self.snapshot_id), str(self.snapshot_id)
        if found is None:
            first = min((entry.timestamp_ms for entry in table.history()), default=None)
            since = f"; its history begins at {_moment(first)}" if first is not None else ""
            raise SourceError(
                f"the Iceberg table {self.table} has no snapshot {asked}: there was none, or it was expired{since}"
            )
        return found

    def _schema(self, table: Table, snapshot: Snapshot | None) -> Schema:
        if snapshot is None or (self.snapshot_id is None and self.as_of is None):
            return table.schema()
        return table.scan(snapshot_id=snapshot.snapshot_id).projection()

    def _files_since(self, table: Table, snapshot: Snapshot, since: str) -> list[FileScanTask]:
        """Return the files that were appended after a cursor.

        Raises:
            SourceError: the cursor is of another table, its history does not reach back so far, or rows were changed.
        """
        from pyiceberg.table.snapshots import Operation, ancestors_of

        cursor = _Cursor.parse(since)
        if cursor.snapshot == snapshot.snapshot_id and cursor.table == str(table.metadata.table_uuid):
            return []
        later: list[Snapshot] = []
        for one in ancestors_of(snapshot, table.metadata):
            if one.snapshot_id == cursor.snapshot:
                break
            later.append(one)
        if cursor.table != str(table.metadata.table_uuid) or later[-1].parent_snapshot_id != cursor.snapshot:
            raise SourceError(
                f"the Iceberg table {self.table} no longer has the history between snapshot {cursor.snapshot}, up to "
                f"which it was read, and {snapshot.snapshot_id}: it was made anew, set back, or its snapshots were "
                "expired; run once with --full-refresh"
            )
        for one in later:
            operation = one.summary.operation if one.summary else Operation.OVERWRITE
            if operation not in (Operation.APPEND, Operation.REPLACE):
                raise SourceError(
                    f"snapshot {one.snapshot_id} of the Iceberg table {self.table} ({operation.value}) changed or "
                    "deleted rows that were there before, which reading on cannot tell; run once with --full-refresh"
                )
        scan = table.incremental_append_scan(
            from_snapshot_id_exclusive=cursor.snapshot, to_snapshot_id_inclusive=snapshot.snapshot_id
        )
        return list(scan.plan_files())

    def _layout(self, schema: Schema) -> Layout:
        names = ColumnNames(self.text_column, self.label_column, self.id_column)
        return names.over(arrow_schema(schema), f"the Iceberg table {self.table}")


@dataclass(frozen=True)
class _Cursor:
    """How far a table has been read: up to a snapshot."""

    table: str
    snapshot: int

    @classmethod
    def parse(cls, text: str) -> _Cursor:
        try:
            said = json.loads(text)
            return cls(str(said["table"]), int(said["snapshot"]))
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{text[:80]!r} is not the cursor of an Iceberg table; reset the pipeline's state to read from the "
                "beginning"
            ) from error

    def text(self) -> str:
        return json.dumps({"table": self.table, "snapshot": self.snapshot})


def _name(task: FileScanTask, location: str) -> str:
    """Return the name of a file within the table's place, the same wherever that is seen from."""
    return str(task.file.file_path).removeprefix(location).lstrip("/")


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows = max(1, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _known(task: FileScanTask, schema: Schema) -> Known:
    """Return what the manifest says of a file, by the table's columns."""
    from pyiceberg.conversions import from_bytes
    from pyiceberg.types import PrimitiveType

    def by_column(bounds: Mapping[int, bytes] | None) -> dict[str, Any]:
        return {
            field.name: from_bytes(field.field_type, bounds[field.field_id])
            for field in schema.fields
            if bounds and field.field_id in bounds and isinstance(field.field_type, PrimitiveType)
        }

    counts = task.file.null_value_counts or {}
    nulls = {field.name: counts[field.field_id] for field in schema.fields if field.field_id in counts}
    return Known({}, by_column(task.file.lower_bounds), by_column(task.file.upper_bounds), nulls)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat()
