"""The base of the sources of files that hold tables."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from connectors.columns import ColumnNames, Layout
from connectors.files.columns import absent
from connectors.files.paths import File, PathOption, find_files
from connectors.files.source import FileSource


class TableFileSource(FileSource):
    """Files with columns, of which one becomes the text; see `connectors.files.columns` for where files have others.

    Attributes:
        path: a file, a directory, a glob, ``package:NAME/sub/file``, or any of the first three in an object store.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is. A list column makes the rows multi-label.
        id_column: a key column, unique over all files, that becomes ``row_id``; None makes ids of the file and of where
            the row is in it.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path", "id_column", "storage")

    path: PathOption
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @abstractmethod
    def found(self, files: Sequence[File]) -> pa.Schema:
        """Return the columns that files have, under their own names."""

    def read_schema(self) -> pa.Schema:
        """Return the columns of the files; see `PartitionedSource.read_schema`."""
        return self.layout(self.found(self.list_files())).schema

    def list_files(self) -> list[File]:
        """Return the files; see `FileSource.list_files`."""
        return find_files(self.path, storage=self.storage)

    def absent(self, new: Sequence[File], files: Sequence[File]) -> tuple[str, ...]:
        """Return the columns that no new file has; see `FileSource.absent`."""
        every, there = self.layout(self.found(files)).schema, self.found(new).names
        return absent(every, self.column_names().targets(there))

    def column_names(self) -> ColumnNames:
        """Return which column is which."""
        return ColumnNames(self.text_column, self.label_column, self.id_column)

    def layout(self, found: pa.Schema) -> Layout:
        """Return how rows are made of the columns `found`; raises as `ColumnNames.over`."""
        return self.column_names().over(found, self.path)
