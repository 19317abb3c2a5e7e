"""The Arrow types that rows have, of all that Arrow knows: those that Spark has too."""

from __future__ import annotations

import pyarrow as pa

_WIDENED = {
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
    pa.null(): pa.string(),
}


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that columns of type `kind` are given, so that Spark and Ray see the same rows.

    Encodings and layouts are undone (dictionaries, views, large offsets), unsigned integers widened to signed ones,
    times rounded to microseconds, and a column of nothing but nulls taken for strings. A type that Spark lacks (a
    time of day, a union) is left as it is; Spark says so when it is asked for.
    """
    types = pa.types
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if types.is_timestamp(kind):
        return pa.timestamp("us", tz=kind.tz)
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_fixed_size_binary(kind):
        return pa.binary()
    return _WIDENED.get(kind, kind)
