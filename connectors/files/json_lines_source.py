"""A source of JSON-lines files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import pyarrow as pa
from pydantic import field_validator

from connectors.batches import gather
from connectors.columns import ColumnNames, Layout
from connectors.errors import EmptySourceError, SourceSchemaError
from connectors.files.columns import looked_into, looks
from connectors.files.json_records import coerce_object, coercers, parse_object
from connectors.files.json_types import infer_schema, parse_type
from connectors.files.lines import Fault, LineEncoding, read_lines
from connectors.files.partition import FilePart, FilePartition, divide
from connectors.files.paths import File
from connectors.files.table_source import TableFileSource
from connectors.options import Items
from connectors.source import BadRow, Partition

HEAD_ROWS = 1_000
"""How many records the types are inferred from; enough that a majority means something, read in milliseconds."""

HEAD_BYTES = 4 * 1024 * 1024
"""The head ends here at the latest, however few records that is."""

FILE_HEAD_ROWS = 100
"""How many records of a later file are looked at for what has come with it."""


class JsonLines(TableFileSource):
    """Files of one JSON object a line.

    A line that is no JSON object, holds a value of another type than its column has, is not text in the encoding, or
    has no text is a bad row. Lines of nothing but white space are no records, though their numbers count. A key that
    is missing is null; a key that is no column is left out. ``row_id`` is ``file:line`` unless `id_column` is given.
    Files ending in ``.gz`` or ``.zst`` are decompressed.

    Attributes:
        types: key to type (``string``, ``int64``, ``float64``, ``bool``, ``list<…>``): then exactly these keys are
            read. Empty infers keys and types from the first `HEAD_ROWS` records of all, and the first `FILE_HEAD_ROWS`
            of each file that is looked into, see `connectors.files.columns`.
        encoding: of all files, decoded strictly.
    """

    types: Items[str] = ()
    encoding: LineEncoding = "utf-8"

    @field_validator("types")
    @classmethod
    def _are_known(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for _, name in value:
            parse_type(name)
        return value

    def absent(self, new: Sequence[File], files: Sequence[File]) -> tuple[str, ...]:
        """Return none, as a key that is missing is null; see `FileSource.absent`."""
        return ()

    def divide(self, new: Sequence[File], files: Sequence[File], **narrowed: object) -> Sequence[Partition]:
        """Return the files, large ones split between lines; reads the head. See `FileSource.divide`."""
        return divide(new, by_line=True, found=self.found(files))

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the records of a partition, one row each."""
        assert isinstance(partition, FilePartition)
        assert partition.found is not None
        layout = self.layout(partition.found)
        for part in partition.parts:
            yield from self._rows(part, partition.found, layout)

    def _rows(self, part: FilePart, found: pa.Schema, layout: Layout) -> Iterator[pa.RecordBatch | BadRow]:
        file = part.file

        def convert(rows: list[tuple[int, list[object]]]) -> Iterator[pa.RecordBatch | BadRow]:
            positions = pa.array([position for position, _ in rows], pa.int64())
            columns = zip(*(values for _, values in rows), strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, found, strict=True)]
            table = pa.RecordBatch.from_arrays(arrays, schema=found)
            return layout.rows(table, positions, origin=file.address, name=file.name)

        yield from gather(self._records(part, found), convert)

    def _records(self, part: FilePart, found: pa.Schema) -> Iterator[tuple[int, tuple[int, list[object]]] | BadRow]:
        columns = coercers(found)
        for number, line in read_lines(part):
            if line.isspace():
                continue
            row = parse_object(line, self.encoding)
            values = row if isinstance(row, Fault) else coerce_object(row, columns)
            if isinstance(values, Fault):
                yield values.at(part.file, number, line)
            else:
                yield len(line), (number, values)

    def found(self, files: Sequence[File]) -> pa.Schema:
        """Return the declared or inferred columns; see `TableFileSource.found`."""
        if not any(file.size for file in files):
            raise EmptySourceError(f"{self.path} holds no record: {files[0].address} is empty")
        if self.types:
            return pa.schema([(name, parse_type(kind)) for name, kind in self.types])
        head = list(self._head(files))
        if not head:
            raise SourceSchemaError(
                f"{self.path}: none of the first {HEAD_ROWS:,} records can be read, so the types cannot be inferred; "
                "check that the file is JSON lines in the encoding given, or declare the option 'types'"
            )
        return infer_schema(head)

    def _head(self, files: Sequence[File]) -> Iterator[dict[str, object]]:
        """Yield the first records of all, and those that later files that are looked into begin with."""
        rows, size, later = 0, 0, deque(files)
        while later and rows < HEAD_ROWS and size < HEAD_BYTES:
            for _, line in islice(read_lines(FilePart(later.popleft())), HEAD_ROWS - rows):
                rows, size = rows + 1, size + len(line)
                yield from self._records_of(line)
                if size >= HEAD_BYTES:
                    break
        names = {file.name for file in later}
        heads = [file for file in looked_into(files) if file.name in names]
        yield from chain.from_iterable(looks(heads, self._file_head))

    def _file_head(self, file: File) -> list[dict[str, object]]:
        lines = islice(read_lines(FilePart(file)), FILE_HEAD_ROWS)
        return [row for _, line in lines for row in self._records_of(line)]

    def _records_of(self, line: bytes) -> list[dict[str, object]]:
        """Return the object that a line is, if it is one."""
        row = None if line.isspace() else parse_object(line, self.encoding)
        return [row] if isinstance(row, dict) else []

    def _layout(self, found: pa.Schema) -> Layout:
        return ColumnNames(self.text_column, self.label_column, self.id_column).over(found, self.path)
