"""A source of files that hold one text each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import ClassVar

import pyarrow as pa

from connectors.batches import gather, text_batch, text_schema
from connectors.files.lines import MAX_RECORD_BYTES, Encoding, decode, open_file
from connectors.files.partition import FilePartition, divide
from connectors.files.paths import File, PathOption, find_files
from connectors.files.source import FileSource
from connectors.source import BadRow, Partition


class TextFolder(FileSource):
    """Files of one text each, labelled by the directory that each file is in.

    CRLF becomes LF; a byte order mark is left out. A file that is not text in the encoding, holds a NUL byte, or is
    longer than `MAX_RECORD_BYTES` is a bad row. An empty file is a row with an empty text. Files ending in ``.gz`` or
    ``.zst`` are decompressed. ``row_id`` is the file's path below `path`.

    Attributes:
        path: the directory, ``package:NAME/sub/dir``, or a directory in an object store.
        glob: which files below it.
        encoding: of all files, decoded strictly.
        label_from_directory: whether the name of the directory that a file is in is its label; without it, the rows
            have no labels.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "glob", "storage")

    path: PathOption
    glob: str = "**/*.txt"
    encoding: Encoding = "utf-8"
    label_from_directory: bool = True

    def read_schema(self) -> pa.Schema:
        """Return ``row_id``, ``text`` and, where directories are labels, ``label``."""
        return text_schema(labelled=self.label_from_directory)

    def list_files(self) -> list[File]:
        """Return the files that `glob` matches; see `FileSource.list_files`."""
        return find_files(self.path, pattern=self.glob, storage=self.storage)

    def divide(self, new: Sequence[File], files: Sequence[File], **narrowed: object) -> Sequence[Partition]:
        """Return the files in groups; reads none. See `FileSource.divide`."""
        return divide(new, by_line=False)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the files of a partition, one row each."""
        assert isinstance(partition, FilePartition)
        labelled = self.label_from_directory
        yield from gather(
            (self._row(part.file) for part in partition.parts),
            lambda rows: [text_batch(rows, labelled=labelled)],
        )

    def _row(self, file: File) -> tuple[int, tuple[str, str, str]] | BadRow:
        with open_file(file) as stream:
            data = stream.read(MAX_RECORD_BYTES + 1)
        text = decode(data, self.encoding)
        if not isinstance(text, str):
            return text.at(file, 1, data, row_id=file.name)
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
        return len(data), (file.name, plain, PurePosixPath(file.address).parent.name)
