"""Giving values another type without losing any: the type that two types share, and the cast of a column row by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow_types import SPARK_DECIMAL_DIGITS
from pipelines.schema_drift import decoded

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Converted:
    """A column that was given another type.

    Attributes:
        values: as long as the column; null, or cut down, where a value could not be converted.
        lost: True for each row whose value could not be.
    """

    values: pa.Array
    lost: Mask


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that columns of both types become where Arrow can promote them; None where it cannot.

    Every value of both types is a value of it, with one exception: whole numbers and fractions meet in ``double``,
    which holds whole numbers up to 2**53, and `convert` tells which are beyond. Structs get the fields of both, lists
    and maps what their values share. Text and bytes share nothing, and nor do times with a zone and without.
    """
    types = pa.types
    one, other = decoded(one), decoded(other)
    if one.equals(other) or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    if types.is_list(one) and types.is_list(other):
        members = common_type(one.value_type, other.value_type)
        return None if members is None else pa.list_(members)
    if types.is_map(one) and types.is_map(other):
        keys, items = common_type(one.key_type, other.key_type), common_type(one.item_type, other.item_type)
        return None if keys is None or items is None else pa.map_(keys, items)
    if types.is_struct(one) and types.is_struct(other):
        return _common_struct(one, other)
    if types.is_timestamp(one) and types.is_timestamp(other) and one.tz and other.tz:
        other = pa.timestamp(other.unit, one.tz)
    return _promoted(one, other)


def convert(column: pa.Array, kind: pa.DataType) -> Converted:
    """Return a column's values in another type, and which of them that type does not hold.

    A value is held if converting it back gives the same value. So ``4.0`` is held by int64 and ``4.5`` is not, ``"7"``
    is and ``"07"`` is not. A struct is held if all its fields are, and those that the type lacks are null. Numbers are
    not taken for times, nor times without a zone for times with one.

    Args:
        column: of any type.
        kind: a type without dictionaries, views and large offsets.
    """
    if column.type.equals(kind):
        return Converted(column, _none(column))
    column = _decode(column)
    types = pa.types
    if column.type.equals(kind):
        return Converted(column, _none(column))
    if types.is_list(column.type) and types.is_list(kind):
        return _convert_lists(column, kind)
    if types.is_map(column.type) and types.is_map(kind):
        return _convert_maps(column, kind)
    if types.is_struct(column.type) and types.is_struct(kind):
        return _convert_structs(column, kind)
    if not _is_castable(column.type, kind):
        return Converted(pa.nulls(len(column), kind), _valid(column))
    return _convert_leaves(column, kind)


def _common_struct(one: pa.StructType, other: pa.StructType) -> pa.DataType | None:
    fields: dict[str, pa.DataType] = {field.name: field.type for field in one}
    for field in other:
        shared = common_type(fields[field.name], field.type) if field.name in fields else decoded(field.type)
        if shared is None:
            return None
        fields[field.name] = shared
    return pa.struct(list(fields.items()))


