"""How the columns of a source differ from those that were agreed on, by name and type.

Nullability and encodings are no part of a type here: a list of strings is the same whether its strings may be null, and
a string is the same whether it stands in a dictionary. Nor is the order of columns, and of the fields of a struct.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from connectors.arrow_types import change_leaves
from connectors.errors import SourceSchemaError
from connectors.source import ROW_ID

_SHOWN_CHARACTERS = 160


@dataclass(frozen=True)
class Drift:
    """One column that is not as agreed.

    Attributes:
        kind: the field of a `SchemaContract` that says what becomes of it.
        name: the column's.
        agreed: the type that was agreed on; None for a column that was not there.
        found: the type that it has now; None for a column that is missing.
    """

    kind: Literal["new_columns", "missing_columns", "types"]
    name: str
    agreed: pa.DataType | None
    found: pa.DataType | None

    def __str__(self) -> str:
        if self.kind == "new_columns":
            return f"new column {self.name!r} ({type_text(self.found)})"
        if self.kind == "missing_columns":
            return f"missing column {self.name!r} ({type_text(self.agreed)})"
        return f"column {self.name!r} changed from {type_text(self.agreed)} to {type_text(self.found)}"


def find_drift(agreed: pa.Schema, found: pa.Schema) -> tuple[Drift, ...]:
    """Return every column in which two schemas differ: changed ones, then missing ones, then new ones.

    ``row_id`` is left out: it is a string whatever it was made of.

    Raises:
        SourceSchemaError: two columns found have one name.
    """
    repeated = [name for name, count in Counter(found.names).items() if count > 1]
    if repeated:
        raise SourceSchemaError(f"there is more than one column named {repeated[0]!r}; give each a name of its own")
    before, now = _types(agreed), _types(found)
    return (
        *(
            Drift("types", name, kind, now[name])
            for name, kind in before.items()
            if name in now and not same_values(kind, now[name])
        ),
        *(Drift("missing_columns", name, kind, None) for name, kind in before.items() if name not in now),
        *(Drift("new_columns", name, None, kind) for name, kind in now.items() if name not in before),
    )


def to_agree_on(schema: pa.Schema) -> pa.Schema:
    """Return a schema as it is agreed on: without ``row_id``, and of each column the `agreed_type`."""
    return pa.schema(list(_types(schema).items()))


def agreed_type(kind: pa.DataType) -> pa.DataType:
    """Return a type as it is agreed on: with nulls allowed at every level, and nothing encoded."""
    return change_leaves(kind, _without_layout, nullable=True)


def same_values(one: pa.DataType, other: pa.DataType) -> bool:
    """Tell whether two types are of the same values, however they are laid out."""
    return bool(_in_order(agreed_type(one)).equals(_in_order(agreed_type(other))))


def decoded(kind: pa.DataType) -> pa.DataType:
    """Return a type with its dictionaries, views and large offsets undone; nullability stays as it is."""
    return change_leaves(kind, _without_layout)


def type_text(kind: pa.DataType | None) -> str:
    """Return a type as messages show it."""
    text = str(kind)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _types(schema: pa.Schema) -> dict[str, pa.DataType]:
    return {field.name: agreed_type(field.type) for field in schema if field.name != ROW_ID}


def _in_order(kind: pa.DataType) -> pa.DataType:
    """Return a type with the fields of each struct in it sorted by name."""
    types = pa.types
    if types.is_struct(kind):
        fields = sorted(kind, key=lambda field: field.name)
        return pa.struct([field.with_type(_in_order(field.type)) for field in fields])
    if types.is_list(kind):
        return pa.list_(_in_order(kind.value_type))
    if types.is_map(kind):
        return pa.map_(_in_order(kind.key_type), _in_order(kind.item_type))
    return kind


_LAYOUTS = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def _without_layout(kind: pa.DataType) -> pa.DataType:
    return _LAYOUTS.get(kind, kind)
