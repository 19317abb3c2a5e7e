"""The Arrow types of JSON values: named in a spec, inferred from samples, and held values against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa

_SCALARS = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
_LIST = "list<"


class DriftError(ValueError):
    """A value is not of the type that its column has; caught by the reader, which makes a bad row of it."""


def parse_type(name: str) -> pa.DataType:
    """Return the type called ``string``, ``int64``, ``float64``, ``bool`` or ``list<…>`` of one of these.

    Raises:
        ValueError: there is no type of that name.
    """
    plain = name.replace(" ", "")
    if plain.startswith(_LIST) and plain.endswith(">"):
        return pa.list_(parse_type(plain[len(_LIST) : -1]))
    if plain not in _SCALARS:
        raise ValueError(f"unknown type {name!r}; known: {', '.join(_SCALARS)} and list<…> of these")
    return _SCALARS[plain]


def infer_schema(rows: Iterable[Mapping[str, object]]) -> pa.Schema:
    """Return the columns that most of `rows` agree on, in the order in which they first appear.

    Of each column, the kind (boolean, number, string, list, object) that most of its values are is taken, so that a
    few stray values among the samples do not decide; numbers are int64 unless one of them has a fraction. A column of
    nothing but nulls is taken for strings.
    """
    return pa.schema([(name, _agreed(values)) for name, values in _columns(rows).items()])


def coercer(kind: pa.DataType) -> Callable[[object], object]:
    """Return a function that takes a JSON value and returns it as Arrow takes it for a column of type `kind`.

    The function raises `DriftError` for a value of another kind. A whole number passes for float64; nothing else is
    converted, and in particular no string to a number or back.
    """
    if pa.types.is_list(kind):
        return _list_coercer(kind)
    if pa.types.is_struct(kind):
        return _struct_coercer(kind)
    return _COERCERS[kind]


def describe(value: object) -> str:
    """Return what kind of JSON value this is, for a message."""
    return {
        "number": "a number",
        "bool": "a boolean",
        "string": "a string",
        "list": "a list",
        "struct": "an object",
    }.get(_category(value), "null")


def _columns(rows: Iterable[Mapping[str, object]]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _agreed(values: list[object]) -> pa.DataType:
    counts = Counter(_category(value) for value in values if value not in (None, {}))
    if not counts:
        return pa.string()
    category = counts.most_common(1)[0][0]
    chosen = [value for value in values if _category(value) == category]
    if category == "list":
        return pa.list_(_agreed([member for value in chosen if isinstance(value, list) for member in value]))
    if category == "struct":
        members = _columns(value for value in chosen if isinstance(value, dict))
        return pa.struct([(name, _agreed(inner)) for name, inner in members.items()])
    if category == "number":
        return pa.float64() if any(isinstance(value, float) for value in chosen) else pa.int64()
    return _SCALARS[category]


def _category(value: object) -> str:
    # A bool is an int to Python, and must be looked for first.
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "list" if isinstance(value, list) else "struct" if isinstance(value, dict) else "null"


def _string(value: object) -> object:
    if value is None or type(value) is str:
        return value
    raise DriftError


def _int64(value: object) -> object:
    if value is None or (type(value) is int and -(2**63) <= value < 2**63):
        return value
    raise DriftError


def _float64(value: object) -> object:
    if value is None or type(value) is float:
        return value
    if type(value) is int and abs(value) <= 2**1023:
        return float(value)
    raise DriftError


def _bool(value: object) -> object:
    if value is None or type(value) is bool:
        return value
    raise DriftError


_COERCERS: Mapping[pa.DataType, Callable[[object], object]] = {
    pa.string(): _string, pa.int64(): _int64, pa.float64(): _float64, pa.bool_(): _bool,
}  # fmt: skip


def _list_coercer(kind: pa.ListType) -> Callable[[object], object]:
    member = coercer(kind.value_type)

    def coerce(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, list):
            raise DriftError
        return [member(item) for item in value]

    return coerce


def _struct_coercer(kind: pa.StructType) -> Callable[[object], object]:
    members = [(field.name, coercer(field.type)) for field in kind]

    def coerce(value: object) -> object:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise DriftError
        return {name: member(value.get(name)) for name, member in members}

    return coerce
