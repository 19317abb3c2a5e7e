"""A sink of JSON-lines files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, ClassVar

import pyarrow as pa

from connectors.errors import SinkError
from connectors.files.compression import SUFFIXES, Compression, compressed
from connectors.files.directory import DirectoryOption, sink_directory
from connectors.files.sink import FileTarget, Mode
from connectors.modal_sink import ModalSink
from connectors.object_store.storage import StorageOptions
from connectors.sink import Receipt


class JsonLinesSink(ModalSink):
    """A directory of files of one JSON object a line (UTF-8), one file for each partition that has rows.

    Dates and times are written in ISO 8601, decimals as strings, and numbers that JSON lacks (NaN, infinities) as
    null.

    Attributes:
        path: the directory, made if it is not there; on several machines, storage that all of them share, or an
            address in an object store (``s3://bucket/…``).
        mode: ``error`` refuses a directory that holds data, ``overwrite`` replaces it, ``append`` adds to it.
        compression: of the files.
        storage: how the object store is reached.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "storage")

    path: DirectoryOption
    mode: Mode = "error"
    compression: Compression = "none"
    storage: StorageOptions = StorageOptions()

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage; see `Sink.begin`.

        Raises:
            SinkError: a column holds bytes, which JSON cannot.
        """
        for field in schema:
            if _holds_bytes(field.type):
                raise SinkError(
                    f"column {field.name!r} holds {field.type}, which JSON cannot hold; use ParquetSink, or leave it "
                    "out"
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
            sink_directory(self.path, self.storage), self.mode, f".jsonl{SUFFIXES[self.compression]}", self.new_columns
        )

    @contextmanager
    def _open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        with compressed(stream, self.compression) as whole:

            def append(table: pa.Table) -> None:
                for batch in table.to_batches(max_chunksize=10_000):
                    whole.write("".join(_line(row) for row in batch.to_pylist()).encode())

            yield append


def _line(row: dict[str, object]) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_text) + "\n"
    except ValueError:
        return json.dumps(_finite(row), ensure_ascii=False, default=_text) + "\n"


def _text(value: object) -> str:
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None else str(value)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(member) for member in value]
    return value


def _holds_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return any(_holds_bytes(kind.field(index).type) for index in range(kind.num_fields))
