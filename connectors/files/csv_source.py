"""A source of CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pydantic import field_validator, model_validator
from typing_extensions import Self

from connectors.batches import gather
from connectors.columns import Layout
from connectors.errors import EmptySourceError, SourceSchemaError
from connectors.files.columns import absent, looked_into, looks
from connectors.files.csv_records import Dialect, Record, read_records
from connectors.files.lines import Fault, LineEncoding
from connectors.files.partition import FilePart, FilePartition, divide
from connectors.files.paths import File
from connectors.files.table_source import TableFileSource
from connectors.source import BadRow, Partition


class Csv(TableFileSource):
    """Files of comma-separated (or otherwise separated) records; all columns are strings.

    Fields may be quoted and then hold delimiters and newlines. An empty field is null. Empty lines are no records. A
    record with broken quoting, the wrong number of fields, bytes that are not text in the encoding, a NUL byte or no
    text is a bad row; its position is the line that it begins on. ``row_id`` is ``file:line`` unless `id_column` is
    given. Files ending in ``.gz`` or ``.zst`` are decompressed. A file is read by one task, since a newline may be
    inside quotes anywhere.

    Attributes:
        delimiter: one character.
        quote: one character; None if fields are never quoted. Inside quotes, a doubled quote is a quote.
        escape: a character that takes the meaning from the one after it; None if there is none.
        header: whether the first record of each file names the columns. Files may have them in different orders,
            and a column that a file lacks is null in its rows.
        columns: the columns' names where there is no header; empty calls them ``column_1``, ``column_2`` and so on.
        encoding: of all files, decoded strictly.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    header: bool = True
    columns: tuple[str, ...] = ()
    encoding: LineEncoding = "utf-8"

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _is_one_character(cls, value: str | None) -> str | None:
        if value is not None and (len(value) != 1 or value in "\r\n\0"):
            raise ValueError(f"one character is wanted, and not a line end; got {value!r}")
        return value

    @model_validator(mode="after")
    def _is_readable(self) -> Self:
        if self.header and self.columns:
            raise ValueError("'columns' names the columns of files without a header; give it with header: false")
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark is not None]
        if len(set(marks)) < len(marks):
            raise ValueError(f"'delimiter', 'quote' and 'escape' must be different characters; got {' '.join(marks)}")
        return self

    def divide(self, new: Sequence[File], files: Sequence[File], **narrowed: object) -> Sequence[Partition]:
        """Return the files in groups; reads headers. See `FileSource.divide`."""
        return divide(new, by_line=False, found=self.found(files))

    def absent(self, new: Sequence[File], files: Sequence[File]) -> tuple[str, ...]:
        """Return the columns that no header of a new file names; see `FileSource.absent`."""
        if not self.header:
            return ()
        there = [name for names in looks(looked_into(new), self._names) for name in names]
        return absent(self.layout(self.found(files)).schema, self.column_names().targets(there))

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the records of a partition's files.

        Raises:
            SourceSchemaError: a file has columns that those that were looked into have not, or lacks one that rows are
                nothing without.
        """
        assert isinstance(partition, FilePartition)
        assert partition.found is not None
        layout = self.layout(partition.found)
        for part in partition.parts:
            yield from self._rows(part, partition.found.names, layout)

    def _rows(self, part: FilePart, expected: list[str], layout: Layout) -> Iterator[pa.RecordBatch | BadRow]:
        records = read_records(part, self._dialect())
        names = expected
        if self.header:
            first = next(records, None)
            if first is None:
                return
            names = _header(first, part.file)
            if not set(names) <= set(expected) or len(set(names)) < len(names):
                raise SourceSchemaError(
                    f"{part.file.address} has the columns {', '.join(names)}; the files of {self.path} that were "
                    f"looked into have {', '.join(expected)}; read files with different columns by different sources"
                )
            self.column_names().require_in(names, part.file.address)
        file = part.file
        missing = [name for name in expected if name not in names]

        def convert(rows: list[tuple[int, list[str]]]) -> Iterator[pa.RecordBatch | BadRow]:
            positions = pa.array([position for position, _ in rows], pa.int64())
            arrays = [
                pa.array([field or None for field in column], pa.string())
                for column in zip(*(fields for _, fields in rows), strict=True)
            ]
            arrays += [pa.nulls(len(rows), pa.string())] * len(missing)
            table = pa.RecordBatch.from_arrays(arrays, names=[*names, *missing])
            return layout.rows(table, positions, origin=file.address, name=file.name)

        yield from gather((_checked(record, len(names), file) for record in records), convert)

    def found(self, files: Sequence[File]) -> pa.Schema:
        """Return the columns of the files' headers; without those, of the first record that there is."""
        filled = [file for file in files if file.size]
        heads = looked_into(filled) if self.header else filled[:1]
        found: list[str] = []
        for names in looks(heads, self._names):
            found += [name for name in names if name not in found]
        for file in filled:
            found = found or self._names(file)
        if not found:
            raise EmptySourceError(f"{self.path} holds no record: {files[0].address} is empty")
        return pa.schema([(name, pa.string()) for name in found])

    def _names(self, file: File) -> list[str]:
        """Return the columns of a file; none of one that holds no record."""
        first = next(read_records(FilePart(file), self._dialect()), None)
        if first is None:
            return []
        if self.header:
            return _header(first, file)
        if self.columns:
            return list(self.columns)
        if isinstance(first.fields, Fault):
            raise SourceSchemaError(
                f"{file.address}: the first record cannot be read ({first.fields.reason}), so the columns cannot be "
                "counted; mend it, or name them in the option 'columns'"
            )
        return [f"column_{number}" for number in range(1, len(first.fields) + 1)]

    def _dialect(self) -> Dialect:
        return Dialect(self.delimiter, self.quote, self.escape, self.encoding)


def _header(record: Record, file: File) -> list[str]:
    if isinstance(record.fields, Fault):
        raise SourceSchemaError(f"{file.address}: the header cannot be read: {record.fields.reason}")
    return record.fields


def _checked(record: Record, width: int, file: File) -> tuple[int, tuple[int, list[str]]] | BadRow:
    fields = record.fields
    if isinstance(fields, Fault):
        return fields.at(file, record.line, record.raw)
    if len(fields) != width:
        fault = Fault("column_count", f"{len(fields)} fields, and the file has {width} columns")
        return fault.at(file, record.line, record.raw)
    return len(record.raw), (record.line, fields)
