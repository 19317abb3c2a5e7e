"""A sink of rows to an Iceberg table."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from connectors.errors import SinkError
from connectors.modal_sink import KeyedSink, holds_rows
from connectors.object_store.store_options import places
from connectors.sink import Receipt
from connectors.tables.iceberg_table import IcebergOptions, arrow_schema, filesystem_of, stored_schema
from connectors.tables.staged_files import StagedFile, Staging, directory_name

if TYPE_CHECKING:
    from pyiceberg.table import Table, Transaction

_COMMIT_ID = "headrace.commit-id"
_CURSOR = "headrace.cursor"
_CHUNK_BYTES = 64 * 1024 * 1024
_WAITS = (0.1, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait after each time that another writer was faster."""


class IcebergTableSink(IcebergOptions, KeyedSink):
    """An Iceberg table, made if it is not there; the namespace must be.

    Each attempt at a partition is a Parquet file, in a directory of the commit within the table's data, that no
    snapshot names. The commit is one change of the table's metadata: it adds those files, or (in the mode ``merge``,
    and where the table is partitioned) writes their rows anew; its snapshots carry the commit's id and the cursor in
    their summaries, where the id is looked for, so snapshots must be kept for longer than it takes to run again. A
    merge compares row by row in the driver, so it is for changes that are small beside the table. What a process that
    was killed within the commit leaves behind is for Iceberg's removal of orphan files.

    Attributes:
        mode: ``error`` refuses a table that holds rows, ``overwrite`` replaces them, ``append`` adds to them, and
            ``merge`` replaces the rows that have the `keys` of new ones, and adds the others.
        keys: the columns that tell rows apart, for ``merge``.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("catalog", "table")

    def identity(self) -> dict[str, object]:
        """Return the table's name, and which storage it is in; see `Sink.identity`."""
        return super().identity() | places(self.properties)

    def holding_rows(self) -> str | None:
        """Look into the table's snapshot; see `KeyedSink.holding_rows`."""
        with self.opened(SinkError) as catalog:
            there = self.has_table(catalog, SinkError) and _holds_files(self.load_table(catalog, SinkError))
            return self._shown() if there else None

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Make the table where it is not there, and the commit's directory; see `Sink.begin`."""
        columns = stored_schema(schema)
        self.require_keys(columns.names)
        with self.opened(SinkError) as catalog:
            if not self.has_table(catalog, SinkError):
                with self.faults(SinkError):
                    catalog.create_table_if_not_exists(self.table, columns)
            table = self.load_table(catalog, SinkError)
            self._check_target(table, commit_id, columns)
        self._staging(table, commit_id).begin(_as_required(columns, table), afresh=not _has(table, commit_id))

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's file; see `Sink.write`."""
        with self.opened(SinkError) as catalog:
            staging = self._staging(self.load_table(catalog, SinkError), commit_id)
        return staging.write(partition, attempt, batches)

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts' files by one change of the table; see `Sink.commit`.

        Where another writer changes the table meanwhile, whether the commit has happened is looked up again, and it is
        tried again.
        """
        with self.opened(SinkError) as catalog:
            table = self.load_table(catalog, SinkError)
            staging = self._staging(table, commit_id)
            if _has(table, commit_id):
                # What was merged was written anew, and any other file may be the table's.
                staging.clear() if self.mode == "merge" else staging.end()
                return
            staging.schema()
            files = staging.staged(commit_id, receipts)
            if self.mode == "merge":
                staging.require_keys(files, self.keys)
            # What is not published goes first, as it is not told from what is once the commit has happened.
            staging.clear(files, ended=False)
            adopts = self._adopts(table)
            for wait in (*_WAITS, None):
                try:
                    self._publish(table, commit_id, cursor, files)
                    break
                except SinkError as error:
                    table = self.load_table(catalog, SinkError)
                    if _has(table, commit_id):
                        break
                    if wait is None or not isinstance(error, _OvertakenError):
                        raise
                    time.sleep(wait * random.uniform(0.5, 1.5))
            staging.clear(files if adopts else ())

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether the table has a snapshot of the commit; see `Sink.is_committed`."""
        with self.opened(SinkError) as catalog:
            return self.has_table(catalog, SinkError) and _has(self.load_table(catalog, SinkError), commit_id)

    def abort(self, commit_id: str) -> None:
        """Delete the commit's files, unless it has happened; see `Sink.abort`."""
        with self.opened(SinkError) as catalog:
            if self.has_table(catalog, SinkError):
                table = self.load_table(catalog, SinkError)
                if not _has(table, commit_id):
                    self._staging(table, commit_id).clear()

    def _shown(self) -> str:
        return f"the Iceberg table {self.table}"

    def _check_target(self, table: Table, commit_id: str, columns: pa.Schema) -> None:
        there = {column.name: column for column in stored_schema(arrow_schema(table.schema()))}
        lacking = [field.name for field in table.schema().fields if field.name not in columns.names]
        new = [name for name in columns.names if name not in there]
        if new and self.new_columns == "refuse":
            raise SinkError(
                f"the Iceberg table {self.table} has no column {new[0]!r}; it has: {', '.join(sorted(there))}; set "
                "new_columns: add, or leave it out of the rows"
            )
        if new:
            with self.faults(SinkError), table.update_schema() as update:
                update.union_by_name(pa.schema([columns.field(name).with_nullable(True) for name in new]))
            there = {column.name: column for column in stored_schema(arrow_schema(table.schema()))}
        required = [name for name in lacking if table.schema().find_field(name).required or self.mode == "merge"]
        if required:
            raise SinkError(f"the Iceberg table {self.table} wants a column {required[0]!r}, which the rows have not")
        for column in columns:
            if column.type != there[column.name].type:
                raise SinkError(
                    f"the Iceberg table {self.table}: column {column.name!r} holds {there[column.name].type}, and the "
                    f"rows {column.type}; convert it, or write to another table"
                )
        if self.mode == "error" and not _has(table, commit_id) and _holds_files(table):
            raise holds_rows(self._shown())

    def _publish(self, table: Table, commit_id: str, cursor: str | None, files: Sequence[StagedFile]) -> None:
        """Change the table once, so that it holds the rows of the files and names the commit, or not at all.

        Raises:
            _OvertakenError: another writer has changed it meanwhile.
        """
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        said = {_COMMIT_ID: commit_id} | ({} if cursor is None else {_CURSOR: cursor})
        # The library would try again by itself on a table that has changed, and that may have the commit by then.
        once = {**table.metadata.properties, "commit.retry.num-retries": "0"}
        table.metadata = table.metadata.model_copy(update={"properties": once})
        with self.faults(SinkError):
            try:
                with table.transaction() as transaction:
                    self._change(transaction, table, commit_id, files, said)
            except (CommitFailedException, ValidationException):
                raise _OvertakenError(
                    f"another writer changed the Iceberg table {self.table} each time that it was tried; run again"
                ) from None

    def _change(
        self, transaction: Transaction, table: Table, commit_id: str, files: Sequence[StagedFile], said: dict[str, str]
    ) -> None:
        from pyiceberg.expressions import AlwaysTrue

        if self.mode == "overwrite" and _holds_files(table):
            transaction.delete(AlwaysTrue(), snapshot_properties=said)
        if self._adopts(table):
            place = f"{table.location()}/data/{directory_name(commit_id)}"
            transaction.add_files([f"{place}/{file.name}" for file in files], snapshot_properties=said)
            return
        for chunk in self._chunks(table, commit_id, files):
            if self.mode == "merge":
                transaction.upsert(chunk, join_cols=list(self.keys), snapshot_properties=said)
            else:
                transaction.append(chunk, snapshot_properties=said)
        # Rows that the table has already make no snapshot, and the commit must be found all the same.
        transaction.add_files([], snapshot_properties=said)

    def _chunks(self, table: Table, commit_id: str, files: Sequence[StagedFile]) -> Iterator[pa.Table]:
        """Yield the rows of the files, so many at a time as memory holds easily."""
        waiting: list[pa.RecordBatch] = []
        for batch in self._staging(table, commit_id).batches(files):
            waiting.append(batch)
            if sum(one.nbytes for one in waiting) >= _CHUNK_BYTES:
                yield pa.Table.from_batches(waiting)
                waiting = []
        if waiting:
            yield pa.Table.from_batches(waiting)

    def _adopts(self, table: Table) -> bool:
        """Tell whether the staged files can be the table's as they are."""
        return self.mode != "merge" and table.spec().is_unpartitioned()

    def _staging(self, table: Table, commit_id: str) -> Staging:
        with self.faults(SinkError):
            filesystem, path = filesystem_of(table)
        return Staging(filesystem, f"{path}/data/{directory_name(commit_id)}", lambda: self.faults(SinkError))


class _OvertakenError(SinkError):
    """Another writer was faster."""


def _has(table: Table, commit_id: str) -> bool:
    return any(one.summary is not None and one.summary.get(_COMMIT_ID) == commit_id for one in table.snapshots())


def _holds_files(table: Table) -> bool:
    snapshot = table.current_snapshot()
    if snapshot is None:
        return False
    return snapshot.summary is None or snapshot.summary.get("total-data-files", "1") != "0"


def _as_required(columns: pa.Schema, table: Table) -> pa.Schema:
    """Return the columns so that those which the table does not let be null are not."""
    required = {field.name for field in table.schema().fields if field.required}
    return pa.schema([field.with_nullable(field.name not in required) for field in columns])
