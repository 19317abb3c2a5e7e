"""A source of Arrow IPC and ORC files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow_types import plain_type
from connectors.columns import Layout, positions_from
from connectors.errors import SourceError, SourceSchemaError
from connectors.files.columns import looked_into, looks, united
from connectors.files.lines import open_stored
from connectors.files.partition import FilePart, FilePartition, divide
from connectors.files.paths import File
from connectors.files.table_source import TableFileSource
from connectors.source import BATCH_BYTES, BadRow, Partition

MAX_BATCH_ROWS = 65_536
"""However narrow its rows are, a batch has no more than this, so that later steps may widen them."""

_FILE_MAGIC = b"ARROW1"
_ORC_MAGIC = b"ORC"


@dataclass(frozen=True)
class ArrowPartition(FilePartition):
    """Files that one task reads.

    Attributes:
        wanted: the columns of the rows to read; None reads all.
    """

    wanted: tuple[str, ...] | None = None


class ArrowFiles(TableFileSource):
    """Files of Arrow's own formats (IPC, as a file or as a stream; Feather 2 is the same) and of ORC.

    What a file is, its first bytes say. A file is read by one task, a batch of it, or a stripe, at a time. A row
    without a text, or with one that is not UTF-8, is a bad row; its position is its number in the file. ``row_id`` is
    ``file:row`` unless `id_column` is given. Files may have different columns, see `connectors.files.columns`; of many,
    only some are looked into for that, and one with columns that those have not is an error. Types that Spark lacks are
    widened, see `connectors.arrow_types`.

    """

    def found(self, files: Sequence[File]) -> pa.Schema:
        """Return the columns of the files that are looked into; see `TableFileSource.found`."""
        heads = looked_into(files)
        return united((file.address, schema) for file, schema in zip(heads, looks(heads, _columns), strict=True))

    def divide(
        self,
        new: Sequence[File],
        files: Sequence[File],
        *,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Sequence[Partition]:
        """Return the files in groups; reads what they say of their columns. The predicate is not used."""
        found, wanted = self.found(files), None if columns is None else tuple(columns)
        self.layout(found)
        groups = divide(new, by_line=False, found=found)
        return [ArrowPartition(group.key, group.parts, group.found, wanted) for group in groups]

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition's files.

        Raises:
            SourceError: a file is damaged, or cannot be opened.
            SourceSchemaError: a file has a column that those that were looked into have not, lacks one that rows are
                nothing without, or holds a value that the type of its column, which takes those of all files, does not.
        """
        assert isinstance(partition, ArrowPartition)
        assert partition.found is not None
        layout = self.layout(partition.found).narrowed(partition.wanted)
        for part in partition.parts:
            yield from self._rows(part, partition.found, layout)

    def _rows(self, part: FilePart, found: pa.Schema, layout: Layout) -> Iterator[pa.RecordBatch | BadRow]:
        file, position = part.file, 1
        with _opened(file) as table:
            self.column_names().require_in(table.schema.names, file.address)
            unknown = [name for name in table.schema.names if name not in found.names]
            if unknown:
                raise SourceSchemaError(
                    f"{file.address} has a column {unknown[0]!r}, which the files of {self.path} that were looked into "
                    "have not; read files with different columns by different sources"
                )
            for whole in table.batches([name for name in layout.sources if name in table.schema.names]):
                for batch in _pieces(whole):
                    typed = _typed(batch, found, layout.sources, file)
                    positions = positions_from(position, batch.num_rows)
                    position += batch.num_rows
                    yield from layout.rows(typed, positions, origin=file.address, name=file.name)


class _Table:
    """A file that is open."""

    def __init__(self, stream: BinaryIO) -> None:
        head = stream.read(len(_FILE_MAGIC))
        stream.seek(0)
        self._stream = stream
        self._is_file = head == _FILE_MAGIC
        self._is_orc = head.startswith(_ORC_MAGIC)
        self.schema: pa.Schema
        if self._is_orc:
            from pyarrow import orc

            self._orc = orc.ORCFile(stream)
            self.schema = self._orc.schema
        else:
            self.schema = self._reader(None).schema

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the file's batches, with `columns` alone."""
        if self._is_orc:
            for stripe in range(self._orc.nstripes):
                yield self._orc.read_stripe(stripe, columns=columns)
            return
        self._stream.seek(0)
        reader = self._reader([self.schema.names.index(column) for column in columns])
        if self._is_file:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
        else:
            yield from reader

    def _reader(self, columns: list[int] | None) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
        options = pa.ipc.IpcReadOptions(included_fields=columns)
        kind = pa.ipc.open_file if self._is_file else pa.ipc.open_stream
        return kind(self._stream, options=options)


@contextmanager
def _opened(file: File) -> Iterator[_Table]:
    try:
        with open_stored(file) as stream:
            yield _Table(stream)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{file.address} cannot be read as Arrow IPC or ORC: {error}; it must be a whole file of one of them"
        ) from error


def _columns(file: File) -> pa.Schema:
    with _opened(file) as table:
        return table.schema


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def _typed(batch: pa.RecordBatch, found: pa.Schema, columns: Sequence[str], file: File) -> pa.RecordBatch:
    """Return a batch with all of `columns`, typed as `found` says."""
    arrays = []
    for name in columns:
        kind = plain_type(found.field(name).type)
        if name not in batch.schema.names:
            arrays.append(pa.nulls(batch.num_rows, kind))
            continue
        column = batch.column(name)
        try:
            # Times finer than a microsecond are the one case that loses digits: Spark has none finer.
            arrays.append(column.cast(kind, safe=not pa.types.is_timestamp(column.type)))
        except pa.ArrowException as error:
            raise SourceSchemaError(
                f"{file.address}: column {name!r} holds {column.type}, and {kind} with other files of the source; "
                f"{error}"
            ) from error
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
