"""What the way back makes of a Dataset's columns and rows, before Ray or Spark take part."""

from __future__ import annotations

import re
from decimal import Decimal

import pyarrow as pa
import pytest
from pyspark.sql.types import (
    ArrayType,
    DecimalType,
    DoubleType,
    IntegerType,
    MapType,
    StringType,
    StructField,
    StructType,
)

from connectors.errors import SourceSchemaError
from pipelines.errors import HandoffError
from pipelines.handback import spark_schema_of
from pipelines.sender import rows_as


def schema(**kinds: pa.DataType) -> pa.Schema:
    return pa.schema(list(kinds.items()))


class TestColumns:
    def test_nulls_are_allowed_where_they_are_in_arrow(self) -> None:
        inside = pa.struct(
            [pa.field("x", pa.int32(), False), pa.field("y", pa.list_(pa.field("element", pa.int32(), False)))]
        )
        found = pa.schema([pa.field("m", pa.map_(pa.string(), pa.field("value", inside, False)), False)])
        assert spark_schema_of([found]) == StructType(
            [
                StructField(
                    "m",
                    MapType(
                        StringType(),
                        StructType(
                            [
                                StructField("x", IntegerType(), False),
                                StructField("y", ArrayType(IntegerType(), False)),
                            ]
                        ),
                        valueContainsNull=False,
                    ),
                    False,
                )
            ]
        )

    def test_of_blocks_that_differ_every_value_fits(self) -> None:
        strict = pa.schema([pa.field("a", pa.list_(pa.field("element", pa.string(), False)), False), ("n", pa.int32())])
        loose = schema(a=pa.list_(pa.dictionary(pa.int8(), pa.string())), n=pa.float64(), d=pa.decimal128(5, 2))
        assert spark_schema_of([strict, loose, schema(a=pa.null(), d=pa.decimal128(9, 4))]) == StructType(
            [
                StructField("a", ArrayType(StringType())),
                StructField("n", DoubleType()),
                StructField("d", DecimalType(9, 4)),
            ]
        )

    def test_nothing_but_nulls_is_strings(self) -> None:
        assert spark_schema_of([schema(a=pa.list_(pa.null()))]).simpleString() == "struct<a:array<string>>"

    @pytest.mark.parametrize(
        ("kind", "path", "cure"),
        [
            (pa.timestamp("ns"), "at", 'pa.timestamp("us")'),
            (pa.timestamp("ns", "UTC"), "at", 'pa.timestamp("us", "UTC")'),
            (pa.duration("ns"), "at", 'pa.duration("us")'),
            (pa.dictionary(pa.int8(), pa.timestamp("ns")), "at", 'pa.timestamp("us")'),
            (pa.list_(pa.timestamp("ns")), "at.element", 'pa.timestamp("us")'),
            (pa.large_list(pa.struct([("b c", pa.duration("ns"))])), "at.element.b c", 'pa.duration("us")'),
            (pa.map_(pa.timestamp("ns"), pa.int8()), "at.key", 'pa.timestamp("us")'),
            (pa.map_(pa.int8(), pa.list_(pa.timestamp("ns"), 2)), "at.value.element", 'pa.timestamp("us")'),
        ],
    )
    def test_nanoseconds_are_refused_with_the_cure(self, kind: pa.DataType, path: str, cure: str) -> None:
        fine = schema(fine=pa.timestamp("us"))
        with pytest.raises(SourceSchemaError, match=re.escape(f"column {path!r} holds ")) as raised:
            spark_schema_of([fine, fine.append(pa.field("at", kind))])
        assert f"cast it to {cure} first" in str(raised.value)

    @pytest.mark.parametrize(
        "kind",
        [
            pa.time64("us"),
            pa.month_day_nano_interval(),
            pa.decimal256(39, 0),
            pa.list_view(pa.int8()),
            pa.uuid(),
            pa.dictionary(pa.int8(), pa.struct([("a", pa.int8())])),
        ],
    )
    def test_a_type_that_spark_lacks_is_named(self, kind: pa.DataType) -> None:
        with pytest.raises(SourceSchemaError, match=re.escape(f"column 'a.b' holds {kind}, which Spark")):
            spark_schema_of([schema(a=pa.struct([("b", kind)]))])

    @pytest.mark.parametrize(
        ("one", "other"), [(pa.int64(), pa.string()), (pa.decimal128(20, 2), pa.float64()), (pa.date32(), pa.bool_())]
    )
    def test_blocks_of_different_types_are_refused(self, one: pa.DataType, other: pa.DataType) -> None:
        with pytest.raises(HandoffError, match="columns of one type each"):
            spark_schema_of([schema(a=pa.list_(one)), schema(a=pa.list_(other))])

    def test_columns_of_one_name_are_refused(self) -> None:
        with pytest.raises(SourceSchemaError, match="more than one column is named 'a'"):
            spark_schema_of([pa.schema([("a", pa.int8()), ("a", pa.int8())])])
        with pytest.raises(SourceSchemaError, match="more than one field of column 's' is named 'a'"):
            spark_schema_of([schema(s=pa.struct([("a", pa.int8()), ("a", pa.int8())]))])

    @pytest.mark.parametrize("found", [[], [pa.schema([])]])
    def test_a_dataset_without_columns_is_refused(self, found: list[pa.Schema]) -> None:
        with pytest.raises(HandoffError, match="no columns"):
            spark_schema_of(found)


class TestRows:
    def test_they_come_in_the_columns_that_are_asked_for(self) -> None:
        table = pa.table({"b": pa.array(["x", None]).dictionary_encode(), "a": pa.array([1, 2], pa.uint8())})
        asked = schema(a=pa.int16(), b=pa.string(), c=pa.list_(pa.int8()))
        assert rows_as(table, asked) == pa.table({"a": [1, 2], "b": ["x", None], "c": [None, None]}, schema=asked)

    @pytest.mark.parametrize(
        ("column", "kind"),
        [
            (pa.array([2**62], pa.timestamp("s")), pa.timestamp("us")),
            (pa.array([2**53 + 1]), pa.float64()),
            (pa.array([Decimal("1e37")], pa.decimal256(38, 0)), pa.decimal128(20, 0)),
        ],
    )
    def test_a_value_that_does_not_fit_names_its_column(self, column: pa.Array, kind: pa.DataType) -> None:
        with pytest.raises(HandoffError, match=re.escape(f"column 'a' holds {column.type} and cannot become {kind}: ")):
            rows_as(pa.table({"a": column}), schema(a=kind))

    def test_nulls_where_none_may_be_are_refused(self) -> None:
        with pytest.raises(HandoffError, match="column 'a' holds nulls"):
            rows_as(pa.table({"a": [1, None]}), pa.schema([pa.field("a", pa.int64(), False)]))
