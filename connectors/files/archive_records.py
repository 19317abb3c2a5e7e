"""The documents inside WARC files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, BinaryIO, cast

from connectors.errors import SourceError
from connectors.files.archive_members import PLAIN_TYPE, Document, too_large, unpacked
from connectors.files.lines import Fault
from connectors.files.paths import File

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

_MAX_HEADER_BYTES = 64 * 1024


def warc_documents(file: File, limit: int) -> Iterator[Document]:
    """Yield what was fetched: the records ``response``, ``resource`` and ``conversion`` of a WARC file.

    Records of other kinds (requests, metadata, revisits) hold no document, though their numbers count.

    Args:
        file: a WARC file, perhaps compressed.
        limit: the size in bytes that a document may have.

    Raises:
        SourceError: the package ``fastwarc`` is missing.
    """
    try:
        from fastwarc.warc import ArchiveIterator, WarcRecordType
    except ImportError as error:
        raise SourceError(f"WARC files need fastwarc ({error}); pip install 'headrace[archives]'") from error
    kinds = (WarcRecordType.response, WarcRecordType.resource, WarcRecordType.conversion)
    position = 1
    with unpacked(file) as stream:
        try:
            for record in ArchiveIterator(cast(BinaryIO, _Forward(stream)), parse_http=False, stream_detect=False):
                if record.record_type in kinds or _length(record) is None:
                    yield _document(position, record, limit)
                position += 1
        except OSError as error:
            yield Document(position, Fault("corrupt_archive", f"{error}; what follows cannot be read"))


class _Forward:
    """A stream as fastwarc wants it: it asks streams where they are, which those that decompress cannot tell."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size) if size < 0 else self._some(size)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def _some(self, size: int) -> bytes:
        read1 = getattr(self._stream, "read1", self._stream.read)
        found: bytes = read1(size)
        return found


def _document(position: int, record: WarcRecord, limit: int) -> Document:
    url = record.headers.get("WARC-Target-URI")
    found = Document(position, b"", url=url.strip("<>") if url else None, date=_utc(record.record_date))
    length = _length(record)
    if length is None:
        return replace(found, data=Fault("corrupt_record", "a record that does not say how long it is"))
    if length > limit + _MAX_HEADER_BYTES:
        return replace(found, data=too_large(limit))
    block = record.reader.read()
    if len(block) < length:
        reason = f"it is to have {length:,} bytes, and the file ends after {len(block):,}"
        return replace(found, data=Fault("truncated", reason))
    try:
        return _content(found, _apart(record, block), limit)
    except (OSError, ValueError) as error:
        return replace(found, data=Fault("corrupt_record", f"its content cannot be unpacked: {error}"))


def _content(found: Document, record: WarcRecord, limit: int) -> Document:
    """Return the document with the content of a record whose HTTP was parsed."""
    status = record.http_headers.status_code if record.http_headers else None
    if status is not None and not 200 <= status < 300:
        return replace(found, data=Fault("http_status", f"the server answered {status}, not with the document"))
    data = record.reader.read(limit + 1)
    kind = (record.http_content_type if record.is_http else record.headers.get("Content-Type")) or PLAIN_TYPE
    media, _, parameters = kind.partition(";")
    charset = record.http_charset if record.is_http else parameters.partition("charset=")[2].strip(' "')
    content = too_large(limit) if len(data) > limit else data
    return replace(found, data=content, content_type=media.strip().lower(), charset=charset or None)


def _apart(record: WarcRecord, block: bytes) -> WarcRecord:
    """Return a record of its own with its HTTP parsed; an error in there would end the iteration over the archive."""
    from fastwarc.warc import WarcRecord

    kind = record.headers.get("Content-Type") or PLAIN_TYPE
    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: {kind}\r\nContent-Length: {len(block)}"
    found = WarcRecord.from_bytes(head.encode() + b"\r\n\r\n" + block + b"\r\n\r\n")
    if found.is_http:
        found.parse_http(auto_decode="all")
    return found


def _length(record: WarcRecord) -> int | None:
    said = (record.headers.get("Content-Length") or "").strip()
    return int(said) if said.isdigit() else None


def _utc(date: datetime | None) -> datetime | None:
    return date if date is None or date.tzinfo else date.replace(tzinfo=timezone.utc)
