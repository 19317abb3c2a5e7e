"""A source of the rows of a PostgreSQL table."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from connectors.columns import ColumnNames, Layout, positions_from
from connectors.errors import (
    ConnectionCutError,
    EmptySourceError,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.postgres.database import Database, DatabaseOptions, identifier, table_name
from connectors.postgres.types import NUMBERS, TIMES, WHOLE_NUMBERS, PostgresColumn, arrow_type, columns_of, selected
from connectors.source import ROW_ID, BadRow, Partition, PartitionedSource, Plan

_KEY = "__headrace_key"

_SNAPSHOT = re.compile(r"[0-9A-Fa-f-]+")

_MIN_BLOCKS = 512
"""Fewer blocks (of 8 KiB) than this are not worth a task, and a connection, of their own."""

_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait after each time that the connection was cut."""


@dataclass(frozen=True)
class PostgresPartition(Partition):
    """A run of a table's blocks, read in a snapshot.

    Attributes:
        query: what selects its rows, in the order that they lie in the table.
        snapshot: the snapshot's name; the transaction that gave it away is open for as long as the plan is.
        columns: what the query gives, `_KEY` apart.
    """

    query: str
    snapshot: str
    columns: tuple[PostgresColumn, ...]


class Postgres(DatabaseOptions, PartitionedSource):
    """The rows of a table, a materialized view or a view of a PostgreSQL database.

    A plan holds a snapshot open, so that all partitions see the table at one moment. Tables are divided by their
    blocks, whatever their keys are; a view is one partition. ``row_id`` is `id_column`, else the primary key (its
    columns joined by ``:``), else where the row lies (``ctid``), which an update changes.

    With a `cursor_column`, a plan knows how far that column has come, and the next one reads on from there, `late` of
    its units before: rows are not committed in the order of their stamps. So `late` must cover the time from a row's
    stamp to its commit, and what stamps are rounded to. Rows within it are read again, for a sink that merges by keys.
    Rows whose cursor is null (or NaN, or infinite) are read by full plans alone. Times in the future, as by a clock
    that is wrong, wait until they are past by the server's clock, and dates until their day is; without a zone, they
    are taken for UTC. They do not move the cursor, so that nothing that comes before them is passed over.

    Attributes:
        table: ``table`` or ``schema.table``.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is.
        id_column: a key column that becomes ``row_id``.
        partitions_wanted: how many partitions a table is divided into at most; reading one holds a connection.
        cursor_column: a number or a time that grows with each row that comes or changes.
        late: how far before the cursor reading on begins: units of a number, seconds of a time.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("host", "port", "database", "table", "id_column", "cursor_column")

    table: str
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None
    partitions_wanted: int = Field(default=8, ge=1)
    cursor_column: str | None = None
    late: float = Field(default=0.0, ge=0)

    def read_schema(self) -> pa.Schema:
        """Return the table's columns; see `PartitionedSource.read_schema`."""
        with self.connected(SourceError) as database:
            return self._layout(self._relation(database)).schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield runs of blocks; see `PartitionedSource.plan`. The predicate is not used."""
        if since is not None and self.cursor_column is None:
            raise SourceError(
                "Postgres keeps no position without a cursor_column, so it cannot read on from a cursor; name one, or "
                "leave 'since' out"
            )
        with self.connected(SourceError) as database:
            database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            database.run("SET LOCAL TIME ZONE 'UTC'")
            relation = self._relation(database)
            sources = self._layout(relation).narrowed(columns).sources
            condition, cursor = self._since(database, relation, since)
            if since is None and not database.rows(f"SELECT EXISTS (SELECT FROM {relation.name})")[0][0]:
                raise EmptySourceError(f"the table {self.table} at {self.place()} holds no rows")
            snapshot = str(database.rows("SELECT pg_export_snapshot()")[0][0])
            wanted = tuple(column for column in relation.columns if column.name in sources)
            listed = ", ".join([f"{relation.key(self.id_column)} AS {identifier(_KEY)}", *map(selected, wanted)])
            query = f"SELECT {listed} FROM {relation.name} WHERE {condition}"
            parts = [
                PostgresPartition(key, f"{query} {where}", snapshot, wanted)
                for key, where in relation.parts(database, self.partitions_wanted)
            ]
            yield Plan(tuple(parts), cursor)

    def reads_again(self) -> bool:
        """Tell whether there is a window for late rows; see `PartitionedSource.reads_again`."""
        return self.late > 0

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a run of blocks, in the order that they lie in; where the connection is cut, go on."""
        assert isinstance(partition, PostgresPartition)
        schema = pa.schema([(_KEY, pa.string()), *((one.name, arrow_type(one)) for one in partition.columns)])
        layout = self._names().over(schema, f"the table {self.table}")
        done = 0
        for batch in self._batches(partition):
            arrays = [batch.column(field.name).cast(field.type) for field in schema]
            typed = pa.RecordBatch.from_arrays(arrays, schema=schema)
            positions = positions_from(done + 1, batch.num_rows)
            done += batch.num_rows
            yield from layout.rows(typed, positions, origin=self.table, name=partition.key)

    def _batches(self, partition: PostgresPartition) -> Iterator[pa.RecordBatch]:
        """Yield what the partition's query gives; after a cut, from the row behind the last one.

        A snapshot gives the same rows in the same order each time.
        """
        done, cuts = 0, 0
        while True:
            try:
                with self.connected(SourceError) as database:
                    database.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    # Nothing may be asked of the server before, so it cannot be asked to quote the name.
                    assert _SNAPSHOT.fullmatch(partition.snapshot)
                    database.run(f"SET TRANSACTION SNAPSHOT '{partition.snapshot}'")
                    seen = 0
                    for batch in database.batches(partition.query):
                        fresh = batch.slice(max(0, done - seen))
                        seen += batch.num_rows
                        if fresh.num_rows:
                            done += fresh.num_rows
                            yield fresh
                    return
            except ConnectionCutError:
                cuts += 1
                if cuts > len(_WAITS):
                    raise
                time.sleep(_WAITS[cuts - 1])

    def _since(self, database: Database, relation: _Relation, since: str | None) -> tuple[str, str | None]:
        """Return the condition on the rows to read, and how far the cursor will have come with them."""
        if self.cursor_column is None:
            return "true", None
        column = next((one for one in relation.columns if one.name == self.cursor_column), None)
        if column is None or column.is_array or column.kind not in (*TIMES, *NUMBERS):
            raise SourceSchemaError(
                f"the table {self.table} has no column {self.cursor_column!r} of numbers or times, as the option "
                f"'cursor_column' wants; it has: {', '.join(one.name for one in relation.columns)}"
            )
        name, kind = identifier(column.name), column.kind
        after = f"{database.literal(since)}::{kind}" if since is not None else None
        ordered = _in_order(name, kind, after)
        reached = database.rows(f"SELECT max({name})::text FROM {relation.name} WHERE {ordered}")[0][0]
        cursor = reached if reached is not None else since
        if cursor is None and kind in TIMES:
            cursor = "-infinity"
        upto = f"{name} <= {database.literal(cursor)}::{kind}"
        if after is None:
            return f"({upto} OR {name} IS NULL)" if kind in TIMES else "true", cursor
        late = f"{self.late} * interval '1 second'" if kind in TIMES else f"{self.late}::numeric"
        return f"{name} > {after}{f' - {late}' if self.late else ''} AND {upto}", cursor

    def _names(self) -> ColumnNames:
        return ColumnNames(self.text_column, self.label_column, _KEY)

    def _layout(self, relation: _Relation) -> Layout:
        """Return how rows are made of the table's columns.

        Raises:
            SourceSchemaError: a column that an option names is not there.
        """
        names = [column.name for column in relation.columns]
        if self.id_column is not None and self.id_column not in names:
            raise SourceSchemaError(
                f"the table {self.table} has no column {self.id_column!r} for {ROW_ID}; it has: {', '.join(names)}; "
                "name the right one in the option 'id_column'"
            )
        found = [(one.name, arrow_type(one)) for one in relation.columns if one.name != self.id_column]
        return self._names().over(pa.schema([(_KEY, pa.string()), *found]), f"the table {self.table}")

    def _relation(self, database: Database) -> _Relation:
        schema, table = table_name(self.table)
        found = database.rows(
            "SELECT c.oid::int8, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'm', 'v', 'p', 'f')",
            schema,
            table,
        )
        if not found:
            raise SourceNotFoundError(
                f"there is no table {schema}.{table} at {self.place()}; a table outside the schema public is written "
                "schema.table"
            )
        oid, kind = found[0]
        keys = database.rows(
            "SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY(i.indkey) WHERE i.indrelid = $1::int8::oid AND i.indisprimary "
            "ORDER BY array_position(i.indkey::int2[], a.attnum)",
            oid,
        )
        return _Relation(identifier(schema, table), oid, kind, columns_of(database, oid), tuple(key for (key,) in keys))


