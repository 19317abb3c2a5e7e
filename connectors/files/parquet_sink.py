"""A sink of Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from connectors.files.sink import FileSink

ROW_GROUP_BYTES = 64 * 1024 * 1024
"""Of Arrow memory: row groups large enough for columns to compress well, small enough to be read by one task each."""


class ParquetSink(FileSink):
    """A directory of Parquet files, one for each partition that has rows.

    Attributes:
        compression: of the columns.
    """

    compression: Literal["none", "snappy", "gzip", "zstd"] = "zstd"

    def suffix(self) -> str:
        """Return it, see `FileSink.suffix`."""
        return ".parquet"

    @contextmanager
    def open(self, stream: BinaryIO, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
        """Write as the options say; see `FileSink.open`."""
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
