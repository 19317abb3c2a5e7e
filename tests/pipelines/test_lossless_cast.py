"""Values get another type only where they come back from it as they were."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.lossless_cast import common_type, convert

INT, FLOAT, TEXT = pa.int64(), pa.float64(), pa.string()
NAIVE, UTC, BERLIN = pa.timestamp("us"), pa.timestamp("us", "UTC"), pa.timestamp("us", "Europe/Berlin")
FLOATS = [0.1, -2.0, 1e20, float("inf"), pytest.approx(float("nan"), nan_ok=True), None, None, None]
DAY = datetime.date(2026, 2, 3)


def kept(column: pa.Array, kind: pa.DataType) -> tuple[list[Any], list[bool]]:
    """Return the converted values of the rows that are not lost, in their places, and which are."""
    converted = convert(column, kind)
    converted.values.validate(full=True)
    assert converted.values.type.equals(kind)
    assert len(converted.values) == len(converted.lost) == len(column)
    values = converted.values.to_pylist()
    return [None if lost else value for lost, value in zip(converted.lost, values, strict=True)], [*converted.lost]


@pytest.mark.parametrize(
    ("values", "found", "kind", "wanted", "lost"),
    [
        ([1, None, 2**40], INT, pa.int32(), [1, None, None], {2}),
        ([4.0, 4.5, None, float("nan")], FLOAT, INT, [4, None, None, None], {1, 3}),
        ([0.5, 0.1, float("nan")], FLOAT, pa.float32(), [0.5, None, pytest.approx(float("nan"), nan_ok=True)], {1}),
        ([1, 2**53 + 1], INT, FLOAT, [1.0, None], {1}),
        ([7, -1], INT, TEXT, ["7", "-1"], set()),
        (["7", "07", " 7", "seven", None], TEXT, INT, [7, None, None, None, None], {1, 2, 3}),
        (["0.1", "-2", "1e+20", "inf", "nan", "4.50", ".5", "x"], TEXT, FLOAT, FLOATS, {5, 6, 7}),
        (["true", "yes"], TEXT, pa.bool_(), [True, None], {1}),
        ([1, 2], INT, pa.bool_(), [True, None], {1}),
        ([1, 2], INT, UTC, [None, None], {0, 1}),
        ([DAY], pa.date32(), INT, [None], {0}),
        ([datetime.datetime(2026, 2, 3, 4, 5)], NAIVE, UTC, [None], {0}),
        ([datetime.datetime(2026, 2, 3), datetime.datetime(2026, 2, 3, 4)], NAIVE, pa.date32(), [DAY, None], {1}),
        (["2026-02-03", "today"], TEXT, pa.date32(), [DAY, None], {1}),
        ([b"good", b"\xff"], pa.binary(), TEXT, ["good", None], {1}),
        ([1, 10**9], INT, pa.decimal128(5, 2), [decimal.Decimal("1.00"), None], {1}),
        ([[1]], pa.list_(INT), TEXT, [None], {0}),
        (["[1]", None], TEXT, pa.list_(INT), [None, None], {0}),
        ([None, None], pa.null(), INT, [None, None], set()),
        ([1, None], INT, pa.null(), [None, None], {0}),
        ([], TEXT, INT, [], set()),
        ([], pa.null(), INT, [], set()),
    ],
)
def test_a_value_is_lost_that_would_not_come_back(
    values: list[Any], found: pa.DataType, kind: pa.DataType, wanted: list[Any], lost: set[int]
) -> None:
    there, gone = kept(pa.array(values, found), kind)
    assert there == wanted
    assert {row for row, one in enumerate(gone) if one} == lost


def test_a_zone_is_a_way_of_writing_an_instant() -> None:
    instant = datetime.datetime(2026, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    assert kept(pa.array([instant], BERLIN), UTC) == ([instant], [False])


class TestNested:
    def test_a_list_is_lost_with_one_of_its_members(self) -> None:
        column = pa.array([["1"], None, [], ["2", "x"], [None, "3"]], pa.list_(TEXT))
        assert kept(column, pa.list_(INT)) == ([[1], None, [], None, [None, 3]], [False, False, False, True, False])

    def test_slices_are_taken_for_what_they_show(self) -> None:
        lists = pa.array([["x"], ["1"], None, ["x", "2"], ["3"]], pa.list_(TEXT))
        assert kept(lists[1:], pa.list_(INT)) == ([[1], None, None, [3]], [False, False, True, False])
        maps = pa.array([[("a", 1.5)], [("b", 2.0)], None], pa.map_(TEXT, FLOAT))
        assert kept(maps[1:], pa.map_(TEXT, INT)) == ([[("b", 2)], None], [False, False])
        structs = pa.array([{"a": 1.5}, {"a": 2.0}, None], pa.struct([("a", FLOAT)]))
        assert kept(structs[1:], pa.struct([("a", INT)])) == ([{"a": 2}, None], [False, False])

    def test_a_struct_is_lost_with_a_value_that_has_no_place(self) -> None:
        found = pa.struct([("b", INT), ("new", TEXT), ("a", INT)])
        column = pa.array([{"a": 1, "b": 2}, {"a": 1, "new": "x"}, None], found)
        wanted = pa.struct([("a", INT), ("b", FLOAT), ("gone", pa.list_(TEXT))])
        assert kept(column, wanted) == ([{"a": 1, "b": 2.0, "gone": None}, None, None], [False, True, False])

    def test_a_map_is_lost_with_a_key_or_a_value(self) -> None:
        column = pa.array([[("1", "2")], [("x", "2")], None, [("1", "x")], []], pa.map_(TEXT, TEXT))
        there, lost = kept(column, pa.map_(INT, INT))
        assert there == [[(1, 2)], None, None, None, []]
        assert lost == [False, True, False, True, False]

    def test_struct_of_lists_of_structs(self) -> None:
        def nested(kind: pa.DataType) -> pa.DataType:
            return pa.struct([("tags", pa.list_(pa.struct([("n", kind)])))])

        column = pa.array([{"tags": [{"n": "1"}, {"n": None}]}, {"tags": [{"n": "x"}]}, {"tags": None}], nested(TEXT))
        assert kept(column, nested(INT)) == (
            [{"tags": [{"n": 1}, {"n": None}]}, None, {"tags": None}],
            [False, True, False],
        )

    def test_a_struct_without_fields(self) -> None:
        assert kept(pa.array([{"a": None}, {"a": 1}, None], pa.struct([("a", INT)])), pa.struct([])) == (
            [{}, None, None],
            [False, True, False],
        )


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array(["a", None, "b", "a"]).dictionary_encode(), TEXT),
        (pa.array(["a", None, "b", "a"], pa.large_string()), TEXT),
        (pa.array([["a"], None, [], [None]], pa.large_list(pa.large_string())), pa.list_(TEXT)),
        (pa.array([["a", "b"], None, ["c", None]], pa.list_(TEXT, 2)), pa.list_(TEXT)),
        (pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), TEXT))), pa.list_(TEXT)),
        (pa.DictionaryArray.from_arrays(pa.array([0, None, 0]), pa.array([[1]])), pa.list_(INT)),
        (pa.array([["a"]], pa.list_(pa.field("element", TEXT, nullable=False))), pa.list_(TEXT)),
    ],
    ids=lambda one: str(getattr(one, "type", one)),
)
def test_encodings_are_undone(column: pa.Array, kind: pa.DataType) -> None:
    for part in (column, column[1:], column[:0]):
        assert kept(part, kind) == (part.to_pylist(), [False] * len(part))


COLUMNS = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)).map(lambda rows: pa.array(rows, INT)),
    st.lists(st.none() | st.floats()).map(lambda rows: pa.array(rows, FLOAT)),
    st.lists(st.none() | st.text("0123456789.-e x", max_size=4)).map(lambda rows: pa.array(rows, TEXT)),
    st.lists(st.none() | st.booleans()).map(lambda rows: pa.array(rows, pa.bool_())),
)
KINDS = st.sampled_from([INT, FLOAT, TEXT, pa.bool_(), pa.int8(), pa.float32(), pa.decimal128(9, 2), UTC, pa.binary()])


@given(COLUMNS, KINDS, st.integers(0, 3))
def test_what_is_not_lost_comes_back_and_each_row_is_judged_alone(
    column: pa.Array, kind: pa.DataType, start: int
) -> None:
    converted = convert(column, kind)
    for row, (before, lost) in enumerate(zip(column.to_pylist(), converted.lost, strict=True)):
        there = converted.values[row : row + 1]
        if before is None:
            assert not lost
            assert there.null_count
        elif not lost:
            back = there.cast(column.type)[0].as_py()
            assert back == before or (back != back and before != before)
    assert [*convert(column[start:], kind).lost] == [*converted.lost][start:]


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        (pa.int32(), INT, INT),
        (pa.uint32(), pa.int8(), INT),
        (pa.uint64(), INT, None),
        (INT, FLOAT, FLOAT),
        (pa.int8(), pa.float32(), pa.float32()),
        (pa.int32(), pa.float32(), FLOAT),
        (pa.float32(), FLOAT, FLOAT),
        (pa.null(), TEXT, TEXT),
        (pa.decimal128(10, 2), pa.decimal128(12, 4), pa.decimal128(12, 4)),
        (TEXT, pa.binary(), None),
        (TEXT, INT, None),
        (pa.bool_(), INT, None),
        (pa.timestamp("s"), NAIVE, NAIVE),
        (NAIVE, UTC, None),
        (pa.date32(), NAIVE, None),
        (TEXT, pa.list_(TEXT), None),
        (pa.dictionary(pa.int8(), TEXT), pa.large_string(), TEXT),
        (pa.list_(pa.int32()), pa.list_(INT), pa.list_(INT)),
        (pa.list_(TEXT), pa.list_(INT), None),
        (pa.map_(TEXT, pa.int8()), pa.map_(TEXT, pa.int16()), pa.map_(TEXT, pa.int16())),
        (pa.map_(TEXT, INT), pa.map_(INT, INT), None),
        (pa.struct([("a", pa.int8())]), pa.struct([("a", TEXT)]), None),
        (
            pa.struct([("a", pa.int8()), ("b", TEXT)]),
            pa.struct([("c", TEXT), ("a", INT)]),
            pa.struct([("a", INT), ("b", TEXT), ("c", TEXT)]),
        ),
    ],
    ids=str,
)
def test_types_meet_where_one_holds_the_values_of_both(
    one: pa.DataType, other: pa.DataType, common: pa.DataType | None
) -> None:
    found = common_type(one, other)
    assert found == common
    if not pa.types.is_struct(one):
        assert common_type(other, one) == common


def test_of_two_zones_the_first_stays() -> None:
    assert common_type(pa.timestamp("s", "UTC"), BERLIN) == UTC
