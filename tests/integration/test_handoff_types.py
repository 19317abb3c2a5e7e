"""Types and the hand-over: each that Spark and Arrow share goes there and back as it was; the others are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DayTimeIntervalType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from connectors.errors import SourceSchemaError
from connectors.spark import spark_to_arrow_schema
from pipelines.errors import HandoffError
from pipelines.handback import to_spark
from pipelines.handoff import to_ray
from pipelines.spark_job import collect
from tests.integration.traces import sockets

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from ray.data import Dataset

    from pipelines.session import Session

pytestmark = [pytest.mark.spark, pytest.mark.ray]


@dataclass(frozen=True)
class Shape:
    """A frame that generated columns are packed into."""

    columns: int
    rows: int
    partitions: int


EVERY_TYPE = pa.table(
    {
        "tiny": pa.array([1, None, -128], pa.int8()),
        "small": pa.array([1, None, -32768], pa.int16()),
        "whole": pa.array([1, None, -(2**31)], pa.int32()),
        "long": pa.array([1, None, -(2**63)], pa.int64()),
        "single": pa.array([1.5, None, float("inf")], pa.float32()),
        "double": pa.array([1.5, None, -0.1], pa.float64()),
        "decimal": pa.array([Decimal("1.50"), None, Decimal("-99999999999999999.99")], pa.decimal128(19, 2)),
        "text": pa.array(["流量 “café”", None, ""], pa.string()),
        "bytes": pa.array([b"\x00\xff", None, b""], pa.binary()),
        "truth": pa.array([True, None, False], pa.bool_()),
        "day": pa.array([date(2024, 2, 29), None, date(1, 1, 1)], pa.date32()),
        "instant": pa.array(
            [datetime(2024, 2, 29, 23, 59, 59, 999999, timezone.utc), None, datetime(1901, 1, 1, tzinfo=timezone.utc)],
            pa.timestamp("us", "UTC"),
        ),
        "local_time": pa.array([datetime(2024, 3, 31, 2, 30), None, datetime(1901, 1, 1)], pa.timestamp("us")),
        "span": pa.array([timedelta(days=1, microseconds=1), None, timedelta(0)], pa.duration("us")),
        "list": pa.array([["a", None], None, []], pa.list_(pa.string())),
        "nested_list": pa.array([[[1], None, []], None, []], pa.list_(pa.list_(pa.int64()))),
        "struct": pa.array(
            [{"x": 1, "y": {"z": "泉"}}, None, {"x": None, "y": None}],
            pa.struct([("x", pa.int64()), ("y", pa.struct([("z", pa.string())]))]),
        ),
        "map": pa.array([[("k", 1), ("l", None)], None, []], pa.map_(pa.string(), pa.int64())),
        "list_of_structs": pa.array([[{"x": 1}], None, []], pa.list_(pa.struct([("x", pa.int32())]))),
        "nothing": pa.array([None, None, None], pa.string()),
    }
)

# In one wide frame the columns cost one Spark job together, and not one each.
SHAPES = (Shape(130, 12, 1), Shape(130, 12, 5), Shape(130, 3, 9), Shape(130, 1, 1))
MOST_ROWS = max(shape.rows for shape in SHAPES)

# Each of Spark's types is generated as what Spark holds it as: a date as days, a time and an interval as microseconds.
# So values are exact beyond what Python's own types reach, and no conversion but the one that is tested takes part.
HELD_AS: dict[type[DataType], pa.DataType] = {
    BooleanType: pa.bool_(),
    ByteType: pa.int8(),
    ShortType: pa.int16(),
    IntegerType: pa.int32(),
    LongType: pa.int64(),
    FloatType: pa.float32(),
    DoubleType: pa.float64(),
    StringType: pa.string(),
    BinaryType: pa.binary(),
    DateType: pa.int32(),
    TimestampType: pa.int64(),
    TimestampNTZType: pa.int64(),
    DayTimeIntervalType: pa.int64(),
}

NAMES = st.sampled_from(
    ["a", "a.b", "a b", "`", "x`.`y", "泉", "😀", "\u200b", "e\u0301", "select", "$", "", "%s{}", "'\""]
)
TEXTS = st.sampled_from(
    ["", " ", "\u200b", "\ufeff", "😀", "👩\u200d🚀", "e\u0301", "\u202eabc", "\x00", "\r\n", "NULL"]
)
DECIMALS = st.integers(1, 38).flatmap(lambda digits: st.builds(DecimalType, st.just(digits), st.integers(0, digits)))
LEAVES = st.one_of(*(st.just(kind()) for kind in HELD_AS), DECIMALS)


def nested_in(kinds: st.SearchStrategy[DataType]) -> st.SearchStrategy[DataType]:
    field = st.builds(StructField, NAMES, kinds, st.booleans())
    return (
        st.builds(ArrayType, kinds, st.booleans())
        | st.builds(MapType, LEAVES, kinds, st.booleans())
        | st.builds(StructType, st.lists(field, min_size=1, max_size=3, unique_by=lambda one: one.name))
    )


NESTED = nested_in(st.recursive(LEAVES, nested_in, max_leaves=4))
KINDS = st.booleans().flatmap(lambda nested: NESTED if nested else LEAVES)


def values_of(kind: DataType) -> st.SearchStrategy[Any]:
    if isinstance(kind, ArrayType):
        return st.lists(with_nulls(kind.elementType, kind.containsNull), max_size=3)
    if isinstance(kind, MapType):
        pairs = st.tuples(values_of(kind.keyType), with_nulls(kind.valueType, kind.valueContainsNull))
        return st.lists(pairs, max_size=3, unique_by=lambda pair: repr(pair[0]))
    if isinstance(kind, StructType):
        return st.fixed_dictionaries({one.name: with_nulls(one.dataType, one.nullable) for one in kind.fields})
    if isinstance(kind, DecimalType):
        scale = -kind.scale
        return whole_numbers(1 - 10**kind.precision, 10**kind.precision - 1).map(lambda digits: unscaled(digits, scale))
    if isinstance(kind, StringType):
        return TEXTS | st.text(max_size=6)
    if isinstance(kind, BinaryType):
        return st.binary(max_size=6)
    held = HELD_AS[type(kind)]
    if pa.types.is_boolean(held):
        return st.booleans()
    if pa.types.is_floating(held):
        return st.sampled_from([float("nan"), float("inf"), float("-inf"), -0.0]) | st.floats(width=held.bit_width)
    return whole_numbers(-(2 ** (held.bit_width - 1)), 2 ** (held.bit_width - 1) - 1)


def with_nulls(kind: DataType, nullable: bool) -> st.SearchStrategy[Any]:
    return st.none() | values_of(kind) if nullable else values_of(kind)


def whole_numbers(least: int, most: int) -> st.SearchStrategy[int]:
    return st.sampled_from([least, most, 0]) | st.integers(least, most)


def unscaled(digits: int, exponent: int) -> Decimal:
    return Decimal((int(digits < 0), tuple(int(digit) for digit in str(abs(digits))), exponent))


@dataclass(frozen=True)
class Column:
    field: StructField
    values: list[Any]


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind, nullable = draw(KINDS), draw(st.booleans())
    values = st.lists(with_nulls(kind, nullable), min_size=MOST_ROWS, max_size=MOST_ROWS)
    return Column(StructField(draw(NAMES), kind, nullable), draw(values))


def generated(count: int) -> list[Column]:
    """Return so many columns, the same ones each time."""
    found: list[Column] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(columns())
    def gather(column: Column) -> None:
        found.append(column)

    gather()
    return found


def held_as(kind: DataType) -> pa.DataType:
    if isinstance(kind, ArrayType):
        return pa.list_(pa.field("element", held_as(kind.elementType), kind.containsNull))
    if isinstance(kind, MapType):
        return pa.map_(held_as(kind.keyType), pa.field("value", held_as(kind.valueType), kind.valueContainsNull))
    if isinstance(kind, StructType):
        return pa.struct([pa.field(one.name, held_as(one.dataType), one.nullable) for one in kind.fields])
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    return HELD_AS[type(kind)]


def table_of(generated: Sequence[Column], rows: int) -> pa.Table:
    """Return the first rows of the columns, as what Spark holds them as."""
    arrays = [pa.array(column.values[:rows], held_as(column.field.dataType)) for column in generated]
    return pa.Table.from_arrays(arrays, [str(number) for number in range(len(arrays))])


def frame_of(spark: SparkSession, table: pa.Table, schema: StructType, directory: Path, partitions: int) -> DataFrame:
    """Return a frame with the rows of `table`, which are given to Spark in a file, and the types and names of `schema`.

    Spark is told that the numbers that it holds are days or microseconds, and where there are no nulls: neither can be
    said in a file.
    """
    pq.write_table(table, directory / "rows.parquet")
    read = spark.read.parquet(str(directory / "rows.parquet")).repartition(partitions)
    inside = spark._jsparkSession
    rows, types = read._jdf.queryExecution().toRdd(), inside.parseDataType(schema.json())
    return DataFrame(inside.internalCreateDataFrame(rows, types, False), spark)


def held_in_spark(frame: DataFrame) -> list[bytes]:
    """Return the rows of a frame as the bytes by which Spark holds them, in their order.

    Two values are the same in bytes only if they are the same in every way: each NaN, zeros of either sign, the order
    of a map, an empty list or none.
    """
    return [bytes(row.getBytes()) for row in frame._jdf.queryExecution().executedPlan().executeCollect()]


def different(one: DataFrame, other: DataFrame) -> list[str]:
    """Return the columns in which two frames with one schema are not the same."""
    if held_in_spark(one) == held_in_spark(other):
        return []
    numbers = [str(number) for number in range(len(one.schema))]
    left, right = one.toDF(*numbers), other.toDF(*numbers)
    return [
        f"{field.name!r}: {field.dataType.simpleString()}"
        for number, field in zip(numbers, one.schema, strict=True)
        if held_in_spark(left.select(number)) != held_in_spark(right.select(number))
    ]


def rows_of(dataset: Dataset) -> pa.Table:
    tables = [ray.get(block) for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    return pa.concat_tables(tables)


def shown(table: pa.Table) -> list[str]:
    """Return the rows as texts, which tell NaN and zeros of either sign apart as their values do not."""
    return sorted(map(repr, zip(*(column.to_pylist() for column in table.columns), strict=True)))


def kinds_in(kind: DataType) -> Iterator[type[DataType]]:
    yield type(kind)
    for name in ("elementType", "keyType", "valueType"):
        if hasattr(kind, name):
            yield from kinds_in(getattr(kind, name))
    for field in getattr(kind, "fields", ()):
        yield from kinds_in(field.dataType)


class TestThereAndBack:
    def test_every_type_that_arrow_has_arrives_with_its_nulls_and_comes_back(
        self, session: Session, spark: SparkSession
    ) -> None:
        frame = to_spark(ray.data.from_arrow(EVERY_TYPE), session)

        arrived = rows_of(to_ray(frame))

        assert arrived.schema.names == EVERY_TYPE.schema.names
        assert arrived.schema == spark_to_arrow_schema(frame.schema)
        assert arrived.to_pylist() == EVERY_TYPE.to_pylist()
        assert {name: frame.schema[name].dataType.simpleString() for name in ("local_time", "instant", "span")} == {
            "local_time": "timestamp_ntz",
            "instant": "timestamp",
            "span": "interval day to second",
        }

    def test_columns_of_any_type_arrive_in_ray_and_come_back_as_they_were(
        self, session: Session, spark: SparkSession, tmp_path: Path
    ) -> None:
        found = generated(sum(shape.columns for shape in SHAPES))
        kinds = {kind for column in found for kind in kinds_in(column.field.dataType)}
        assert kinds == {*HELD_AS, DecimalType, ArrayType, MapType, StructType}
        covered = 0
        for shape in SHAPES:
            chosen, found = found[: shape.columns], found[shape.columns :]
            # Spark's columns need names that differ; those of a struct's fields are as they come.
            schema = StructType(
                [
                    StructField(f"{column.field.name}_{number}", column.field.dataType, column.field.nullable)
                    for number, column in enumerate(chosen)
                ]
            )
            table = table_of(chosen, shape.rows)
            frame = frame_of(spark, table, schema, tmp_path, shape.partitions)

            landed = to_ray(frame)
            back = to_spark(landed, session)

            arrived = rows_of(landed)
            assert arrived.schema == spark_to_arrow_schema(schema)
            held = pa.schema([pa.field(one.name, held_as(one.dataType), one.nullable) for one in schema])
            assert shown(arrived.cast(held)) == shown(table)
            assert back.schema == frame.schema == schema
            assert different(frame, back) == []
            covered += len(back.columns)
        assert covered >= 500

    def test_lists_of_lists_that_are_all_empty(self, session: Session, spark: SparkSession) -> None:
        frame = spark.range(0, 4, 1, 2).selectExpr(
            "cast(array() AS array<array<array<string>>>) AS lists",
            "cast(map() AS map<string,array<array<int>>>) AS map",
            "named_struct('a', cast(array() AS array<map<int,array<binary>>>)) AS struct",
        )
        landed = to_ray(frame)
        assert landed.count() == 4
        assert different(frame, to_spark(landed, session)) == []

    def test_names_that_differ_in_case_alone(self, session: Session, spark: SparkSession) -> None:
        frame = spark.sql("SELECT 1 AS a, 'x' AS A, named_struct('b', 1, 'B', 'y') AS s")
        back = to_spark(to_ray(frame), session)
        assert back.schema == frame.schema
        assert held_in_spark(back) == held_in_spark(frame)

    def test_strings_of_bounded_length_are_strings(self, session: Session, spark: SparkSession) -> None:
        spark.sql("CREATE TABLE bounded (fixed CHAR(5), most VARCHAR(5)) USING parquet")
        try:
            spark.sql("INSERT INTO bounded VALUES ('泉', 'a'), (NULL, '')")
            frame = spark.table("bounded")
            back = to_spark(to_ray(frame), session)
            assert held_in_spark(back) == held_in_spark(frame)
            assert back.dtypes == [("fixed", "string"), ("most", "string")]
        finally:
            spark.sql("DROP TABLE bounded")

    def test_intervals_of_fewer_fields_become_such_of_days_to_seconds(
        self, session: Session, spark: SparkSession
    ) -> None:
        back = to_spark(
            to_ray(spark.sql("SELECT INTERVAL '3' DAY AS days, INTERVAL '1:02' HOUR TO MINUTE AS a")), session
        )
        assert [field.dataType for field in back.schema] == [DayTimeIntervalType(), DayTimeIntervalType()]
        assert [tuple(row) for row in back.collect()] == [(timedelta(days=3), timedelta(hours=1, minutes=2))]


class TestIntoRay:
    @pytest.mark.parametrize(
        ("odd", "said"),
        [
            ("INTERVAL '1-2' YEAR TO MONTH AS odd", "column 'odd' holds interval year to month, which Arrow"),
            ("array(INTERVAL '1' MONTH) AS odd", "column 'odd' holds array<interval month>, which Arrow"),
            ("make_interval(1, 2, 3) AS odd", "column 'odd' holds interval, which Arrow"),
            ("map('k', array(make_interval(1))) AS odd", "column 'odd' holds map<string,array<interval>>, which Arrow"),
            ("NULL AS odd", "column 'odd' is void"),
            ("named_struct('a', map('k', NULL)) AS odd", "column 'odd.a.value' is void"),
            ("1 AS odd, 2 AS odd", "more than one column is named 'odd'"),
            ("array(named_struct('a', 1, 'a', 2)) AS odd", "more than one field of column 'odd.element' is named 'a'"),
        ],
    )
    @pytest.mark.parametrize("streaming", [False, True])
    def test_what_arrow_or_ray_cannot_hold_is_named(
        self, spark: SparkSession, odd: str, said: str, streaming: bool
    ) -> None:
        with pytest.raises(SourceSchemaError, match=re.escape(said)):
            to_ray(spark.sql(f"SELECT 'x' AS fine, {odd}"), streaming=streaming)

    def test_a_user_defined_type_is_named(self, spark: SparkSession) -> None:
        frame = spark.createDataFrame([(Vectors.dense([1.0, 2.0]),)], ["odd"])
        with pytest.raises(SourceSchemaError, match="'odd' holds the user-defined type vector, which Arrow"):
            to_ray(frame)

    def test_rows_without_columns_are_refused(self, spark: SparkSession) -> None:
        with pytest.raises(SourceSchemaError, match="no columns"):
            to_ray(spark.range(3).select())


class TestBack:
    def test_an_empty_dataset_keeps_its_columns(self, session: Session, spark: SparkSession) -> None:
        frame = to_spark(ray.data.from_arrow(EVERY_TYPE.slice(0, 0)), session)
        assert frame.columns == EVERY_TYPE.column_names
        assert frame.count() == 0

    def test_a_dataset_of_pandas_blocks_comes_as_its_arrow_types(self, session: Session, spark: SparkSession) -> None:
        dataset = ray.data.from_pandas(
            [pd.DataFrame({"n": [1, 2], "text": ["a", None]}), pd.DataFrame({"n": [3], "text": [None]})]
        )
        frame = to_spark(dataset.map_batches(lambda rows: rows.assign(more=1.5), batch_format="pandas"), session)
        assert [tuple(row) for row in frame.orderBy("n").collect()] == [(1, "a", 1.5), (2, None, 1.5), (3, None, 1.5)]

    def test_types_that_spark_lacks_become_such_that_hold_the_same(self, session: Session, spark: SparkSession) -> None:
        kinds = pa.array(["a", None, "b", "a"]).dictionary_encode()
        times = pa.array([-1, None, 2**33, 0])
        odd = pa.table(
            {
                "count": pa.array([200, None, 0, 255], pa.uint8()),
                "kind": kinds,
                "in_list": pa.ListArray.from_arrays(pa.array([0, 1, None, 2, 4], pa.int32()), kinds),
                "in_struct": pa.StructArray.from_arrays([kinds], ["kind"]),
                "in_map": pa.MapArray.from_arrays([0, 1, 2, 3, 4], pa.array(["k", "l", "m", "n"]), kinds),
                "seconds": times.cast(pa.timestamp("s")),
                "milliseconds": times.cast(pa.timestamp("ms", "Asia/Tokyo")),
                "span": times.cast(pa.duration("s")),
            }
        )
        frame = to_spark(ray.data.from_arrow(odd), session)
        assert frame.dtypes == [
            ("count", "smallint"),
            ("kind", "string"),
            ("in_list", "array<string>"),
            ("in_struct", "struct<kind:string>"),
            ("in_map", "map<string,string>"),
            ("seconds", "timestamp_ntz"),
            ("milliseconds", "timestamp"),
            ("span", "interval day to second"),
        ]
        assert (
            rows_of(to_ray(frame)).to_pylist()
            == odd.set_column(6, "milliseconds", times.cast(pa.timestamp("ms", "UTC"))).to_pylist()
        )

    def test_times_that_spark_would_round_are_refused_at_once(self, session: Session, spark: SparkSession) -> None:
        before = sockets()
        nested = pa.array([[{"at": 1}]], pa.list_(pa.struct([("at", pa.duration("ns"))])))
        fine = pa.array([0], pa.timestamp("us"))
        with pytest.raises(
            SourceSchemaError, match=re.escape("'visits.element.at' holds duration[ns], and Spark's times")
        ):
            to_spark(ray.data.from_arrow(pa.table({"fine": fine, "visits": nested})), session)
        frame = pd.DataFrame({"at": pd.to_datetime(["2024-02-29"])})
        with pytest.raises(SourceSchemaError, match=re.escape('cast it to pa.timestamp("us") first')):
            to_spark(ray.data.from_pandas(frame), session)
        assert sockets() == before

        cured = ray.data.from_pandas(frame).map_batches(
            lambda rows: rows.cast(pa.schema([("at", pa.timestamp("us"))])), batch_format="pyarrow"
        )
        assert [tuple(row) for row in to_spark(cured, session).collect()] == [(datetime(2024, 2, 29),)]

    def test_blocks_that_differ_lose_nothing(self, session: Session, spark: SparkSession) -> None:
        blocks = [
            pa.table({"n": pa.array([1], pa.int32()), "kind": ["a"]}),
            pa.table({"kind": pa.array(["b"]).dictionary_encode(), "n": [2.5]}),
            pa.table({"n": pa.array([], pa.int8())}),
            pa.table({"n": pa.nulls(1), "kind": pa.nulls(1), "more": pa.array([["x"]])}),
        ]
        frame = to_spark(ray.data.from_arrow(blocks), session)
        assert frame.dtypes == [("n", "double"), ("kind", "string"), ("more", "array<string>")]
        assert [tuple(row) for row in frame.collect()] == [(1.0, "a", None), (2.5, "b", None), (None, None, ["x"])]

    def test_a_value_that_does_not_fit_is_an_error_and_not_a_missing_row(
        self, session: Session, spark: SparkSession
    ) -> None:
        late = pa.table({"at": pa.array([0, 2**62], pa.timestamp("s"))})
        frame = to_spark(ray.data.from_arrow(late), session)
        with pytest.raises(HandoffError, match=r"block 0 .*: column 'at' holds timestamp\[s\] and .* out of bounds"):
            collect(frame, "rows")
