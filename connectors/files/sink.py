"""The base of the sinks of files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import BinaryIO, ClassVar

import pyarrow as pa

from connectors.files.directory import DirectoryOption, sink_directory
from connectors.files.target import FileTarget, Mode
from connectors.modal_sink import ModalSink
from connectors.object_store.storage import StorageOptions
from connectors.sink import Receipt


class FileSink(ModalSink):
    """A directory of files, one for each partition that has rows; see `FileTarget` for what a commit is.

    Attributes:
        path: the directory, made if it is not there; on several machines, storage that all of them share, or an
            address in an object store (``s3://bucket/…``).
        mode: ``error`` refuses a directory that holds data, ``overwrite`` replaces it, ``append`` adds to it.
        storage: how the object store is reached.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "storage")

    path: DirectoryOption
    mode: Mode = "error"
    storage: StorageOptions = StorageOptions()

    @abstractmethod
    def suffix(self) -> str:
        """Return what the files' names end in, from the dot."""

    @abstractmethod
    def open(self, stream: BinaryIO, schema: pa.Schema) -> AbstractContextManager[Callable[[pa.Table], None]]:
        """Return a context manager that yields what appends rows of `schema` to a file, and completes it at its end."""

    def check(self) -> None:
        """Refuse a directory that holds data where the mode is ``error``; see `Sink.check`."""
        self._target().check()

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`."""
        self._target().begin(commit_id, schema)

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's file; see `Sink.write`."""
        return self._target().write(commit_id, partition, attempt, batches, self.open)

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
        return FileTarget(sink_directory(self.path, self.storage), self.mode, self.suffix(), self.new_columns)
