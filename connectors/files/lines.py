"""Reading files as lines of bytes, strictly: every line is text in the encoding it is said to have, or a fault."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import pyarrow as pa
from pydantic import AfterValidator

from connectors.errors import SourceError
from connectors.files.paths import File, local_path
from connectors.source import MAX_VALUE_CHARACTERS, BadRow

if TYPE_CHECKING:
    from connectors.files.partition import FilePart

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A longer line, record or file is taken for a mistake (a file without newlines, a quote never closed): no text to be
classified is that long, and a reader must not grow with its input."""

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_ASCII = bytes(range(128))


def _known(encoding: str) -> str:
    try:
        codecs.lookup(encoding)
        "".encode(encoding)
    except LookupError as error:
        raise ValueError(
            f"{encoding!r} is not a text encoding that Python knows; utf-8, latin-1, cp1252, gb18030, big5, shift_jis "
            "and utf-16 are some that it does"
        ) from error
    return encoding


def _line_wise(encoding: str) -> str:
    try:
        if _ASCII.decode(_known(encoding)) == _ASCII.decode("ascii"):
            return encoding
    except UnicodeError:
        pass
    raise ValueError(
        f"{encoding!r} does not keep newlines as single bytes, so lines cannot be told apart; convert the file with "
        f"iconv -f {encoding} -t utf-8"
    )


Encoding = Annotated[str, AfterValidator(_known)]
"""The name of any text encoding that Python knows."""

LineEncoding = Annotated[str, AfterValidator(_line_wise)]
"""The name of an encoding in which ASCII bytes mean ASCII characters, as in all but UTF-16, UTF-32 and a few others."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a record: the stable name that counts are kept by, and a sentence for a person."""

    rule: str
    reason: str

    def at(self, file: File, position: int, value: bytes | str, row_id: str | None = None) -> BadRow:
        """Return the bad row that has this fault; bytes are shown as text, what cannot be decoded as escapes."""
        head = value[:MAX_VALUE_CHARACTERS]
        shown = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
        return BadRow(self.rule, self.reason, file.address, position, shown, row_id or f"{file.name}:{position}")


def is_compressed(address: str) -> bool:
    """Tell by its suffix (``.gz``, ``.zst``) whether a file is compressed."""
    return _compression(address) is not None


@contextmanager
def open_file(file: File) -> Iterator[BinaryIO]:
    """Open a file for reading, decompressed as its suffix says; one in an object store is read as it is asked for.

    Raises:
        SourceError: it cannot be opened, or (while it is read) it is truncated or not compressed as its
        suffix says.
    """
    address = file.address
    compression = _compression(address)
    try:
        if compression is None:
            with open_stored(file) as plain:
                yield plain
        else:
            whole = str(local_path(address)) if file.storage is None else open_stored(file)
            with pa.input_stream(whole, compression=compression) as stream:
                yield cast(BinaryIO, io.BufferedReader(stream, buffer_size=256 * 1024))
    except OSError as error:
        hint = f"; it must be whole {compression} data, or have another suffix" if compression else ""
        raise SourceError(f"{address} cannot be read: {error.strerror or error}{hint}") from error


def open_stored(file: File) -> BinaryIO:
    """Open a file of this machine or of an object store, as it is stored; it can be sought in."""
    if file.storage is None:
        return local_path(file.address).open("rb")
    # Imported late: an object store is another matter than lines.
    from connectors.object_store.reader import RANGE_BYTES, ObjectReader

    return io.BufferedReader(ObjectReader(file.address, file.size, file.storage), buffer_size=RANGE_BYTES)


def read_lines(part: FilePart) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a part with their numbers in the file, from 1, newlines included.

    Lines end with LF or CRLF. A byte order mark at the head of the file is left out. A line longer than
    `MAX_RECORD_BYTES` comes cut to one byte more than that, which is how to tell.
    """
    with open_file(part.file) as stream:
        if part.start:
            stream.seek(part.start)
        position, number = part.start, part.first_line
        while part.stop is None or position < part.stop:
            line = stream.readline(MAX_RECORD_BYTES + 1)
            if not line:
                return
            position += len(line)
            if len(line) > MAX_RECORD_BYTES:
                position += _skip_line(stream, line)
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield number, line
            number += 1


def decode(data: bytes, encoding: str) -> str | Fault:
    """Return a record as text, or what is wrong with it: ``too_long``, ``nul_byte`` or ``undecodable``."""
    if len(data) > MAX_RECORD_BYTES:
        return Fault("too_long", f"longer than {MAX_RECORD_BYTES:,} bytes, so it is not taken for one record")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = error.object[error.start : error.end].hex(" ")
        return Fault("undecodable", f"not {encoding}: byte {error.start + 1} ({wrong}): {error.reason}")
    if "\0" in text:
        return Fault("nul_byte", f"a NUL at character {text.index(chr(0)) + 1}: binary data, or text in UTF-16")
    return text


def _skip_line(stream: BinaryIO, line: bytes) -> int:
    skipped = 0
    while line and not line.endswith(b"\n"):
        line = stream.readline(MAX_RECORD_BYTES)
        skipped += len(line)
    return skipped


def _compression(address: str) -> str | None:
    return next((name for suffix, name in _COMPRESSIONS.items() if address.lower().endswith(suffix)), None)
