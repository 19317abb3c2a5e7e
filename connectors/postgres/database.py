"""Talking to a PostgreSQL database: how it is reached, what is quoted how, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

import pyarrow as pa
from pydantic import BaseModel, Field

from connectors.errors import ConnectionCutError, ConnectorError, SourceError
from connectors.secret import Secret

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_CONNECT_SECONDS = 15

_BUILTIN_TYPES = {"adbc.postgresql.type_resolver_mode": "builtin"}
"""Else each connection begins with the columns of all tables of the database; other types are asked for as text."""


class DatabaseOptions(BaseModel):
    """The options by which a PostgreSQL database is reached.

    Attributes:
        host: the server's name or address.
        port: of the server.
        database: its name.
        user: who connects.
        password: of the user, as a reference: ``${env:NAME}`` or ``${file:PATH}``. None: what the server takes without,
            or ``~/.pgpass``.
        sslmode: as libpq's; ``verify-full`` where the network is not to be trusted.
    """

    host: str = "localhost"
    port: int = Field(default=5432, ge=1, le=65535)
    database: str
    user: str
    password: Secret | None = None
    sslmode: SslMode = "prefer"

    @contextmanager
    def connected(self, failure: type[ConnectorError]) -> Iterator[Database]:
        """Yield a connection, in a transaction that is given up at the end unless it was committed.

        Errors of the database become `failure`, with the server, the database and what to do; never the password.

        Raises:
            ConnectorError: an error of kind `failure`: the driver is missing, or the server says no.
            SecretError: the password's reference leads nowhere.
        """
        driver = _driver(failure)
        with self._faults(failure):
            connection = driver.connect(self._uri(), db_kwargs=_BUILTIN_TYPES)
        try:
            with self._faults(failure):
                yield Database(connection)
        finally:
            connection.close()

    def place(self) -> str:
        """Return where the database is, for people."""
        return f"{self.host}:{self.port}/{self.database}"

    def _uri(self) -> str:
        login = quote(self.user, safe="")
        if self.password is not None:
            login += ":" + quote(self.password.resolve().get_secret_value(), safe="")
        options = urlencode(
            {"sslmode": self.sslmode, "connect_timeout": _CONNECT_SECONDS, "application_name": "headrace"}
        )
        return f"postgresql://{login}@{quote(self.host, safe='')}:{self.port}/{quote(self.database, safe='')}?{options}"

    @contextmanager
    def _faults(self, failure: type[ConnectorError]) -> Iterator[None]:
        from adbc_driver_manager import Error

        try:
            yield
        except (Error, OSError) as error:
            if isinstance(error, OSError) and "[libpq]" not in str(error):
                raise  # not the driver's, which gives Arrow's error where rows break off
            said = _first_line(str(error))
            if self.password is not None:
                said = said.replace(self.password.resolve().get_secret_value(), "***")
            state = getattr(error, "sqlstate", None)
            if failure is SourceError and _is_a_cut(said, state):
                failure = ConnectionCutError
            # The driver's own error is not chained: it may quote the statement, or the address with the password.
            raise _as_said(failure, self, said, state) from None


@dataclass(frozen=True)
class Database:
    """A connection to a database, in a transaction.

    Attributes:
        connection: the driver's.
    """

    connection: Connection

    def run(self, statement: str) -> None:
        """Run a statement of which nothing is wanted back."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query; ``$1`` and so on stand for `values`."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, list(values) or None)
            return [tuple(row) for row in cursor.fetchall()]

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query, as they come, by binary COPY."""
        with self.connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(1024 * 1024)})
            cursor.execute(statement)
            yield from cursor.fetch_record_batch()

    def literal(self, value: object) -> str:
        """Return a value as a literal of SQL, quoted by the server itself."""
        return str(self.rows("SELECT quote_nullable($1::text)", None if value is None else str(value))[0][0])


def identifier(*names: str) -> str:
    """Return a name, or names joined by dots, as SQL writes any name at all."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def table_name(option: str) -> tuple[str, str]:
    """Return the schema and the table that an option ``table`` or ``schema.table`` names."""
    schema, dot, table = option.partition(".")
    return (schema, table) if dot else ("public", option)


_CURES: Sequence[tuple[str, str]] = (
    ("28", "check user and password"),
    ("3D", "create the database, or name another one in the option 'database'"),
    ("42P01", "check the option 'table'; a table outside the schema public is written schema.table"),
    ("42501", "have the table's owner grant the user what it lacks"),
    ("22023", "the snapshot of the plan has gone with its connection; run again"),
    ("42704", "the snapshot of the plan has gone with its connection; run again"),
    ("42703", "check the columns that the options name"),
    ("53300", "the server takes no more connections; lower the number of tasks, or raise max_connections"),
    ("57", "the server is going down; run again once it is up"),
    ("55", "the table cannot be used just now; run again"),
)


def _as_said(failure: type[ConnectorError], database: DatabaseOptions, said: str, state: str | None) -> ConnectorError:
    cure = next((cure for prefix, cure in _CURES if (state or "").startswith(prefix)), "")
    if not state and "password authentication failed" in said:
        cure = "check user and password"
    if not state and "database" in said and "does not exist" in said:
        cure = "create the database, or name another one in the option 'database'"
    if not state and ("refused" in said or "could not translate" in said or "timeout" in said):
        cure = "check host and port, and whether the server is up"
    return failure(f"PostgreSQL at {database.place()} says: {said}" + (f"; {cure}" if cure else ""))


def _is_a_cut(said: str, state: str | None) -> bool:
    """Tell whether an error means that the connection, once it was there, has gone."""
    lost = ("closed the connection", "terminating connection", "connection not open", "could not receive data")
    return (state or "")[:2] in ("08", "57") or any(one in said for one in lost)


def _first_line(text: str) -> str:
    """Return what an error of the driver says, without the statement that it quotes."""
    return text.split("\n")[0].partition("Query was:")[0].strip().rstrip(".")


def _driver(failure: type[ConnectorError]) -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise failure(f"PostgreSQL's driver is missing ({error}); pip install 'headrace[postgres]'") from error
    return dbapi
