"""The Arrow types that rows have, of all that Arrow knows: those that Spark has too."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

SPARK_DECIMAL_DIGITS = 38
"""The most digits that a decimal has in Spark, which are also the most that 128 bits hold."""

_SAME_VALUES = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.binary_view(): pa.binary(),
}


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that columns of type `kind` are given, so that Spark and Ray see the same rows.

    As `exact_type`, and beyond that times are rounded to microseconds, a column of nothing but nulls is taken for
    strings, and nulls are allowed within lists, structs and maps, as another file of a source may have some.
    """
    return change_leaves(kind, _plain, nullable=True)


def exact_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of Spark's that holds every value of a column of type `kind` as it is.

    Encodings and layouts are undone (dictionaries, views, large offsets), and unsigned integers, small decimals and
    coarse times widened. A type that Spark lacks (nanoseconds, a time of day, a union) is left as it is, and so is that
    of a column of nothing but nulls.
    """
    return change_leaves(kind, _exact)


def change_leaves(
    kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType], *, nullable: bool = False
) -> pa.DataType:
    """Return `kind` with each of its innermost types changed.

    Lists of every layout become lists, and dictionaries what they encode, except for dictionaries of nested values,
    which Arrow cannot decode.

    Args:
        kind: any type.
        change: given a type that is no list, struct or map, returns what takes its place.
        nullable: allow nulls at every level; otherwise they are allowed where they were.
    """

    def changed(field: pa.Field) -> pa.Field:
        inner = field.with_type(change_leaves(field.type, change, nullable=nullable))
        return inner.with_nullable(True) if nullable else inner

    types = pa.types
    if types.is_dictionary(kind) and not types.is_nested(kind.value_type):
        return change_leaves(kind.value_type, change, nullable=nullable)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        # Writers call a list's element differently, and the same lists must be of the same type.
        return pa.list_(changed(kind.value_field).with_name("item"))
    if types.is_struct(kind):
        return pa.struct([changed(field) for field in kind])
    if types.is_map(kind):
        return pa.map_(changed(kind.key_field).with_nullable(False), changed(kind.item_field))
    return change(kind)


def leaves(field: pa.Field) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the innermost types of a column, each with its dotted path: ``events.element.at``, ``prices.value``."""
    types = pa.types
    kind = field.type
    children: list[tuple[str, pa.DataType]] = []
    if types.is_struct(kind):
        children = [(child.name, child.type) for child in kind]
    elif types.is_map(kind):
        children = [("key", kind.key_type), ("value", kind.item_type)]
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        children = [("element", kind.value_type)]
    else:
        yield field.name, kind
    for name, child in children:
        yield from leaves(pa.field(f"{field.name}.{name}", child))


def _exact(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_timestamp(kind) and kind.unit != "ns":
        return pa.timestamp("us", tz=kind.tz)
    if types.is_duration(kind) and kind.unit != "ns":
        return pa.duration("us")
    if types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_decimal(kind):
        # Spark wants the scale between zero and the precision; Arrow takes others too.
        scale = max(kind.scale, 0)
        precision = max(kind.precision - kind.scale + scale, scale)
        return pa.decimal128(precision, scale) if precision <= SPARK_DECIMAL_DIGITS else kind
    return _SAME_VALUES.get(kind, kind)


def _plain(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    if types.is_duration(kind):
        return pa.duration("us")
    return pa.string() if types.is_null(kind) else _exact(kind)
