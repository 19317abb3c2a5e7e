"""The columns of a source of several files, which need not be the same in each: files of later days may have more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from connectors.arrow_types import plain_type
from connectors.errors import SourceSchemaError
from connectors.files.paths import File
from connectors.source import ROW_ID

MOST_HEADS = 32
"""Of how many files the beginning is read for the columns that they have, the first file aside."""

_REQUESTS = 16
"""How many objects of a store are looked into at the same time."""

_Value = TypeVar("_Value")


def looked_into(files: Sequence[File]) -> list[File]:
    """Return the files, in their order, whose beginnings tell the columns: the first and the `MOST_HEADS` newest."""
    newest = sorted(range(len(files)), key=lambda place: (files[place].changed, place))[-MOST_HEADS:]
    return [files[place] for place in sorted({0, *newest} & set(range(len(files))))]


def looks(files: Sequence[File], look: Callable[[File], _Value]) -> list[_Value]:
    """Return what `look` finds in each file; in those of an object store, which answers late, in many at once."""
    if len(files) < 2 or files[0].storage is None:
        return [look(file) for file in files]
    with ThreadPoolExecutor(_REQUESTS) as threads:
        return list(threads.map(look, files))


def united(schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """Return all columns that there are, in the order in which they first come.

    A column has the type that the values of all files can be cast to: the wider number, a null's other type.

    Args:
        schemas: of each file its address and its columns.

    Raises:
        SourceSchemaError: no type takes what two files hold of a column.
    """
    columns: dict[str, pa.Field] = {}
    for address, schema in schemas:
        for field in schema:
            known = columns.setdefault(field.name, field)
            if known.type.equals(field.type):
                continue
            plain = [one.with_type(plain_type(one.type)) for one in (known, field)]
            try:
                both = pa.unify_schemas([pa.schema([one]) for one in plain], promote_options="permissive")
            except pa.ArrowException as error:
                raise SourceSchemaError(
                    f"{address}: column {field.name!r} holds {field.type} and other files of the source {known.type}, "
                    "and no type takes both; convert one of them, or read the files by sources of their own"
                ) from error
            kind = both.field(0).type
            if pa.types.is_floating(kind) and any(pa.types.is_integer(one.type) for one in plain):
                kind = pa.float64()  # Arrow takes the float as it is, however few whole numbers it holds
            columns[field.name] = pa.field(field.name, kind)
    return pa.schema(list(columns.values()))


def absent(every: pa.Schema, there: Collection[str]) -> tuple[str, ...]:
    """Return the names among `every` column of rows that are not `there`, ``row_id`` aside; where nothing is, none."""
    return tuple(name for name in every.names if there and name not in there and name != ROW_ID)
