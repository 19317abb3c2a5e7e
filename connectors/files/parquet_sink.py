"""A sink of Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.files.directory import DirectoryOption, sink_directory
from connectors.files.sink import FileTarget, Mode
from connectors.modal_sink import ModalSink
from connectors.object_store.storage import StorageOptions
from connectors.sink import Receipt

ROW_GROUP_BYTES = 64 * 1024 * 1024
"""Of Arrow memory: row groups large enough for columns to compress well, small enough to be read by one task each."""


class ParquetSink(ModalSink):
    """A directory of Parquet files, one for each partition that has rows.

    Attributes:
        path: the directory, made if it is not there; on several machines, storage that all of them share, or an
            address in an object store (``s3://bucket/…``).
        mode: ``error`` refuses a directory that holds data, ``overwrite`` replaces it, ``append`` adds to it.
        compression: of the columns.
        storage: how the object store is reached.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "storage")

    path: DirectoryOption
    mode: Mode = "error"
    compression: Literal["none", "snappy", "gzip", "zstd"] = "zstd"
    storage: StorageOptions = StorageOptions()

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`."""
        self._target().begin(commit_id, schema)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's file; see `Sink.write`."""
        return self._target().write(commit_id, partition, attempt, batches, self._open)

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish the receipts' files; see `Sink.commit`."""
        self._target().commit(commit_id, receipts, cursor)

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether the commit ended; see `Sink.is_committed`."""
        return self._target().is_committed(commit_id)

    def abort(self, commit_id: str) -> None:
        """Clear the commit's staging; see `Sink.abort`."""
        self._target().abort(commit_id)

    def _target(self) -> FileTarget:
        return FileTarget(sink_directory(self.path, self.storage), self.mode, ".parquet", self.new_columns)

    @contextmanager
    def _open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        waiting: list[pa.Table] = []
        with pq.ParquetWriter(stream, schema, compression=self.compression) as writer:

            def append(table: pa.Table) -> None:
                waiting.append(table)
                if sum(part.nbytes for part in waiting) >= ROW_GROUP_BYTES:
                    flush()

            def flush() -> None:
                writer.write_table(pa.concat_tables(waiting))
                waiting.clear()

            yield append
            if waiting:
                flush()
