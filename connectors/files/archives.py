"""A source of the documents inside archives and HTML files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from connectors.batches import gather
from connectors.files.archive_members import HTML_TYPE, Document, kind_of, tar_members, whole_file, zip_members
from connectors.files.archive_records import warc_documents
from connectors.files.html_text import Extract, decode_html, extract_text, known_encoding, require_resiliparse
from connectors.files.lines import MAX_RECORD_BYTES, Encoding, Fault, decode
from connectors.files.partition import FilePartition, divide
from connectors.files.paths import File, PathOption, find_files
from connectors.files.source import FileSource
from connectors.source import ROW_ID, TEXT, BadRow, Partition

_SCHEMA = pa.schema(
    [
        (ROW_ID, pa.string()),
        (TEXT, pa.string()),
        ("url", pa.string()),
        ("date", pa.timestamp("us", "UTC")),
        ("content_type", pa.string()),
        ("member", pa.string()),
    ]
)
_HTML_TYPES = (HTML_TYPE, "application/xhtml+xml")
_TEXT_TYPES = ("application/json", "application/xml")

_Row = tuple[str, str, str | None, datetime | None, str, str | None]


class Archives(FileSource):
    """Documents inside archives, one row each: members of zip and tar files, records of WARC files, HTML files.

    A file is what its name says: ``.zip``; ``.tar``; ``.warc`` and ``.wet``; anything else is one document. Each but
    ``.zip`` may end in ``.gz`` or ``.zst`` as well, and ``.tgz`` is ``.tar.gz``. Members, and files, ending in
    ``.html``, ``.htm``, ``.xhtml`` or ``.shtml`` are HTML, and others text; of WARC files, the content type says.
    Archives inside archives are not opened.

    A document is a bad row that is larger than `max_document_bytes` (unpacked), encrypted, damaged, cut off, or not
    text in its encoding; that is neither HTML nor text by its content type; that is what a server sent with another
    status than success; or of which no text is left. Where a whole archive is damaged, what is before the damage is
    read, and one bad row stands for the rest.

    ``row_id`` is ``file:number``, of the member or record among all. ``url`` and ``date`` are those of the WARC record;
    ``date`` of a member is that of its last change, which zip files state without a time zone and is taken for UTC.
    A file is read by one task.

    Attributes:
        path: a file, a directory, a glob, or ``package:NAME/sub/file``; or the address of one in an object store.
        members: which members of zip and tar files are documents, a glob: ``*.txt``, ``reviews/*.html``. Others are
            passed over.
        extract: what is kept of HTML: ``main_content``, without what surrounds it (navigation, comments, legal
            notes), by the heuristics of Resiliparse; ``all_text`` that is seen; ``none`` leaves the HTML as it is.
        encoding: of text, and of HTML that does not say; decoded strictly.
        max_document_bytes: a larger document is a bad row.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "members", "storage")

    path: PathOption
    members: str = Field(default="**", min_length=1)
    extract: Extract = "main_content"
    encoding: Encoding = "utf-8"
    max_document_bytes: int = Field(default=MAX_RECORD_BYTES, ge=1, le=MAX_RECORD_BYTES)

    def read_schema(self) -> pa.Schema:
        """Return ``row_id``, ``text``, ``url``, ``date``, ``content_type`` and ``member``."""
        return _SCHEMA

    def list_files(self) -> list[File]:
        """Return the files; see `FileSource.list_files`."""
        return find_files(self.path, storage=self.storage)

    def divide(self, new: Sequence[File], files: Sequence[File], **narrowed: object) -> Sequence[Partition]:
        """Return the files in groups; reads none. See `FileSource.divide`."""
        return divide(new, by_line=False)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the documents of a partition's files.

        Raises:
            SourceError: a package is missing, or a file cannot be opened.
        """
        assert isinstance(partition, FilePartition)
        require_resiliparse()
        rows = (self._row(part.file, document) for part in partition.parts for document in self._documents(part.file))
        yield from gather(rows, lambda rows: [_batch(rows)])

    def _documents(self, file: File) -> Iterator[Document]:
        kind, limit = kind_of(file.address), self.max_document_bytes
        if kind == "warc":
            return warc_documents(file, limit)
        if kind == "zip":
            return zip_members(file, self.members, limit)
        return tar_members(file, self.members, limit) if kind == "tar" else whole_file(file, limit)

    def _row(self, file: File, document: Document) -> tuple[int, _Row] | BadRow:
        data = document.data
        if isinstance(data, Fault):
            return data.at(file, document.position, document.url or document.name or "")
        text = self._text(document, data)
        if isinstance(text, Fault):
            return text.at(file, document.position, data)
        row_id = f"{file.name}:{document.position}"
        return len(text), (row_id, text, document.url, document.date, document.content_type, document.name)

    def _text(self, document: Document, data: bytes) -> str | Fault:
        kind = document.content_type
        if kind in _HTML_TYPES:
            html = decode_html(data, document.charset, self.encoding)
            text = extract_text(html, self.extract) if isinstance(html, str) else html
        elif kind.startswith("text/") or kind in _TEXT_TYPES or kind.endswith(("+json", "+xml")):
            text = decode(data, known_encoding(document.charset) or self.encoding)
        else:
            return Fault("no_text_type", f"{kind or 'no content type'}, which is neither HTML nor text")
        if isinstance(text, str):
            text = text.removeprefix("\ufeff").replace("\r\n", "\n")
            return text if text.strip() else Fault("empty_text", "no text is left")
        return text


def _batch(rows: Sequence[_Row]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
