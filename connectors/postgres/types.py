"""The columns of PostgreSQL tables as Arrow's, and back."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from connectors.arrow_types import SPARK_DECIMAL_DIGITS
from connectors.errors import SinkError
from connectors.postgres.database import Database, identifier

_ARROW: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "varchar": pa.string(),
    "bpchar": pa.string(),
    "name": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", "UTC"),
}

_POSTGRES: dict[pa.DataType, str] = {
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
}

TIMES = ("date", "timestamp", "timestamptz")
"""PostgreSQL's types of times by which rows may come."""

WHOLE_NUMBERS = ("int2", "int4", "int8")
"""PostgreSQL's types of whole numbers."""

NUMBERS = (*WHOLE_NUMBERS, "float4", "float8", "numeric")
"""PostgreSQL's types of numbers by which rows may come."""


@dataclass(frozen=True)
class PostgresColumn:
    """A column of a table.

    Attributes:
        name: its name.
        kind: its type's short name, as ``int8``; of an array, its elements'.
        is_array: whether it holds arrays.
        modifier: what is said of the type in brackets, as PostgreSQL encodes it; -1 where nothing is.
    """

    name: str
    kind: str
    is_array: bool
    modifier: int


def columns_of(database: Database, oid: int) -> tuple[PostgresColumn, ...]:
    """Return the columns of a relation, in their order."""
    rows = database.rows(
        "SELECT a.attname::text, COALESCE(e.typname, t.typname)::text, e.oid IS NOT NULL, a.atttypmod::int4 "
        "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
        "LEFT JOIN pg_type e ON t.typcategory = 'A' AND e.oid = t.typelem "
        "WHERE a.attrelid = $1::int8::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        oid,
    )
    return tuple(PostgresColumn(*row) for row in rows)


def arrow_type(column: PostgresColumn) -> pa.DataType:
    """Return the type that a column has in Arrow; what Arrow has none for (JSON, UUID, intervals, …) is text."""
    inner = _decimal(column) or _ARROW.get(column.kind, pa.string())
    return pa.list_(inner) if column.is_array else inner


def selected(column: PostgresColumn) -> str:
    """Return the expression that selects a column so that the driver gives it in Arrow's type, or as its text."""
    name = identifier(column.name)
    if column.kind in _ARROW:
        return name
    return f"{name}::text[] AS {name}" if column.is_array else f"{name}::text AS {name}"


def postgres_type(field: pa.Field) -> str:
    """Return the type that a column of Arrow's gets in a table.

    Raises:
        SinkError: there is none.
    """
    kind, types = field.type, pa.types
    if types.is_list(kind) and not types.is_nested(kind.value_type):
        return postgres_type(field.with_type(kind.value_type)) + "[]"
    if types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})"
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    if kind not in _POSTGRES:
        raise SinkError(
            f"column {field.name!r} holds {kind}, which PostgreSQL has no type for; convert it, or leave it out"
        )
    return _POSTGRES[kind]


def _decimal(column: PostgresColumn) -> pa.DataType | None:
    """Return the decimal that a ``numeric(p, s)`` is; one of no given size may hold any digits, and stays text."""
    if column.kind != "numeric" or column.modifier < 4:
        return None
    # PostgreSQL packs both into one number: numeric_typmod_precision and numeric_typmod_scale of its source.
    precision = ((column.modifier - 4) >> 16) & 0xFFFF
    scale = (((column.modifier - 4) & 0x7FF) ^ 1024) - 1024
    if scale < 0 or scale > precision or precision > SPARK_DECIMAL_DIGITS:
        return None
    return pa.decimal128(precision, scale)
