"""A source of Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from connectors.columns import positions_from
from connectors.errors import EmptySourceError, SourceSchemaError
from connectors.files.columns import looks, united
from connectors.files.parquet_files import arrow_filesystem, arrow_path, asked, opened
from connectors.files.partition import MAX_PARTITION_BYTES
from connectors.files.paths import File
from connectors.files.table_source import TableFileSource
from connectors.source import BATCH_BYTES, BadRow, Partition

if TYPE_CHECKING:
    import pyarrow.dataset as pds

MAX_BATCH_ROWS = 65_536
"""However narrow its rows are, a batch has no more than this, so that later steps may widen them."""


@dataclass(frozen=True)
class RowGroup:
    """One row group of a file.

    Attributes:
        file: the file.
        index: which of its row groups, from 0.
        first_row: the number in the file of the group's first row, from 1.
        rows: how many rows it has.
        size: bytes of its columns, decoded from compression.
        constants: the columns that the file's path gives, as names and values.
    """

    file: File
    index: int
    first_row: int
    rows: int
    size: int
    constants: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True)
class ParquetPartition(Partition):
    """Row groups that one task reads.

    Attributes:
        groups: the row groups, in order.
        found: the columns of the files and their paths.
        wanted: the columns of the rows to read; None reads all.
    """

    groups: tuple[RowGroup, ...]
    found: pa.Schema
    wanted: tuple[str, ...] | None


class ParquetSource(TableFileSource):
    """Parquet files; a directory may be partitioned as Hive does it (``topic=sport/…``), which makes columns.

    A row without a text, or with a text that is not UTF-8, is a bad row; its position is its number in the file.
    ``row_id`` is ``file:row`` unless `id_column` is given. `divide` leaves out the row groups that the predicate
    excludes by their statistics or their path, and the columns that are not wanted, except ``row_id``, ``text`` and
    ``label``. Types that Spark lacks are widened, see `connectors.arrow_types`.

    """

    def found(self, files: Sequence[File]) -> pa.Schema:
        """Return the columns of all files, and of their paths; see `TableFileSource.found`."""
        return self._dataset(files).schema

    def divide(
        self,
        new: Sequence[File],
        files: Sequence[File],
        *,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Sequence[Partition]:
        """Return groups of row groups; see `FileSource.divide`. Reads the footer of every file.

        The predicate names columns as rows have them; one over a column that has another name in the files is not
        used.
        """
        dataset = self._dataset(files)
        found = dataset.schema
        self.layout(found)
        wanted = None if columns is None else tuple(columns)
        groups = list(_row_groups(dataset, new, _usable(predicate, found)))
        if predicate is None and not groups and len(new) == len(files):
            raise EmptySourceError(f"{self.path} holds no row: every file in it is empty")
        return [_partition(run, found, wanted) for run in _runs(groups)]

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition's row groups.

        Raises:
            SourceSchemaError: a file lacks a column that rows are nothing without, or holds a value that the type of
                its column, which takes those of all files, does not.
        """
        assert isinstance(partition, ParquetPartition)
        layout = self.layout(partition.found).narrowed(partition.wanted)
        for group in partition.groups:
            position = group.first_row
            for table in self._batches(group, partition.found, layout.sources):
                positions = positions_from(position, table.num_rows)
                position += table.num_rows
                yield from layout.rows(table, positions, origin=group.file.address, name=group.file.name)

    def _dataset(self, files: Sequence[File]) -> pds.FileSystemDataset:
        # Imported late, because it imports pandas, which a server that only loads this package can do without.
        import pyarrow.dataset as pds

        paths = [arrow_path(file) for file in files]
        # Only directories below the option's path make columns; 'a=b' above it is none of the source's.
        placed = (path for path, file in zip(paths, files, strict=True) if path.endswith(f"/{file.name}"))
        first = next(placed, None)
        root = first.removesuffix(files[paths.index(first)].name) if first else paths[0][: paths[0].rindex("/")]
        store = arrow_filesystem(files[0])

        def look() -> pds.FileSystemDataset:
            return pds.dataset(paths, format="parquet", partitioning="hive", partition_base_dir=root, filesystem=store)

        dataset = asked(files[0], self.path, look)
        fragments = {fragment.path: fragment for fragment in dataset.get_fragments()}

        def columns(file: File) -> tuple[str, pa.Schema]:
            fragment = fragments[arrow_path(file)]
            stored = asked(file, file.address, lambda: fragment.physical_schema)
            of_path = pds.get_partition_keys(fragment.partition_expression)
            return file.address, pa.schema([field for field in stored if field.name not in of_path])

        schema = united([(files[0].address, dataset.schema), *looks(files, columns)])
        return pds.FileSystemDataset(list(fragments.values()), schema, dataset.format, dataset.filesystem)

    def _batches(self, group: RowGroup, found: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a row group as batches of `columns`, typed as `found` says."""
        constants = dict(group.constants)
        rows = max(1, min(MAX_BATCH_ROWS, BATCH_BYTES * group.rows // max(1, group.size)))
        with opened(group.file) as file:
            there = file.schema_arrow.names
            self.column_names().require_in([*there, *constants], group.file.address)
            constants.update((column, None) for column in columns if column not in (*there, *constants))
            stored = [column for column in columns if column not in constants]
            for batch in file.iter_batches(batch_size=rows, row_groups=[group.index], columns=stored):
                yield _completed(batch, constants, found, columns, group.file)


def _row_groups(
    dataset: pds.FileSystemDataset, files: Sequence[File], predicate: pc.Expression | None
) -> Iterator[RowGroup]:
    import pyarrow.dataset as pds

    by_path = {arrow_path(file): file for file in files}

    def look(fragment: pds.ParquetFileFragment) -> tuple[pq.FileMetaData, set[int]]:
        footer = fragment.metadata
        here = fragment.physical_schema
        # Statistics are of the types that the file has.
        alike = all(dataset.schema.field(field.name).type.equals(field.type) for field in here)
        kept = fragment.subset(filter=predicate, schema=dataset.schema) if predicate is not None and alike else fragment
        return footer, {group.id for group in kept.row_groups}

    for fragment in dataset.get_fragments(filter=predicate):
        file = by_path.get(fragment.path)
        if file is None:
            continue
        footer, indices = asked(file, file.address, partial(look, fragment))
        constants = tuple(pds.get_partition_keys(fragment.partition_expression).items())
        first_row = 1
        for index in range(footer.num_row_groups):
            group = footer.row_group(index)
            if index in indices and group.num_rows:
                yield RowGroup(file, index, first_row, group.num_rows, group.total_byte_size, constants)
            first_row += group.num_rows


def _runs(groups: Sequence[RowGroup]) -> Iterator[tuple[RowGroup, ...]]:
    """Put neighbouring small row groups together; a large one stays by itself."""
    run: list[RowGroup] = []
    size = 0
    for group in groups:
        if run and size + group.size > MAX_PARTITION_BYTES:
            yield tuple(run)
            run, size = [], 0
        run.append(group)
        size += group.size
    if run:
        yield tuple(run)


def _partition(run: tuple[RowGroup, ...], found: pa.Schema, wanted: tuple[str, ...] | None) -> ParquetPartition:
    return ParquetPartition(f"{run[0].file.name}:{run[0].first_row}", run, found, wanted)


def _completed(
    batch: pa.RecordBatch, constants: dict[str, object], found: pa.Schema, columns: Sequence[str], file: File
) -> pa.RecordBatch:
    arrays = []
    for name in columns:
        kind = found.field(name).type
        if name in constants:
            arrays.append(pa.repeat(pa.scalar(constants[name], kind), batch.num_rows))
            continue
        try:
            arrays.append(batch.column(name).cast(kind))
        except pa.ArrowException as error:
            raise SourceSchemaError(
                f"{file.address}: column {name!r} holds {batch.schema.field(name).type}, and {kind} with other files "
                f"of the source; {error}"
            ) from error
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))


def _usable(predicate: pc.Expression | None, schema: pa.Schema) -> pc.Expression | None:
    """Return the predicate if it can be said of the files' own columns; it is a hint, so else nothing is lost."""
    import pyarrow.dataset as pds

    if predicate is None:
        return None
    try:
        pds.Scanner.from_batches([], schema=schema, filter=predicate)
    except pa.ArrowException:
        return None
    return predicate
