"""What Spark's JVM writes, made such that Arrow C++ can use it."""

from __future__ import annotations

import struct

import pyarrow as pa
import pytest

from connectors.spark_batches import well_formed


def offsets(*numbers: int) -> pa.Buffer:
    return pa.py_buffer(struct.pack(f"<{len(numbers)}i", *numbers))


def without_offsets(kind: pa.DataType) -> pa.Array:
    """Return no values, as Arrow Java writes them: an offset too few."""
    if pa.types.is_struct(kind):
        return pa.Array.from_buffers(kind, 0, [None], children=[without_offsets(one.type) for one in kind])
    if pa.types.is_map(kind):
        entries = pa.struct([kind.key_field, kind.item_field])
        return pa.Array.from_buffers(kind, 0, [None, pa.py_buffer(b"")], children=[without_offsets(entries)])
    if pa.types.is_list(kind):
        inside = [without_offsets(kind.value_type)]
        return pa.Array.from_buffers(kind, 0, [None, pa.py_buffer(b"")], children=inside)
    return pa.Array.from_buffers(kind, 0, [None, *([pa.py_buffer(b"")] * (kind.num_buffers - 1))])


class TestOffsets:
    @pytest.mark.parametrize(
        "kind",
        [
            pa.list_(pa.list_(pa.list_(pa.string()))),
            pa.list_(pa.map_(pa.string(), pa.list_(pa.int8()))),
            pa.list_(pa.struct([("a", pa.list_(pa.list_(pa.binary())))])),
        ],
    )
    def test_empty_lists_within_empty_lists_have_theirs(self, kind: pa.DataType) -> None:
        written = pa.Array.from_buffers(kind, 2, [None, offsets(0, 0, 0)], children=[without_offsets(kind.value_type)])
        assert pa.py_buffer(b"").size in sizes(written)

        good = well_formed(written, pa.field("a", kind))

        good.validate(full=True)
        assert good.type == kind
        assert good.to_pylist() == [[], []]
        assert sizes(good) == sizes(pa.array([[], []], kind))

    def test_empty_maps_have_theirs(self) -> None:
        kind = pa.map_(pa.string(), pa.list_(pa.list_(pa.string())))
        entries = pa.struct([kind.key_field, kind.item_field])
        written = pa.Array.from_buffers(kind, 2, [None, offsets(0, 0, 0)], children=[without_offsets(entries)])
        good = well_formed(written, pa.field("a", kind))
        assert good.to_pylist() == [[], []]
        assert sizes(good) == sizes(pa.array([[], []], kind))


class TestHiddenNulls:
    kind = pa.struct(
        [
            pa.field("n", pa.int64(), False),
            pa.field("text", pa.string(), False),
            pa.field("list", pa.list_(pa.field("element", pa.int8(), False)), False),
            pa.field("struct", pa.struct([pa.field("x", pa.bool_(), False)]), False),
            pa.field("map", pa.map_(pa.string(), pa.field("value", pa.int8(), False)), False),
            pa.field("maybe", pa.int8()),
        ]
    )

    def written(self) -> pa.Array:
        """Return a struct, a null one and a struct, in a list; Spark writes nulls within the null one."""
        row = {"n": 1, "text": "a", "list": [1], "struct": {"x": True}, "map": [("k", 1)], "maybe": None}
        nullable = pa.struct([field.with_nullable(True) for field in self.kind])
        rows = pa.array([row, dict.fromkeys(row), row], nullable)
        fields = [rows.field(index).cast(field.type) for index, field in enumerate(self.kind)]
        structs = pa.Array.from_buffers(self.kind, 3, [pa.py_buffer(b"\x05")], children=fields)
        return pa.ListArray.from_arrays(pa.array([0, 3], pa.int32()), structs)

    def test_the_premise_that_arrow_refuses_them(self) -> None:
        written = self.written()
        with pytest.raises(pa.ArrowInvalid, match="cannot be viewed as non-nullable"):
            written.cast(written.type)

    def test_they_are_left_out(self) -> None:
        written = self.written()
        good = well_formed(written, pa.field("a", written.type))
        good.validate(full=True)
        assert good.to_pylist() == written.to_pylist()
        assert good.cast(written.type).equals(good)
        assert [good.values.field(index).null_count for index in range(len(self.kind))] == [0, 0, 0, 0, 0, 3]


def test_columns_without_lists_are_passed_on() -> None:
    column = pa.array([1, None])
    assert well_formed(column, pa.field("a", pa.int64())) is column


def sizes(array: pa.Array) -> list[int | None]:
    return [None if buffer is None else buffer.size for buffer in array.buffers()]
