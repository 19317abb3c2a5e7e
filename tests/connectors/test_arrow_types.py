"""Which types columns are given, for rows of sources and for rows that must stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from connectors.arrow_types import exact_type, leaves, plain_type

NOT_NULL = pa.struct(
    [
        pa.field("list", pa.list_(pa.field("element", pa.uint8(), False)), False),
        pa.field("map", pa.map_(pa.string(), pa.field("value", pa.large_string(), False))),
    ]
)


class TestBoth:
    @pytest.mark.parametrize("give", [plain_type, exact_type])
    @pytest.mark.parametrize(
        ("kind", "given"),
        [
            (pa.uint64(), pa.decimal128(20, 0)),
            (pa.dictionary(pa.int8(), pa.uint8()), pa.int16()),
            (pa.list_(pa.dictionary(pa.int8(), pa.string()), 2), pa.list_(pa.string())),
            (pa.large_list(pa.string_view()), pa.list_(pa.string())),
            (pa.map_(pa.uint8(), pa.date64()), pa.map_(pa.int16(), pa.date32())),
            (pa.timestamp("s", "Asia/Tokyo"), pa.timestamp("us", "Asia/Tokyo")),
            (pa.duration("ms"), pa.duration("us")),
            (pa.decimal64(7, 2), pa.decimal128(7, 2)),
            (pa.decimal128(5, -2), pa.decimal128(7, 0)),
            (pa.decimal256(38, 38), pa.decimal128(38, 38)),
            # No type of Spark's holds these.
            (pa.decimal256(39, 0), pa.decimal256(39, 0)),
            (pa.time64("us"), pa.time64("us")),
            (pa.dictionary(pa.int8(), pa.list_(pa.string())), pa.dictionary(pa.int8(), pa.list_(pa.string()))),
        ],
    )
    def test_the_values_fit(
        self, give: Callable[[pa.DataType], pa.DataType], kind: pa.DataType, given: pa.DataType
    ) -> None:
        assert give(kind) == given


class TestExact:
    @pytest.mark.parametrize("kind", [pa.timestamp("ns"), pa.duration("ns"), pa.null()])
    def test_nothing_is_rounded_or_guessed(self, kind: pa.DataType) -> None:
        assert exact_type(pa.list_(kind)) == pa.list_(kind)

    def test_nulls_are_allowed_where_they_were(self) -> None:
        assert exact_type(NOT_NULL) == pa.struct(
            [
                pa.field("list", pa.list_(pa.field("element", pa.int16(), False)), False),
                pa.field("map", pa.map_(pa.string(), pa.field("value", pa.string(), False))),
            ]
        )


class TestPlain:
    def test_times_are_rounded_and_nulls_taken_for_strings(self) -> None:
        kind = pa.struct([("a", pa.timestamp("ns", "UTC")), ("b", pa.duration("ns")), ("c", pa.null())])
        assert plain_type(kind) == pa.struct(
            [("a", pa.timestamp("us", "UTC")), ("b", pa.duration("us")), ("c", pa.string())]
        )

    def test_nulls_are_allowed_everywhere_as_another_file_may_have_some(self) -> None:
        assert plain_type(NOT_NULL) == pa.struct(
            [("list", pa.list_(pa.int16())), ("map", pa.map_(pa.string(), pa.string()))]
        )


def test_innermost_types_have_their_paths() -> None:
    field = pa.field(
        "a.b", pa.list_(pa.struct([("m", pa.map_(pa.int8(), pa.list_(pa.string(), 2))), ("t", pa.date32())]))
    )
    assert list(leaves(field)) == [
        ("a.b.element.m.key", pa.int8()),
        ("a.b.element.m.value.element", pa.string()),
        ("a.b.element.t", pa.date32()),
    ]
