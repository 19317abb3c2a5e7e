"""A sink of rows to a Delta table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import SinkError
from connectors.modal_sink import KeyedSink, holds_rows
from connectors.object_store.store_options import places
from connectors.sink import Receipt
from connectors.tables.delta_table import DeltaOptions, stored_schema, table_schema
from connectors.tables.staged_files import StagedFile, Staging, directory_name

if TYPE_CHECKING:
    import deltalake

_PLAIN_FEATURES = frozenset({"appendOnly", "invariants", "timestampNtz", "changeDataFeed"})
"""Features of a table to which whole files may be added as they are."""

_LONGEST_STATISTIC = 64
"""Characters of a text that is kept in the log as a file's least or greatest; a longer one would swell the log."""


class DeltaTableSink(DeltaOptions, KeyedSink):
    """A Delta table, made if it is not there.

    Each attempt at a partition is a Parquet file, in a directory of the commit within the table's, that no version of
    the table names. The commit is one version: it names those files, or (in the mode ``merge``, and where the table is
    partitioned, constrained or has columns that it makes itself) writes their rows anew; it also holds the commit's id,
    as a transaction of the application ``headrace/<id>``, and in its commit info the id and the cursor. What a process
    that was killed within the commit leaves of attempts that were not published, ``VACUUM`` clears away.

    Attributes:
        mode: ``error`` refuses a table that holds rows, ``overwrite`` replaces them, ``append`` adds to them, and
            ``merge`` replaces the rows that have the `keys` of new ones, and adds the others.
        keys: the columns that tell rows apart, for ``merge``.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path",)

    def identity(self) -> dict[str, object]:
        """Return the table's name, and which storage it is in; see `Sink.identity`."""
        return super().identity() | places(self.storage_options)

    def holding_rows(self) -> str | None:
        """Look into the table's newest version; see `KeyedSink.holding_rows`."""
        there = self.has_table(SinkError) and self.open_table(SinkError).file_uris()
        return self._shown() if there else None

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Make the table where it is not there, and the commit's directory; see `Sink.begin`."""
        columns = stored_schema(schema)
        self.require_keys(columns.names)
        self._prepare(commit_id, columns)
        self._staging(commit_id).begin(columns, afresh=not self.is_committed(commit_id))

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's file; see `Sink.write`."""
        return self._staging(commit_id).write(partition, attempt, batches, _statistics)

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts' files as one version of the table; see `Sink.commit`."""
        table, staging = self.open_table(SinkError), self._staging(commit_id)
        if _has(table, commit_id):
            # What was merged was written anew, and any other file may be the table's.
            staging.clear() if self.mode == "merge" else staging.end()
            return
        schema, files = staging.schema(), staging.staged(commit_id, receipts)
        if self.mode == "merge":
            staging.require_keys(files, self.keys)
        # What is not published goes first, as it is not told from what is once the commit has happened.
        staging.clear(files, ended=False)
        adopts = self._adopts(table)
        try:
            self._publish(table, commit_id, cursor, files, schema)
        except SinkError:
            # A version may be written although the library then fails, at a checkpoint say.
            if not self.is_committed(commit_id):
                raise
        staging.clear(files if adopts else ())

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether the table has the commit's transaction; see `Sink.is_committed`."""
        return self.has_table(SinkError) and _has(self.open_table(SinkError), commit_id)

    def abort(self, commit_id: str) -> None:
        """Delete the commit's files, unless it has happened; see `Sink.abort`."""
        if self.has_table(SinkError) and not self.is_committed(commit_id):
            self._staging(commit_id).clear()

    def _prepare(self, commit_id: str, columns: pa.Schema) -> None:
        """Make the table, or see to it that the one that is there can take the rows."""
        library = self.library(SinkError)
        for column in columns:
            with self.faults(SinkError, f": column {column.name!r}, of {column.type}"):
                library.Schema.from_arrow(pa.schema([column]))
        if not self.has_table(SinkError):
            with self.faults(SinkError):
                library.DeltaTable.create(
                    self.address(), columns, mode="ignore", storage_options=self.resolved_options()
                )
            return
        table = self.open_table(SinkError)
        there = {column.name: column.type for column in stored_schema(table_schema(table))}
        new = [name for name in columns.names if name not in there]
        if new and self.new_columns == "refuse":
            raise SinkError(
                f"the Delta table {self.path} has no column {new[0]!r}; it has: {', '.join(sorted(there))}; set "
                "new_columns: add, or leave it out of the rows"
            )
        if new:
            added = library.Schema.from_arrow(pa.schema([columns.field(name) for name in new]))
            with self.faults(SinkError):
                table.alter.add_columns(added.fields)
            there |= {name: columns.field(name).type for name in new}
        for column in columns:
            if column.type != there[column.name]:
                raise SinkError(
                    f"the Delta table {self.path}: column {column.name!r} holds {there[column.name]}, and the rows "
                    f"{column.type}; convert it, or write to another table"
                )
        if self.mode == "error" and not _has(table, commit_id) and table.file_uris():
            raise holds_rows(self._shown())

    def _shown(self) -> str:
        return f"the Delta table {self.path}"

    def _publish(
        self,
        table: deltalake.DeltaTable,
        commit_id: str,
        cursor: str | None,
        files: Sequence[StagedFile],
        schema: pa.Schema,
    ) -> None:
        """Make the one version of the table that holds the rows of the files, and the commit's id.

        The library refuses it where another process has made a version with the same transaction meanwhile.
        """
        properties = _properties(commit_id, cursor)
        overwrites = self.mode == "overwrite"
        if files and self.mode == "merge":
            self._merge(table, commit_id, files, schema, properties)
        elif not files or self._adopts(table):
            mode = "overwrite" if overwrites else "append"
            with self.faults(SinkError):
                added = [_add(commit_id, file) for file in files]
                table.create_write_transaction(
                    added, mode, table.schema(), table.metadata().partition_columns, commit_properties=properties
                )
        else:
            from deltalake import write_deltalake

            rows = pa.RecordBatchReader.from_batches(*self._complete(table, commit_id, files))
            with self.faults(SinkError):
                write_deltalake(table, rows, mode="overwrite" if overwrites else "append", commit_properties=properties)

    def _merge(
        self,
        table: deltalake.DeltaTable,
        commit_id: str,
        files: Sequence[StagedFile],
        schema: pa.Schema,
        properties: deltalake.CommitProperties,
    ) -> None:
        rows = pa.RecordBatchReader.from_batches(schema, _in_a_thread(self._staging(commit_id).batches(files)))
        same = " AND ".join(f"target.{_quoted(key)} = source.{_quoted(key)}" for key in self.keys)
        values = {_quoted(name): f"source.{_quoted(name)}" for name in schema.names}
        with self.faults(SinkError):
            (
                table.merge(rows, same, source_alias="source", target_alias="target", commit_properties=properties)
                .when_matched_update(values)
                .when_not_matched_insert(values)
                .execute()
            )

    def _complete(
        self, table: deltalake.DeltaTable, commit_id: str, files: Sequence[StagedFile]
    ) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the rows of the files with all columns of the table, null where the rows have none."""
        schema = table_schema(table)

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in self._staging(commit_id).batches(files):
                arrays = [
                    batch.column(field.name).cast(field.type)
                    if field.name in batch.schema.names
                    else pa.nulls(batch.num_rows, field.type)
                    for field in schema
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

        return schema, _in_a_thread(batches())

    def _adopts(self, table: deltalake.DeltaTable) -> bool:
        """Tell whether the staged files can be the table's as they are: nothing is to be checked or made of rows."""
        metadata, schema = table.metadata(), table.schema()
        properties = metadata.configuration
        return (
            self.mode != "merge"
            and not metadata.partition_columns
            and not {*(table.protocol().writer_features or ())} - _PLAIN_FEATURES
            and properties.get("delta.columnMapping.mode", "none") == "none"
            and not any(name.startswith("delta.constraints.") for name in properties)
            and all(field.nullable and not field.metadata for field in schema.fields)
        )

    def _staging(self, commit_id: str) -> Staging:
        return Staging(self.filesystem(SinkError), directory_name(commit_id), lambda: self.faults(SinkError))


