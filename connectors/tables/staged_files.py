"""Staging rows as Parquet files in a directory that no reader looks into: what the sinks of table formats share."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.errors import SinkError
from connectors.sink import Receipt, cast_rows
from connectors.source import BATCH_BYTES

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_SCHEMA = "_schema.arrow"
_SUFFIX = ".parquet"
_ROW_GROUP_BYTES = 64 * 1024 * 1024
_MAX_BATCH_ROWS = 65_536

Describe = Callable[[pq.FileMetaData], dict[str, object]]
"""Says of a file, by its footer, what a table's metadata wants to know of it."""


@dataclass(frozen=True)
class StagedFile:
    """A file that was staged.

    Attributes:
        name: within the commit's directory.
        rows: how many it holds.
        size: in bytes.
        described: what `Describe` said of it.
    """

    name: str
    rows: int
    size: int
    described: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Staging:
    """The directory of one commit's files; those that it publishes stay in it.

    Attributes:
        filesystem: where the directory is.
        directory: its path there.
        faults: turns what goes wrong with the directory into a `SinkError`.
    """

    filesystem: FileSystem
    directory: str
    faults: Callable[[], AbstractContextManager[None]]

    def begin(self, schema: pa.Schema, *, afresh: bool) -> None:
        """Note the columns that all files have; and, where nothing is published, clear what an earlier try has left."""
        if afresh:
            self.clear()
        with self.faults():
            self.filesystem.create_dir(self.directory, recursive=True)
            with self.filesystem.open_output_stream(self._path(_SCHEMA)) as stream:
                stream.write(schema.serialize().to_pybytes())

    def schema(self) -> pa.Schema:
        """Return the columns that were noted.

        Raises:
            SinkError: there are none, as of a commit that was not begun or has been given up.
        """
        with self.faults():
            try:
                with self.filesystem.open_input_file(self._path(_SCHEMA)) as stream:
                    return pa.ipc.read_schema(pa.py_buffer(stream.read()))
            except FileNotFoundError as error:
                raise SinkError(
                    f"{self.directory} is not there: the commit was not begun, or has been given up, or this machine "
                    "does not see the storage that the driver does"
                ) from error

    def write(
        self, partition: int, attempt: int, batches: Iterable[pa.RecordBatch], describe: Describe | None = None
    ) -> Receipt:
        """Stage one attempt at a partition as a file of its own; one without rows stages none."""
        schema = self.schema()
        filled = (batch for batch in batches if batch.num_rows)
        first = list(islice(filled, 1))
        if not first:
            return Receipt(partition, attempt, rows=0, bytes=0)
        name = f"{partition:05d}-{attempt}-{secrets.token_hex(8)}{_SUFFIX}"
        try:
            metadata = self._written(name, schema, chain(first, filled))
        except BaseException:
            self._delete([name])
            raise
        with self.faults():
            size = self.filesystem.get_file_info(self._path(name)).size
        file = StagedFile(name, metadata.num_rows, size, describe(metadata) if describe else {})
        return Receipt(partition, attempt, metadata.num_rows, size, (json.dumps(vars(file)),))

    def staged(self, commit_id: str, receipts: Sequence[Receipt]) -> list[StagedFile]:
        """Return the files that the receipts name.

        Raises:
            SinkError: one of them is not there, or a partition has two receipts.
        """
        if len({receipt.partition for receipt in receipts}) < len(receipts):
            raise SinkError(f"commit {commit_id} was given two receipts for one partition; give one for each")
        files = named(receipts)
        there = set(self._names())
        lost = [file.name for file in files if file.name not in there]
        if lost:
            raise SinkError(
                f"commit {commit_id}: {self._path(lost[0])} was staged and is not there; run the write again"
            )
        return files

    def clear(self, published: Sequence[StagedFile] = (), *, ended: bool = True) -> None:
        """Delete the directory, all but the files that are published and, until the commit has ended, its columns."""
        kept = {file.name for file in published} | (set() if ended else {_SCHEMA})
        names = self._names()
        self._delete([name for name in names if name not in kept])
        if names and not kept:
            with self.faults():
                self.filesystem.delete_dir(self.directory)

    def end(self) -> None:
        """Say that the commit has happened; its files stay, as they may be the table's."""
        self._delete([_SCHEMA])

    def batches(self, files: Iterable[StagedFile]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of files, in their order."""
        for file in files:
            yield from self._read(file, None)

    def require_keys(self, files: Iterable[StagedFile], keys: Sequence[str]) -> None:
        """See to it that every row has a key, and that none comes twice. Holds all keys in memory.

        Raises:
            SinkError: a row has not, or one does.
        """
        require_keys((batch for file in files for batch in self._read(file, keys)), keys)

    def _written(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pq.FileMetaData:
        # What the batches raise is not the store's fault, so only what is done to the file is under faults.
        with ExitStack() as file:
            with self.faults():
                stream = file.enter_context(self.filesystem.open_output_stream(self._path(name)))
                writer = file.enter_context(pq.ParquetWriter(stream, schema, compression="zstd"))
            waiting: list[pa.Table] = []
            for batch in batches:
                waiting.append(cast_rows(batch, schema))
                if sum(table.nbytes for table in waiting) >= _ROW_GROUP_BYTES:
                    with self.faults():
                        writer.write_table(pa.concat_tables(waiting))
                    waiting.clear()
            with self.faults():
                if waiting:
                    writer.write_table(pa.concat_tables(waiting))
                file.close()
        metadata: pq.FileMetaData = writer.writer.metadata
        return metadata

    def _read(self, file: StagedFile, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        with (
            self.faults(),
            self.filesystem.open_input_file(self._path(file.name)) as stream,
            pq.ParquetFile(stream) as parquet,
        ):
            size = sum(parquet.metadata.row_group(one).total_byte_size for one in range(parquet.num_row_groups))
            rows = max(1, min(_MAX_BATCH_ROWS, BATCH_BYTES * file.rows // max(1, size)))
            yield from parquet.iter_batches(batch_size=rows, columns=None if columns is None else list(columns))

    def _names(self) -> list[str]:
        from pyarrow.fs import FileSelector

        with self.faults():
            found = self.filesystem.get_file_info(FileSelector(self.directory, allow_not_found=True))
            return [info.base_name for info in found if info.is_file]

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            with self.faults():
                try:
                    self.filesystem.delete_file(self._path(name))
                except FileNotFoundError:
                    continue

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"


def require_keys(batches: Iterable[pa.RecordBatch], keys: Sequence[str]) -> None:
    """See to it that every row has a key, and that none comes twice; see `Staging.require_keys`.

    Args:
        batches: the rows' keys alone.
        keys: the names of their columns.
    """
    found = list(batches)
    if not found:
        return
    table = pa.Table.from_batches(found)
    listed = ", ".join(keys)
    if any(column.null_count for column in table.columns):
        raise SinkError(f"a row has no key ({listed} is null), so it cannot be merged; give it one, or leave it out")
    counted = table.group_by(list(keys)).aggregate([([], "count_all")])
    twice = counted.filter(pa.compute.field("count_all") > 1).slice(0, 1).to_pylist()
    if twice:
        key = ", ".join(str(twice[0][name]) for name in keys)
        raise SinkError(
            f"{twice[0]['count_all']} rows have the key {key} ({listed}), so which of them the table is to hold "
            "cannot be told; deduplicate them, or merge by more keys"
        )


def named(receipts: Iterable[Receipt]) -> list[StagedFile]:
    """Return the files that receipts name, whether they are there or not."""
    return [StagedFile(**json.loads(text)) for receipt in receipts for text in receipt.staged]


def directory_name(commit_id: str) -> str:
    """Return the name of a commit's directory, whatever its id may hold."""
    return f"headrace-{hashlib.sha256(commit_id.encode()).hexdigest()[:24]}"
