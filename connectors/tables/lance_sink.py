"""A sink of rows to a Lance table."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from connectors.arrow_types import plain_type
from connectors.errors import SinkError
from connectors.modal_sink import KeyedSink, holds_rows
from connectors.object_store.store_options import places
from connectors.sink import Receipt, cast_rows
from connectors.tables.lance_table import LanceOptions
from connectors.tables.staged_files import StagedFile, directory_name, named, require_keys

if TYPE_CHECKING:
    import lance
    from lance.file import LanceFileSession

_COMMIT_ID = "headrace.commit_id"
_CURSOR = "headrace.cursor"
_DATA = "data"
_READ_ROWS = 8_192


class LanceTableSink(LanceOptions, KeyedSink):
    """A Lance table, made if it is not there.

    Each attempt at a partition is a data file among the table's, named for the commit, that no version of the table
    names. The commit is one version: it names those files, or (in the mode ``merge``) writes their rows anew; its
    transaction holds the commit's id and the cursor, and the id is looked for among the transactions of all versions
    that the table still has. So versions must be kept for longer than it takes to run again (``cleanup_old_versions``
    keeps two weeks of them if not told otherwise), and a commit must be made by one process at a time, as Lance puts
    two that add rows one after the other. What a process leaves that was killed within a write or a merge, its cleanup
    clears away.

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
        table = self.find_table(SinkError)
        if table is None:
            return None
        with self.faults(SinkError):
            return self._shown() if table.count_rows() else None

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Make the table where it is not there, and clear what an earlier try has left; see `Sink.begin`."""
        columns = pa.schema([pa.field(one.name, plain_type(one.type)) for one in schema])
        self.require_keys(columns.names)
        table = self.find_table(SinkError) or self._made(columns)
        committed = self._has(table, commit_id)
        self._check_target(table, columns)
        if self.mode == "error" and not committed and table.count_rows():
            raise holds_rows(self._shown())
        if not committed:
            self._clear(table, commit_id)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's file; see `Sink.write`."""
        filled = (batch for batch in batches if batch.num_rows)
        first = list(islice(filled, 1))
        if not first:
            return Receipt(partition, attempt, rows=0, bytes=0)
        table = self.open_table(SinkError)
        name = f"{directory_name(commit_id)}-{partition:05d}-{attempt}-{secrets.token_hex(8)}.lance"
        with self.faults(SinkError):
            columns = pa.schema([table.schema.field(name) for name in first[0].schema.names])
            writer = self._session().open_writer(name, schema=columns, version=table.data_storage_version)
        try:
            # What the batches raise is not the store's fault, so only what is done to the file is under faults.
            for batch in chain(first, filled):
                rows = cast_rows(batch, columns)
                with self.faults(SinkError):
                    writer.write_batch(rows)
            with self.faults(SinkError):
                written = writer.close()
        except BaseException:
            # The file appears when the writer is closed, and what it has written so far goes with it.
            del writer
            raise
        file = StagedFile(name, int(written or 0), int(writer.size_bytes or 0), {"columns": columns.names})
        return Receipt(partition, attempt, file.rows, file.size, (json.dumps(vars(file)),))

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts' files as one version of the table; see `Sink.commit`."""
        table = self.open_table(SinkError)
        if not self._has(table, commit_id):
            files = self._staged(commit_id, receipts)
            if self.mode == "merge":
                require_keys(self._batches(files, self.keys), self.keys)
            # What is not published goes first, as it is not told from what is once the commit has happened.
            self._clear(table, commit_id, files)
            try:
                self._publish(table, commit_id, cursor, files)
            except SinkError:
                # A version may be written although the answer of the store was lost.
                if not self.is_committed(commit_id):
                    raise
        if self.mode == "merge":
            self._clear(table, commit_id)

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether a version of the table has the commit's transaction; see `Sink.is_committed`."""
        table = self.find_table(SinkError)
        return table is not None and self._has(table, commit_id)

    def abort(self, commit_id: str) -> None:
        """Delete the commit's files, unless it has happened; see `Sink.abort`."""
        table = self.find_table(SinkError)
        if table is not None and not self._has(table, commit_id):
            self._clear(table, commit_id)

    def _shown(self) -> str:
        return f"the Lance table {self.path}"

    def _made(self, columns: pa.Schema) -> lance.LanceDataset:
        library = self.library(SinkError)
        from lance.commit import CommitConflictError

        with self.faults(SinkError):
            try:
                # Not by write_dataset: where another process makes the table meanwhile, that empties it. As no other
                # version is read and nothing is tried again, this makes the first version or fails.
                library.LanceDataset.commit(
                    self.address(),
                    library.LanceOperation.Overwrite(columns, []),
                    read_version=0,
                    max_retries=0,
                    storage_options=self.resolved_options(),
                    enable_v2_manifest_paths=True,
                )
            except (OSError, CommitConflictError):
                # Another process has made it meanwhile.
                if self.find_table(SinkError) is None:
                    raise
        return self.open_table(SinkError)

    def _check_target(self, table: lance.LanceDataset, columns: pa.Schema) -> None:
        there = {field.name: plain_type(field.type) for field in table.schema}
        new = [name for name in columns.names if name not in there]
        if new and self.new_columns == "refuse":
            raise SinkError(
                f"the Lance table {self.path} has no column {new[0]!r}; it has: {', '.join(sorted(there))}; set "
                "new_columns: add, or leave it out of the rows"
            )
        if new:
            added = pa.schema([columns.field(name).with_nullable(True) for name in new])
            with self.faults(SinkError):
                table.add_columns(added)
            there |= {field.name: plain_type(field.type) for field in added}
        required = [field.name for field in table.schema if not field.nullable and field.name not in columns.names]
        if required:
            raise SinkError(f"the Lance table {self.path} wants a column {required[0]!r}, which the rows have not")
        for column in columns:
            if column.type != there[column.name]:
                raise SinkError(
                    f"the Lance table {self.path}: column {column.name!r} holds {there[column.name]}, and the rows "
                    f"{column.type}; convert it, or write to another table"
                )

    def _publish(self, table: lance.LanceDataset, commit_id: str, cursor: str | None, files: list[StagedFile]) -> None:
        """Make the one version of the table that holds the rows of the files, and the commit's id."""
        library = self.library(SinkError)
        with self.faults(SinkError):
            fragments = [] if self.mode == "merge" else [self._fragment(table, file) for file in files]
            if files and self.mode == "merge":
                operation = self._merged(table, files)
            elif self.mode == "overwrite":
                operation = library.LanceOperation.Overwrite(table.lance_schema, fragments)
            else:
                operation = library.LanceOperation.Append(fragments)
            said = {_COMMIT_ID: commit_id} | ({} if cursor is None else {_CURSOR: cursor})
            transaction = library.Transaction(table.version, operation, transaction_properties=said)
            library.LanceDataset.commit(table, transaction, storage_options=self.resolved_options())

    def _merged(self, table: lance.LanceDataset, files: list[StagedFile]) -> Any:
        merge = table.merge_insert(list(self.keys)).when_matched_update_all().when_not_matched_insert_all()
        columns = pa.schema([table.schema.field(name) for name in _columns(files[0])])
        rows = pa.RecordBatchReader.from_batches(columns, self._batches(files, None))
        return merge.execute_uncommitted(rows)[0].operation

    def _fragment(self, table: lance.LanceDataset, file: StagedFile) -> Any:
        """Return the metadata by which a version names a staged file."""
        from lance.fragment import DataFile, FragmentMetadata

        version = table.data_storage_version
        fields = {field.name(): field for field in table.lance_schema.fields()}
        numbers = [number for name in _columns(file) for number in _numbers(fields[name], version)]
        stored = len(self._session().open_reader(file.name).metadata().columns)
        if stored != len(numbers):
            raise SinkError(
                f"the Lance table {self.path} stores its columns in a way that cannot be written here ({stored} where "
                f"{len(numbers)} are expected); write to another table"
            )
        major, minor = map(int, version.split("."))
        data = DataFile(file.name, numbers, list(range(len(numbers))), major, minor, file.size)
        return FragmentMetadata(id=0, files=[data], physical_rows=file.rows)

    def _staged(self, commit_id: str, receipts: Sequence[Receipt]) -> list[StagedFile]:
        if len({receipt.partition for receipt in receipts}) < len(receipts):
            raise SinkError(f"commit {commit_id} was given two receipts for one partition; give one for each")
        files, there = named(receipts), set(self._names(commit_id))
        lost = [file.name for file in files if file.name not in there]
        if lost:
            raise SinkError(
                f"commit {commit_id}: {self.path}/{_DATA}/{lost[0]} was staged and is not there: the commit was given "
                "up, or this machine does not see the storage that the workers do; run the write again"
            )
        return files

    def _batches(self, files: Iterable[StagedFile], columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        with self.faults(SinkError):
            session = self._session()
            for file in files:
                reader = session.open_reader(file.name, None if columns is None else list(columns))
                yield from reader.read_all(batch_size=_READ_ROWS).to_batches()

    def _has(self, table: lance.LanceDataset, commit_id: str) -> bool:
        """Tell whether one of the versions that the table still has is of the commit."""
        with self.faults(SinkError):
            return any(
                said is not None and (said.transaction_properties or {}).get(_COMMIT_ID) == commit_id
                for said in table.get_transactions(table.version)
            )

    def _clear(self, table: lance.LanceDataset, commit_id: str, kept: Iterable[StagedFile] = ()) -> None:
        """Delete the commit's files, all but those that are kept or that the table names, of whatever commit."""
        names = set(self._names(commit_id)) - {file.name for file in kept}
        if names:
            names -= {file.path for fragment in table.get_fragments() for file in fragment.data_files()}
        self._delete(names)

    def _names(self, commit_id: str) -> list[str]:
        with self.faults(SinkError):
            found = self._session().list_with_delimiter().objects
        return [name for name in found if name.startswith(directory_name(commit_id))]

    def _delete(self, names: Iterable[str]) -> None:
        with self.faults(SinkError):
            session = self._session()
            for name in names:
                if session.contains(name):
                    session.delete_file(name)

    def _session(self) -> LanceFileSession:
        session: LanceFileSession = self.library(SinkError).file.LanceFileSession(
            f"{self.address().rstrip('/')}/{_DATA}", self.resolved_options()
        )
        return session


def _columns(file: StagedFile) -> list[str]:
    names = file.described["columns"]
    assert isinstance(names, list)
    return names


def _numbers(field: Any, version: str) -> list[int]:
    """Return the numbers of the fields that are columns of a file; since version 2.1, only the innermost are."""
    children = field.children()
    below = [number for child in children for number in _numbers(child, version)]
    return below if children and version != "2.0" else [field.id(), *below]
