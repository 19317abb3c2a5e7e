"""A source of files that hold one text a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import pyarrow as pa
from pydantic import model_validator
from typing_extensions import Self

from connectors.batches import gather, text_batch, text_schema
from connectors.errors import EmptySourceError
from connectors.files.lines import LineEncoding, decode, read_lines
from connectors.files.partition import FilePart, FilePartition, divide
from connectors.files.paths import File, PathOption, find_files, name_apart
from connectors.files.source import FileSource
from connectors.options import Items
from connectors.source import BadRow, Partition


class TextLines(FileSource):
    """Files of one text a line, each file with one label, or none.

    Lines end with LF or CRLF; a byte order mark is left out; lines of nothing but white space hold no text and are
    passed over, though their numbers count. A line that is not text in the encoding, holds a NUL byte, or is longer
    than `MAX_RECORD_BYTES` is a bad row. ``row_id`` is ``file:line``. Files ending in ``.gz`` or ``.zst`` are
    decompressed. Give either `path` or `files`.

    Attributes:
        path: a file, a directory, a glob, ``package:NAME/sub/file``, or any of the first three in an object
            store; rows have no labels.
        files: label to path: every line of the files at that path has that label.
        encoding: of all files, decoded strictly.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "files", "storage")

    path: PathOption | None = None
    files: Items[PathOption] = ()
    encoding: LineEncoding = "utf-8"

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.path is None) == (not self.files):
            raise ValueError("give either 'path' (lines without labels) or 'files' (label: path), and not both")
        return self

    def read_schema(self) -> pa.Schema:
        """Return ``row_id``, ``text`` and, if `files` are given, ``label``."""
        return text_schema(labelled=self.path is None)

    def list_files(self) -> list[File]:
        """Return the files, labelled where `files` are given; see `FileSource.list_files`."""
        if self.path is not None:
            return find_files(self.path, storage=self.storage)
        found = [(label, file) for label, path in self.files for file in find_files(path, storage=self.storage)]
        return name_apart([replace(file, label=label) for label, file in found])

    def divide(self, new: Sequence[File], files: Sequence[File], **narrowed: object) -> Sequence[Partition]:
        """Return the files, large ones split between lines; see `FileSource.divide`."""
        if not any(file.size for file in files):
            raise EmptySourceError(
                f"{files[0].address}: the file is empty" + (", and so are the others" * (len(files) > 1))
            )
        return divide(new, by_line=True)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the lines of a partition, one row each."""
        assert isinstance(partition, FilePartition)
        labelled = self.path is None
        yield from gather(
            (row for part in partition.parts for row in self._rows(part)),
            lambda rows: [text_batch(rows, labelled=labelled)],
        )

    def _rows(self, part: FilePart) -> Iterator[tuple[int, tuple[str, str, str | None]] | BadRow]:
        for number, line in read_lines(part):
            if line.isspace():
                continue
            text = decode(line, self.encoding)
            if isinstance(text, str):
                yield len(line), (f"{part.file.name}:{number}", text.rstrip("\r\n"), part.file.label)
            else:
                yield text.at(part.file, number, line)
