"""A sink of CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, ClassVar

import pyarrow as pa
import pyarrow.csv as pcsv
from pydantic import field_validator

from connectors.errors import SinkError
from connectors.files.compression import SUFFIXES, Compression, compressed
from connectors.files.directory import DirectoryOption, sink_directory
from connectors.files.sink import FileTarget, Mode
from connectors.modal_sink import ModalSink
from connectors.object_store.storage import StorageOptions
from connectors.sink import Receipt


class CsvSink(ModalSink):
    """A directory of CSV files (UTF-8, strings quoted, a null as an empty field), one for each partition with rows.

    Attributes:
        path: the directory, made if it is not there; on several machines, storage that all of them share, or an
            address in an object store (``s3://bucket/…``).
        mode: ``error`` refuses a directory that holds data, ``overwrite`` replaces it, ``append`` adds to it.
        delimiter: one character.
        header: whether the first record of each file names the columns.
        compression: of the files.
        storage: how the object store is reached.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "storage")

    path: DirectoryOption
    mode: Mode = "error"
    delimiter: str = ","
    header: bool = True
    compression: Compression = "none"
    storage: StorageOptions = StorageOptions()

    @field_validator("delimiter")
    @classmethod
    def _is_one_character(cls, value: str) -> str:
        if len(value.encode()) != 1 or value in '\r\n\0"':
            raise ValueError(f"one ASCII character is wanted, neither a line end nor a quote; got {value!r}")
        return value

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`.

        Raises:
            SinkError: a column is nested or holds bytes, which CSV has no way to write.
        """
        for field in schema:
            if field.type.num_fields or pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
                raise SinkError(
                    f"column {field.name!r} holds {field.type}, which CSV cannot hold; use JsonLinesSink or "
                    "ParquetSink, or leave the column out"
                )
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
        return FileTarget(
            sink_directory(self.path, self.storage), self.mode, f".csv{SUFFIXES[self.compression]}", self.new_columns
        )

    @contextmanager
    def _open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        options = pcsv.WriteOptions(include_header=self.header, delimiter=self.delimiter)
        with (
            compressed(stream, self.compression) as whole,
            pcsv.CSVWriter(whole, schema, write_options=options) as writer,
        ):
            yield writer.write_table
