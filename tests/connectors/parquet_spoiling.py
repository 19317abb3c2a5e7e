"""Parquet files of which one column cannot be read, so that it shows whether it is."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq


def spoil(path: Path, column: str) -> None:
    """Overwrite what a file holds of a column; its footer and the other columns stay as they are."""
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    data = bytearray(path.read_bytes())
    for chunk in chunks:
        if chunk.path_in_schema == column:
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)