def _in_order(name: str, kind: str, after: str | None) -> str:
    """Return the condition that a cursor has its place in the order that rows come in: what is to come has none yet.

    Args:
        name: the cursor's column.
        kind: its type.
        after: where reading had come to, which a clock that is set back does not make the future again.
    """
    if kind in TIMES:
        past = "now()::date - 1" if kind == "date" else f"now()::{kind}"
        return f"{name} <= {past}" if after is None else f"{name} <= GREATEST({past}, {after})"
    # Of NaN and the infinite, the product is NaN.
    return f"{name} * 0 = 0" if kind in ("float4", "float8", "numeric") else f"{name} IS NOT NULL"


@dataclass(frozen=True)
class _Relation:
    """A table or a view as the catalog describes it; its name is quoted."""

    name: str
    oid: int
    kind: str
    columns: tuple[PostgresColumn, ...]
    primary_key: tuple[str, ...]

    def key(self, id_column: str | None) -> str:
        """Return the expression that names a row: its text, or a whole number.

        Raises:
            SourceSchemaError: nothing does.
        """
        columns = [id_column] if id_column is not None else self.primary_key
        numbers = [one.name for one in self.columns if one.kind in WHOLE_NUMBERS and not one.is_array]
        if len(columns) == 1 and columns[0] in numbers:
            return identifier(columns[0])  # Arrow makes the same text of it, in less time
        if columns:
            return " || ':' || ".join(f"{identifier(column)}::text" for column in columns)
        if self.kind in "rm":
            return "ctid::text"
        if self.kind == "p":
            return "tableoid::regclass::text || ctid::text"
        raise SourceSchemaError(
            f"{self.name} is a view (or a foreign table), whose rows have no key of their own; name a column that "
            "tells them apart in the option 'id_column'"
        )

    def parts(self, database: Database, wanted: int) -> Iterator[tuple[str, str]]:
        """Yield the key of each part, and what its query ends in."""
        if self.kind not in "rm":
            yield "all", f"ORDER BY {identifier(_KEY)}"
            return
        blocks = int(
            database.rows(
                "SELECT pg_relation_size($1::int8::regclass) / current_setting('block_size')::int8", self.oid
            )[0][0]
        )
        step = max(_MIN_BLOCKS, -(-blocks // wanted))
        starts = range(0, max(1, blocks), step)
        for start in starts:
            # What lies behind the last block that there was is not in the snapshot.
            end = f"AND ctid < '({start + step},0)'::tid" if start != starts[-1] else ""
            yield str(start), f"AND ctid >= '({start},0)'::tid {end}"