def _in_a_thread(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches that are read in a thread of their own: the library's own threads may not read by the library."""
    with ThreadPoolExecutor(1) as thread:
        while (batch := thread.submit(next, batches, None).result()) is not None:
            yield batch


def _has(table: deltalake.DeltaTable, commit_id: str) -> bool:
    return table.transaction_version(_application(commit_id)) is not None


def _application(commit_id: str) -> str:
    return f"headrace/{commit_id}"


def _properties(commit_id: str, cursor: str | None) -> deltalake.CommitProperties:
    from deltalake import CommitProperties, Transaction

    said = {"headrace.commit_id": commit_id} | ({} if cursor is None else {"headrace.cursor": cursor})
    transaction = Transaction(_application(commit_id), 1, int(time.time() * 1000))
    return CommitProperties(custom_metadata=said, app_transactions=[transaction])


def _add(commit_id: str, file: StagedFile) -> Any:
    from deltalake.transaction import AddAction

    path, now = f"{directory_name(commit_id)}/{file.name}", int(time.time() * 1000)
    return AddAction(path, file.size, {}, now, True, json.dumps(file.described))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _statistics(footer: pq.FileMetaData) -> dict[str, object]:
    """Return a file's statistics as the log has them, of its columns of texts, whole numbers and dates."""
    least: dict[str, object] = {}
    most: dict[str, object] = {}
    nulls: dict[str, int] = {}
    for index in range(footer.num_columns):
        chunks = [footer.row_group(group).column(index) for group in range(footer.num_row_groups)]
        name = footer.schema.column(index).path
        known = [chunk.statistics for chunk in chunks]
        if "." in name or footer.schema.column(index).max_repetition_level or not all(known):
            continue
        if all(one.has_null_count for one in known):
            nulls[name] = sum(one.null_count for one in known)
        ends = [(one.min, one.max) for one in known if one.has_min_max]
        if len(ends) == len(known) and all(_is_plain(value) for pair in ends for value in pair):
            least[name] = _said(min(low for low, _ in ends))
            most[name] = _said(max(high for _, high in ends))
    return {"numRecords": footer.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_STATISTIC
    return type(value) in (int, date)


def _said(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