def _promoted(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    types = pa.types
    for whole, fraction in ((one, other), (other, one)):
        if types.is_integer(whole) and types.is_floating(fraction):
            # Arrow takes the float as it is, however few whole numbers it holds.
            return fraction if _holds(fraction, whole) else pa.float64()
    columns = [pa.schema([("column", kind)]) for kind in (one, other)]
    try:
        promoted = pa.unify_schemas(columns, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    if types.is_decimal(promoted) and promoted.precision > SPARK_DECIMAL_DIGITS:
        return None
    return promoted if _holds(promoted, one) and _holds(promoted, other) else None


def _holds(wider: pa.DataType, kind: pa.DataType) -> bool:
    """Tell whether every value of a type without parts is one of another."""
    types = pa.types
    if wider.equals(kind):
        return True
    if types.is_integer(kind) and types.is_integer(wider):
        low, high = _bounds(kind)
        least, most = _bounds(wider)
        return least <= low and high <= most
    if types.is_integer(kind) and types.is_floating(wider):
        return bool(_bounds(kind)[1] <= 2 ** _MANTISSA_BITS[wider.bit_width])
    if types.is_integer(kind) and types.is_decimal(wider):
        return bool(len(str(_bounds(kind)[1])) <= wider.precision - wider.scale)
    if types.is_decimal(kind) and types.is_decimal(wider):
        return bool(wider.scale >= kind.scale and wider.precision - wider.scale >= kind.precision - kind.scale)
    if types.is_floating(kind) and types.is_floating(wider):
        return bool(wider.bit_width > kind.bit_width)
    if types.is_timestamp(kind) and types.is_timestamp(wider):
        return bool(kind.tz == wider.tz and _is_finer(wider.unit, kind.unit))
    if any(same(kind) and same(wider) for same in (types.is_duration, types.is_time)):
        return _is_finer(wider.unit, kind.unit)
    return bool(types.is_date32(kind) and types.is_date64(wider))


# Whole numbers up to 2**bits have a float of their own (IEEE 754: the significand with its hidden bit).
_MANTISSA_BITS = {16: 11, 32: 24, 64: 53}
_UNITS = ("s", "ms", "us", "ns")


def _is_finer(unit: str, other: str) -> bool:
    return _UNITS.index(unit) >= _UNITS.index(other)


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    if pa.types.is_unsigned_integer(kind):
        return 0, 2**kind.bit_width - 1
    return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1


def _decode(column: pa.Array) -> pa.Array:
    """Return a column without the encoding that is outermost."""
    types = pa.types
    if types.is_dictionary(column.type):
        return _decode(column.dictionary.take(column.indices))
    kind = column.type
    if types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return column.cast(pa.list_(kind.value_field))
    plain = decoded(kind)
    return column if types.is_nested(kind) or plain.equals(kind) else column.cast(plain)


def _convert_lists(column: pa.Array, kind: pa.ListType) -> Converted:
    column = _laid_out(column)
    members = convert(column.values, kind.value_type)
    values = pa.ListArray.from_arrays(_offsets(column), members.values, type=kind)
    return Converted(values, _of_rows(column, members.lost))


def _convert_maps(column: pa.Array, kind: pa.MapType) -> Converted:
    column = _laid_out(column)
    keys, items = convert(column.keys, kind.key_type), convert(column.items, kind.item_type)
    # A key cannot be null, so the place of one that is lost is taken by its whole row.
    lost = _of_rows(column, keys.lost | items.lost)
    whole = column.filter(pa.array(~lost)) if keys.lost.any() else column
    if whole is not column:
        there = convert(whole, kind).values
        return Converted(there.take(pa.array(np.cumsum(~lost) - 1, mask=lost)), lost)
    return Converted(pa.MapArray.from_arrays(_offsets(column), keys.values, items.values, type=kind), lost)


def _convert_structs(column: pa.Array, kind: pa.StructType) -> Converted:
    found = dict(zip((field.name for field in column.type), column.flatten(), strict=True))
    lost, children = _none(column), []
    for field in kind:
        child = found.pop(field.name, None)
        converted = Converted(pa.nulls(len(column), field.type), lost) if child is None else convert(child, field.type)
        children.append(converted.values)
        lost = lost | converted.lost
    for child in found.values():
        lost = lost | _valid(child)
    if not children:
        return Converted(pa.array([{} if valid else None for valid in _valid(column)], kind), lost)
    values = pa.StructArray.from_arrays(children, fields=list(kind), mask=column.is_null())
    return Converted(values, lost)


def _is_castable(kind: pa.DataType, wanted: pa.DataType) -> bool:
    """Tell whether a cast between types keeps what the values mean."""
    types = pa.types
    if types.is_nested(kind) or types.is_nested(wanted):
        return False
    if types.is_string(kind) or types.is_string(wanted):
        return True
    return _is_time(kind) == _is_time(wanted) and _is_zoned(kind) == _is_zoned(wanted)


def _is_time(kind: pa.DataType) -> bool:
    types = pa.types
    return any(one_of(kind) for one_of in (types.is_timestamp, types.is_date, types.is_time, types.is_duration))


def _is_zoned(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind)) and kind.tz is not None


def _convert_leaves(column: pa.Array, kind: pa.DataType) -> Converted:
    try:
        there = _cast(column, kind)
        back = _cast(there, column.type)
    except pa.ArrowNotImplementedError:
        return Converted(pa.nulls(len(column), kind), _valid(column))
    # What did not come back is null, and null is not equal to anything.
    same = pc.fill_null(_equal(back, column), False).to_numpy(zero_copy_only=False)
    return Converted(there, _valid(column) & ~same)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return a column cast, with nulls for the values that cannot be."""
    if pa.types.is_null(kind):
        return pa.nulls(len(column), kind)
    if pa.types.is_integer(column.type) and pa.types.is_decimal(kind):
        # Arrow would ask for room for the largest whole number there is, and not for those that are there.
        column = column.cast(pa.decimal128(20, 0))
    if pa.types.is_string(column.type):
        column = _likely(column, kind)
    return pa.concat_arrays([pa.nulls(0, kind), *_pieces(column, kind)])


# Text that a number comes back as is of this form. Looking costs less than failing to cast text that is no number.
_WHOLE = r"^-?[0-9]+$"
_FRACTION = r"^(-?[0-9][0-9.]*(e[-+]?[0-9]+)?|-?inf|-?nan)$"


def _likely(column: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Return texts with nulls for those that cannot be of a type of numbers."""
    types = pa.types
    if not (types.is_integer(kind) or types.is_floating(kind)):
        return column
    form = _WHOLE if types.is_integer(kind) else _FRACTION
    return pc.if_else(pc.match_substring_regex(column, form), column, pa.scalar(None, pa.string()))


def _pieces(column: pa.Array, kind: pa.DataType) -> Iterator[pa.Array]:
    try:
        yield column.cast(kind)
    except pa.ArrowInvalid:
        half = len(column) // 2
        if half:
            yield from _pieces(column[:half], kind)
            yield from _pieces(column[half:], kind)
        else:
            yield pa.nulls(len(column), kind)


def _equal(one: pa.Array, other: pa.Array) -> pa.Array:
    try:
        equal = pc.equal(one, other)
    except pa.ArrowNotImplementedError:
        pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
        return pa.array([before == after for before, after in pairs], pa.bool_())
    if pa.types.is_floating(other.type):
        equal = pc.or_(equal, pc.and_(pc.is_nan(one), pc.is_nan(other)))
    return equal


def _laid_out(column: pa.Array) -> pa.Array:
    """Return a column in buffers of its own: a slice's offsets begin elsewhere, and values may lie under nulls."""
    return column.take(pa.array(np.arange(len(column))))


def _offsets(column: pa.Array) -> pa.Array:
    """Return the offsets of a list or map column, null where the row is."""
    nulls = np.append(~_valid(column), False)
    return pa.array(column.offsets.to_numpy(), pa.int32(), mask=nulls)


def _of_rows(column: pa.Array, lost: Mask) -> Mask:
    """Return in which rows of a list or map column a member was lost."""
    rows = np.zeros(len(column), np.bool_)
    rows[np.repeat(np.arange(len(column)), np.diff(column.offsets.to_numpy()))[lost]] = True
    return rows


def _valid(column: pa.Array) -> Mask:
    valid: Mask = column.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _none(column: pa.Array) -> Mask:
    return np.zeros(len(column), np.bool_)
