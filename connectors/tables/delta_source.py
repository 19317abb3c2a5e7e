"""A source of the rows of a Delta table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, model_validator
from typing_extensions import Self

from connectors.columns import ColumnNames, Layout, positions_from
from connectors.errors import SourceError, SourceSchemaError
from connectors.source import BATCH_BYTES, BadRow, Partition, PartitionedSource, Plan
from connectors.tables.delta_files import DeltaCursor, DeltaFile, files_at, files_since
from connectors.tables.delta_table import DeltaOptions, table_schema
from connectors.tables.files import grouped

if TYPE_CHECKING:
    import deltalake
    from pyarrow.fs import FileSystem

_MAX_BATCH_ROWS = 65_536

_READER_FEATURES = frozenset(
    {"deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview", "v2Checkpoint", "vacuumProtocolCheck"}
)
"""What `DeltaTable` honours of the features that a reader must know."""


@dataclass(frozen=True)
class DeltaPartition(Partition):
    """Data files that one task reads.

    Attributes:
        version: the table's version that they are of.
        files: the files, in order.
        found: the table's columns at that version.
        wanted: the columns of the rows to read; None reads all.
    """

    version: int
    files: tuple[DeltaFile, ...]
    found: pa.Schema
    wanted: tuple[str, ...] | None


class DeltaTable(DeltaOptions, PartitionedSource):
    """The rows of a Delta table at one version, which a plan holds on to, so that all partitions see the same table.

    ``row_id`` is `id_column`, else the data file and the row's number in it, from 1; it stays with the row until the
    file is rewritten. Deletion vectors are honoured; a table with a feature that would have to be known and is not is
    refused. A version can be read until its files are vacuumed.

    The cursor is the version, and reading on gives the rows of the files that were added after it, so that none comes
    late, whatever times the rows hold. Compaction adds none, and a history in which rows were changed or deleted is
    refused, as it takes a full refresh.

    Attributes:
        version: the version to read; None is the latest.
        timestamp: read the version that was the latest at this time (without a zone, in UTC).
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is. A list column makes the rows multi-label.
        id_column: a key column that becomes ``row_id``.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("path",)

    version: int | None = Field(default=None, ge=0)
    timestamp: datetime | None = None
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @model_validator(mode="after")
    def _has_one_moment(self) -> Self:
        if self.version is not None and self.timestamp is not None:
            raise ValueError("give 'version' or 'timestamp', not both: each says which version to read")
        return self

    def read_schema(self) -> pa.Schema:
        """Return the table's columns; see `PartitionedSource.read_schema`."""
        return self._layout(table_schema(self._table())).schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield groups of files; see `PartitionedSource.plan`.

        Files that the predicate excludes by what the log says of their values are left out.
        """
        table = self._table()
        found = table_schema(table)
        layout = self._layout(found)
        with self.faults(SourceError):
            if since is None:
                files = files_at(self, table, found, layout, predicate)
            else:
                files = files_since(self, table, found, since)
        wanted = None if columns is None else tuple(columns)
        parts = [
            DeltaPartition(group[0].path, table.version(), group, found, wanted)
            for group in grouped(files, lambda file: file.size)
        ]
        yield Plan(tuple(parts), DeltaCursor(str(table.metadata().id), table.version()).text())

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition's files, in their order, without those that are deleted."""
        assert isinstance(partition, DeltaPartition)
        layout = self._layout(partition.found).narrowed(partition.wanted)
        filesystem = self.filesystem(SourceError)
        for file in partition.files:
            first, origin = 1, f"{self.path}/{file.path}"
            for batch in self._batches(filesystem, file, partition, layout.sources):
                positions = positions_from(first, batch.num_rows)
                first += batch.num_rows
                if file.deleted:
                    kept = pc.invert(pc.is_in(positions, pa.array(file.deleted, pa.int64())))
                    batch, positions = batch.filter(kept), positions.filter(kept)
                if batch.num_rows:
                    yield from layout.rows(batch, positions, origin=origin, name=file.path)

    def _batches(
        self, filesystem: FileSystem, file: DeltaFile, partition: DeltaPartition, columns: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows as batches of `columns`, typed as the table says; columns that it lacks are null."""
        with self.faults(SourceError, f", version {partition.version}, file {file.path}"):
            try:
                stream = filesystem.open_input_file(file.path)
            except FileNotFoundError as error:
                raise SourceError(
                    f"the Delta table {self.path}: the file {file.path} of version {partition.version} is not there; "
                    "it was vacuumed, or deleted by hand; read a later version, or restore the file"
                ) from error
            with stream, pq.ParquetFile(stream) as parquet:
                footer = parquet.metadata
                size = sum(footer.row_group(one).total_byte_size for one in range(footer.num_row_groups))
                rows = max(1, min(_MAX_BATCH_ROWS, BATCH_BYTES * footer.num_rows // max(1, size)))
                values, there = dict(file.values), parquet.schema_arrow.names
                stored = [name for name in columns if name in there and name not in values]
                # A file is asked for one column at least, for the number of its rows.
                for batch in parquet.iter_batches(batch_size=rows, columns=stored or there[:1]):
                    arrays = [self._column(batch, name, values, partition.found, file) for name in columns]
                    yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    def _column(
        self, batch: pa.RecordBatch, name: str, values: dict[str, object], found: pa.Schema, file: DeltaFile
    ) -> pa.Array:
        kind = found.field(name).type
        if name in values:
            return pa.repeat(pa.scalar(values[name], kind), batch.num_rows)
        if name not in batch.schema.names:
            return pa.nulls(batch.num_rows, kind)
        try:
            return batch.column(name).cast(kind)
        except (pa.ArrowException, ValueError) as error:
            raise SourceSchemaError(
                f"the Delta table {self.path}, file {file.path}: column {name!r} holds {batch.column(name).type}, and "
                f"the table says {kind}; {error}"
            ) from error

    def _table(self) -> deltalake.DeltaTable:
        """Return the table at the version to read.

        Raises:
            SourceError: it has no such version, or a feature that is not known.
        """
        table = self.open_table(SourceError, self.version)
        if self.timestamp is not None:
            moment = self.timestamp if self.timestamp.tzinfo else self.timestamp.replace(tzinfo=timezone.utc)
            with self.faults(SourceError):
                table.load_as_version(moment)
                # The library's own history of a table at an earlier version is that of the latest one.
                actions = self.actions(self.filesystem(SourceError), table.version())
                made = int(next((said.get("timestamp", 0) for kind, said in actions if kind == "commitInfo"), 0))
            if made > moment.timestamp() * 1000:
                first = datetime.fromtimestamp(made / 1000, timezone.utc).isoformat()
                raise SourceError(
                    f"the Delta table {self.path} has no version as old as {moment.isoformat()}; the oldest that its "
                    f"log still has is of {first}"
                )
        self._refuse_unknown(table)
        return table

    def _refuse_unknown(self, table: deltalake.DeltaTable) -> None:
        unknown = sorted({*(table.protocol().reader_features or ())} - _READER_FEATURES)
        mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
        if mapping != "none" and "columnMapping" not in unknown:
            unknown.append("columnMapping")
        if unknown:
            raise SourceError(
                f"the Delta table {self.path} has the reader feature {', '.join(unknown)}, which is not supported "
                "here, and rows read without it would be wrong; have its owner drop the feature, or read a copy"
            )

    def _layout(self, found: pa.Schema) -> Layout:
        names = ColumnNames(self.text_column, self.label_column, self.id_column)
        return names.over(found, f"the Delta table {self.path}")
