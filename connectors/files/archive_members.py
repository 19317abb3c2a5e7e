"""The documents inside archives: members of zip and tar files, and files that are a document each."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import BinaryIO, cast

import pyarrow as pa

from connectors.errors import SourceError
from connectors.files.lines import Fault, open_stored
from connectors.files.paths import File

HTML_TYPE = "text/html"
PLAIN_TYPE = "text/plain"

_HTML_SUFFIXES = (".html", ".htm", ".xhtml", ".shtml")
_COMPRESSIONS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}
_PIECE = 1024
_UNREADABLE = (RuntimeError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, ValueError, struct.error)
"""What Python's zipfile raises for members that are damaged, encrypted or packed in a way that it does not know."""


@dataclass(frozen=True)
class Document:
    """A document as it was found.

    Attributes:
        position: its number in the file, from 1, counting all members or records.
        data: its bytes, or what is wrong with it.
        content_type: what it is, without parameters.
        name: of the member; None where the file is the document.
        url: where it was fetched from.
        date: when it was fetched, or last changed.
        charset: what its source says that it is encoded in.
    """

    position: int
    data: bytes | Fault
    content_type: str = PLAIN_TYPE
    name: str | None = None
    url: str | None = None
    date: datetime | None = None
    charset: str | None = None


def kind_of(address: str) -> str:
    """Return what a file is, by its name: ``warc``, ``zip``, ``tar`` or ``document``."""
    name = _inner(address)
    if name.endswith((".warc", ".wet")):
        return "warc"
    if name.endswith(".zip"):
        return "zip"
    return "tar" if name.endswith(".tar") or address.lower().endswith(".tgz") else "document"


def zip_members(file: File, pattern: str, limit: int) -> Iterator[Document]:
    """Yield the members of a zip file whose names match `pattern`; directories are none.

    Args:
        file: the archive.
        pattern: a glob.
        limit: the size in bytes, unpacked, that a member may have.
    """
    with _opened(file) as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except _UNREADABLE as error:
            yield Document(1, Fault("corrupt_archive", f"no zip file, or a damaged one: {error}"))
            return
        with archive:
            for position, member in enumerate(archive.infolist(), 1):
                if not member.is_dir() and _matches(member.filename, pattern):
                    data = _zip_data(archive, member, limit)
                    yield _member(position, member.filename, data, _zip_date(member))


def tar_members(file: File, pattern: str, limit: int) -> Iterator[Document]:
    """Yield the members of a tar file, perhaps compressed, whose names match `pattern`; only files are members.

    Args:
        file: the archive.
        pattern: a glob.
        limit: the size in bytes that a member may have.
    """
    position = 1
    with unpacked(file) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictMember) as archive:
                while (member := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # they would be kept for going back
                    if member.isfile() and _matches(member.name, pattern):
                        date = datetime.fromtimestamp(member.mtime, timezone.utc)
                        yield _member(position, member.name, _tar_data(archive, member, limit), date)
                    position += 1
        except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
            yield Document(position, Fault("corrupt_archive", f"{error}; what follows cannot be read"))


def whole_file(file: File, limit: int) -> Iterator[Document]:
    """Yield a file, perhaps compressed, that is one document.

    Args:
        file: the file.
        limit: the size in bytes, unpacked, that it may have.
    """
    with unpacked(file) as stream:
        data: bytes | Fault
        try:
            data = stream.read(limit + 1)
            # The end tells whether the file was whole.
            data = too_large(limit) if len(data) > limit else data
        except OSError as error:
            data = Fault("corrupt_archive", f"{error}")
    yield Document(1, data, _type_of(_inner(file.address)))


@contextmanager
def unpacked(file: File) -> Iterator[BinaryIO]:
    """Open a file for reading from front to back, decompressed as its suffix says.

    Where it is damaged or cut off, reading gives what lies before, but for a kilobyte at most, and raises `OSError`.

    Raises:
        SourceError: it cannot be opened.
    """
    compression = next((name for suffix, name in _COMPRESSIONS.items() if file.address.lower().endswith(suffix)), None)
    with _opened(file) as stream:
        if compression is None:
            yield stream
        else:
            packed = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), compression)
            yield cast(BinaryIO, io.BufferedReader(_Unpacked(packed), buffer_size=64 * 1024))


class _Unpacked(io.RawIOBase):
    """Decompressed bytes; what came before an error is given first, and the error with the next call."""

    def __init__(self, packed: pa.CompressedInputStream) -> None:
        super().__init__()
        self._packed = packed
        self._error: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        """Fill `buffer` as far as there are bytes; see `io.RawIOBase.readinto`.

        Raises:
            OSError: what is packed is damaged or cut off, and all before that has been given.
        """
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        done = 0
        # In small pieces, as an error takes with it the whole piece that it comes up in.
        while self._error is None and done < len(view):
            try:
                piece = self._packed.read(min(_PIECE, len(view) - done))
            except OSError as error:
                self._error = error
                break
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
        if not done and self._error is not None:
            raise self._error
        return done


class _StrictMember(tarfile.TarInfo):
    """A member whose header must be whole: Python's tarfile takes a damaged header for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _StrictMember:
        if not buf:
            raise tarfile.ReadError("it ends without the mark of its end")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf.count(b"\0") == len(buf) == tarfile.BLOCKSIZE:
                raise
            raise tarfile.ReadError(f"the header of a member is damaged: {error}") from error


@contextmanager
def _opened(file: File) -> Iterator[BinaryIO]:
    try:
        stream = open_stored(file)
    except OSError as error:
        raise SourceError(f"{file.address} cannot be read: {error.strerror or error}") from error
    with stream:
        yield stream


def _tar_data(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes | Fault:
    if member.size > limit:
        return too_large(limit)
    content = archive.extractfile(member)
    assert content is not None
    return content.read()


def _zip_data(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> bytes | Fault:
    if member.flag_bits & 1:
        return Fault("encrypted", "the member is encrypted; unpack the archive with its password first")
    if member.file_size > limit:
        return too_large(limit)
    try:
        with archive.open(member) as content:
            # The size that the archive states may be false.
            data = content.read(limit + 1)
            return too_large(limit) if len(data) > limit else data
    except _UNREADABLE as error:
        return Fault("corrupt_member", f"the member cannot be unpacked: {error or type(error).__name__}")


def _zip_date(member: zipfile.ZipInfo) -> datetime | None:
    try:
        return datetime(*member.date_time, tzinfo=timezone.utc)
    except ValueError:
        return None


def _member(position: int, name: str, data: bytes | Fault, date: datetime | None) -> Document:
    # A name in another encoding than the archive says holds lone surrogates, which Arrow cannot carry.
    shown = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return Document(position, data, _type_of(name.lower()), name=shown, date=date)


def too_large(limit: int) -> Fault:
    """Return what is wrong with a document of more than `limit` bytes."""
    return Fault("too_large", f"larger than {limit:,} bytes, unpacked, so it is not taken for one document")


def _type_of(name: str) -> str:
    return HTML_TYPE if name.endswith(_HTML_SUFFIXES) else PLAIN_TYPE


def _matches(name: str, pattern: str) -> bool:
    return pattern == "**" or PurePosixPath(name).match(pattern)


def _inner(address: str) -> str:
    """Return a file's name in lower case, without the suffix that says how it is compressed."""
    return address.lower().removesuffix(".gz").removesuffix(".zst")
