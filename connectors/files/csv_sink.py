"""A sink of CSV files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pcsv
from pydantic import field_validator

from connectors.errors import SinkError
from connectors.files.compression import SUFFIXES, Compression, compressed
from connectors.files.sink import FileSink


class CsvSink(FileSink):
    """A directory of CSV files (UTF-8, strings quoted, a null as an empty field), one for each partition with rows.

    Attributes:
        delimiter: one character.
        header: whether the first record of each file names the columns.
        compression: of the files.
    """

    delimiter: str = ","
    header: bool = True
    compression: Compression = "none"

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
        super().begin(commit_id, schema)

    def suffix(self) -> str:
        """Return it, with that of the compression; see `FileSink.suffix`."""
        return f".csv{SUFFIXES[self.compression]}"

    @contextmanager
    def open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Write as the options say; see `FileSink.open`."""
        options = pcsv.WriteOptions(include_header=self.header, delimiter=self.delimiter)
        with (
            compressed(stream, self.compression) as whole,
            pcsv.CSVWriter(whole, schema, write_options=options) as writer,
        ):
            yield writer.write_table
