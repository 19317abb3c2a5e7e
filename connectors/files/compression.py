"""Compressing the files that sinks of text write."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import pyarrow as pa

if TYPE_CHECKING:
    from typing_extensions import Buffer

Compression = Literal["none", "gzip", "zstd"]
"""How text files are compressed; the suffix says so to readers."""

SUFFIXES: dict[Compression, str] = {"none": "", "gzip": ".gz", "zstd": ".zst"}


@contextmanager
def compressed(stream: BinaryIO, compression: Compression) -> Iterator[BinaryIO]:
    """Yield what compresses into a file that stays open; without a compression, the file."""
    if compression == "none":
        yield stream
        return
    with pa.CompressedOutputStream(_StaysOpen(stream), compression) as smaller:
        yield cast(BinaryIO, smaller)


class _StaysOpen(io.RawIOBase):
    """Hands on what is written, and leaves the file open that it is written to, for its owner to see it closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Buffer) -> int:
        """Write all of it."""
        return self._stream.write(data)
