"""A sink of rows to a PostgreSQL table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import ClassVar

import pyarrow as pa

from connectors.errors import SinkError
from connectors.modal_sink import KeyedSink, holds_rows
from connectors.postgres.database import Database, DatabaseOptions, identifier, table_name
from connectors.postgres.types import postgres_type
from connectors.sink import Receipt

_COMMITS = "_headrace_commits"
_STAGING = "_headrace_staging_"


class PostgresSink(DatabaseOptions, KeyedSink):
    """A table of a PostgreSQL database, made if it is not there.

    Each attempt at a partition is copied into an unlogged table of its own beside the target; the commit moves the rows
    in one transaction, in which the commit's id and the cursor are kept too, in the table ``_headrace_commits`` of the
    same schema. So whoever reads the target sees all of a commit or nothing.

    Attributes:
        table: ``table`` or ``schema.table``; the schema must be there.
        mode: ``error`` refuses a table that holds rows, ``overwrite`` replaces them, ``append`` adds to them, and
            ``merge`` replaces the rows that have the `keys` of new ones, and adds the others.
        keys: the columns that tell rows apart, for ``merge``; the table needs a unique index on them, and gets one
            where it is made.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("host", "port", "database", "table")

    table: str

    def holding_rows(self) -> str | None:
        """Ask the server; see `KeyedSink.holding_rows`."""
        with self.connected(SinkError) as database:
            return self._shown() if self._columns(database) and self._has_rows(database) else None

    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Make the target and the table of commits where they are not there; see `Sink.begin`."""
        columns = {field.name: postgres_type(field) for field in schema}
        self.require_keys(columns)
        with self.connected(SinkError) as database:
            self._clear(database, commit_id)
            database.run(
                f"CREATE TABLE IF NOT EXISTS {self._beside(_COMMITS)} (commit_id text PRIMARY KEY, "
                "target text NOT NULL, cursor text, rows bigint NOT NULL, committed timestamptz NOT NULL DEFAULT now())"
            )
            self._prepare(database, columns)
            database.connection.commit()

    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Copy one attempt's rows into a table of its own; see `Sink.write`."""
        filled = (batch for batch in batches if batch.num_rows)
        first = list(islice(filled, 1))
        if not first:
            return Receipt(partition, attempt, rows=0, bytes=0)
        counted = _Counted(chain(first, filled))
        schema = first[0].schema
        name = f"{_prefix(commit_id)}{partition}_{attempt}"
        with self.connected(SinkError) as database:
            listed = ", ".join(f"{identifier(field.name)} {postgres_type(field)}" for field in schema)
            database.run(f"CREATE UNLOGGED TABLE {self._beside(name)} ({listed})")
            with database.connection.cursor() as cursor:
                reader = pa.RecordBatchReader.from_batches(schema, counted)
                cursor.adbc_ingest(name, reader, mode="append", db_schema_name=table_name(self.table)[0])
            counted.reraise()
            database.connection.commit()
        return Receipt(partition, attempt, counted.rows, counted.bytes, (name,))

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Move the rows that the receipts name into the target, in one transaction; see `Sink.commit`."""
        staged = [name for receipt in receipts for name in receipt.staged]
        with self.connected(SinkError) as database:
            if not self._is_committed(database, commit_id):
                self._require(database, commit_id, staged)
                if self.mode == "overwrite":
                    database.run(f"DELETE FROM {self._target()}")
                for name in staged:
                    self._move(database, name, staged)
                values = (commit_id, self.table, cursor, sum(receipt.rows for receipt in receipts))
                literals = ", ".join(database.literal(value) for value in values[:3])
                database.run(
                    f"INSERT INTO {self._beside(_COMMITS)} (commit_id, target, cursor, rows) "
                    f"VALUES ({literals}, {int(values[3])})"
                )
            self._clear(database, commit_id)
            database.connection.commit()

    def is_committed(self, commit_id: str) -> bool:
        """Tell whether the table of commits has the commit; see `Sink.is_committed`."""
        with self.connected(SinkError) as database:
            return self._is_committed(database, commit_id)

    def abort(self, commit_id: str) -> None:
        """Drop the commit's tables; see `Sink.abort`."""
        with self.connected(SinkError) as database:
            self._clear(database, commit_id)
            database.connection.commit()

    def _prepare(self, database: Database, columns: dict[str, str]) -> None:
        """Make the target, or see to it that the one that is there can take the rows."""
        there = self._columns(database)
        if not there:
            listed = [f"{identifier(name)} {kind}" for name, kind in columns.items()]
            if self.mode == "merge":
                listed.append(f"PRIMARY KEY ({', '.join(map(identifier, self.keys))})")
            database.run(f"CREATE TABLE {self._target()} ({', '.join(listed)})")
            return
        new = [name for name in columns if name not in there]
        if new and self.new_columns == "refuse":
            raise SinkError(
                f"the table {self.table} at {self.place()} has no column {new[0]!r}; it has: "
                f"{', '.join(sorted(there))}; set new_columns: add, or leave it out of the rows"
            )
        for name in new:
            database.run(f"ALTER TABLE {self._target()} ADD COLUMN {identifier(name)} {columns[name]}")
        if self.mode == "error" and self._has_rows(database):
            raise holds_rows(self._shown())

    def _columns(self, database: Database) -> set[str]:
        """Return the names of the target's columns; none where there is no such table."""
        named = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2"
        return {name for (name,) in database.rows(named, *table_name(self.table))}

    def _has_rows(self, database: Database) -> bool:
        return bool(database.rows(f"SELECT EXISTS (SELECT FROM {self._target()})")[0][0])

    def _shown(self) -> str:
        return f"the table {self.table} at {self.place()}"

    def _require(self, database: Database, commit_id: str, staged: Sequence[str]) -> None:
        """See to it that all that was staged is there, and holds no key twice.

        Raises:
            SinkError: it is not, or does.
        """
        there = self._staged(database, commit_id)
        lost = [name for name in staged if name not in there]
        if lost:
            raise SinkError(f"commit {commit_id}: {lost[0]} was staged and is not there; run the write again")
        if self.mode != "merge" or not staged:
            return
        keys = ", ".join(map(identifier, self.keys))
        every = " UNION ALL ".join(f"SELECT {keys} FROM {self._beside(name)}" for name in staged)
        twice = database.rows(
            f"SELECT {keys}, count(*) FROM ({every}) AS staged GROUP BY {keys} HAVING count(*) > 1 LIMIT 1"
        )
        if twice:
            raise SinkError(
                f"{twice[0][-1]} rows have the key {', '.join(map(str, twice[0][:-1]))} ({', '.join(self.keys)}), so "
                "which of them the table is to hold cannot be told; deduplicate them, or merge by more keys"
            )

    def _move(self, database: Database, name: str, staged: Sequence[str]) -> None:
        """Put the rows of a staging table into the target."""
        schema, _ = table_name(self.table)
        columns = [
            identifier(column)
            for (column,) in database.rows(
                "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 "
                "ORDER BY ordinal_position",
                schema,
                name,
            )
        ]
        listed = ", ".join(columns)
        statement = f"INSERT INTO {self._target()} ({listed}) SELECT {listed} FROM {self._beside(name)}"
        if self.mode == "merge":
            keys = [identifier(key) for key in self.keys]
            changes = ", ".join(f"{one} = EXCLUDED.{one}" for one in columns if one not in keys)
            then = f"UPDATE SET {changes}" if changes else "NOTHING"
            statement += f" ON CONFLICT ({', '.join(keys)}) DO {then}"
        database.run(statement)

    def _is_committed(self, database: Database, commit_id: str) -> bool:
        schema, _ = table_name(self.table)
        known = "SELECT to_regclass($1) IS NOT NULL"
        if not database.rows(known, identifier(schema, _COMMITS))[0][0]:
            return False
        found = f"SELECT EXISTS (SELECT FROM {self._beside(_COMMITS)} WHERE commit_id = $1)"
        return bool(database.rows(found, commit_id)[0][0])

    def _staged(self, database: Database, commit_id: str) -> set[str]:
        schema, _ = table_name(self.table)
        rows = database.rows(
            "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname::text, $2)",
            schema,
            _prefix(commit_id),
        )
        return {name for (name,) in rows}

    def _clear(self, database: Database, commit_id: str) -> None:
        for name in sorted(self._staged(database, commit_id)):
            database.run(f"DROP TABLE {self._beside(name)}")

    def _target(self) -> str:
        return identifier(*table_name(self.table))

    def _beside(self, table: str) -> str:
        return identifier(table_name(self.table)[0], table)


class _Counted:
    """Batches on their way, counted; what their source raises is kept, as the driver would make it its own error."""

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self._error: BaseException | None = None
        self.rows = self.bytes = 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += batch.num_rows
                self.bytes += batch.nbytes
                yield batch
        except BaseException as error:
            self._error = error

    def reraise(self) -> None:
        """Raise what the batches' source has raised, if anything."""
        if self._error is not None:
            raise self._error


def _prefix(commit_id: str) -> str:
    """Return what the names of a commit's tables begin with; PostgreSQL cuts names off at 63 bytes."""
    return f"{_STAGING}{hashlib.sha256(commit_id.encode()).hexdigest()[:16]}_"
