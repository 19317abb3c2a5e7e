"""A sink of JSON-lines files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa

from connectors.errors import SinkError
from connectors.files.compression import SUFFIXES, Compression, compressed
from connectors.files.sink import FileSink


class JsonLinesSink(FileSink):
    """A directory of files of one JSON object a line (UTF-8), one file for each partition that has rows.

    Dates and times are written in ISO 8601, decimals as strings, and numbers that JSON lacks (NaN, infinities) as
    null.

    Attributes:
        compression: of the files.
    """

    compression: Compression = "none"

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
        super().begin(commit_id, schema)

    def suffix(self) -> str:
        """Return it, with that of the compression; see `FileSink.suffix`."""
        return f".jsonl{SUFFIXES[self.compression]}"

    @contextmanager
    def open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Write as the options say; see `FileSink.open`."""
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
