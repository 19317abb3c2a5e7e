"""Tables as files of Arrow's formats, and of ORC."""

from __future__ import annotations

import io

import pyarrow as pa
from pyarrow import orc


def arrow_bytes(table: pa.Table, kind: str) -> bytes:
    """Return the bytes of a ``file`` or ``stream`` of Arrow IPC, or of ``orc``."""
    written = io.BytesIO()
    if kind == "orc":
        orc.write_table(table, written)
    else:
        with {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}[kind](written, table.schema) as writer:
            writer.write_table(table)
    return written.getvalue()
