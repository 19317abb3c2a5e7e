"""Partitioned sources in Spark, and the source that Spark itself reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import BadRow, Memory, SourceError, SourceNotFoundError, SourceSchemaError, SparkTable
from connectors.secret import Secret

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class TestSparkTableOptions:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"table": "a", "query": "select 1"},
            {"format": "orc", "table": "a"},
            {"table": "a", "path": "b"},
            {"path": "b"},
        ],
    )
    def test_exactly_one_place_to_read_from_is_wanted(self, options: dict[str, str]) -> None:
        with pytest.raises(ValidationError, match=r"exactly one of|go with 'format'"):
            SparkTable.model_validate(options)

    def test_a_secret_stays_a_reference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DB_PASSWORD", "hunter2")
        source = SparkTable(format="jdbc", options={"password": "${env:DB_PASSWORD}", "user": "reader"})
        assert dict(source.options) == {"password": Secret("${env:DB_PASSWORD}"), "user": "reader"}
        assert "hunter2" not in f"{source!r}{source.model_dump_json()}"
        assert SparkTable.model_validate_json(source.model_dump_json()) == source


@pytest.mark.spark
class TestSparkTable:
    @pytest.fixture
    def view(self, spark: SparkSession) -> str:
        frame = spark.createDataFrame(
            [(1, "a", 7, ["x"]), (2, None, 8, [])], "id long, `the.body` string, topic int, tags array<string>"
        )
        frame.createOrReplaceTempView("articles")
        return "articles"

    def test_a_table_has_its_columns_renamed(self, spark: SparkSession, view: str) -> None:
        source = SparkTable(table=view, text_column="the.body", label_column="topic", id_column="id")
        frame = source.load(spark)
        assert frame.dtypes == [
            ("row_id", "string"), ("text", "string"), ("label", "string"), ("tags", "array<string>"),
        ]  # fmt: skip
        assert [tuple(row) for row in frame.collect()] == [("1", "a", "7", ["x"]), ("2", None, "8", [])]

    def test_an_array_of_labels_stays_one(self, spark: SparkSession, view: str) -> None:
        frame = SparkTable(query=f"select `the.body` as text, tags as label from {view}").load(spark)
        assert frame.dtypes == [("text", "string"), ("label", "array<string>")]

    def test_files_of_any_format_are_read(self, spark: SparkSession, tmp_path: Path) -> None:
        spark.createDataFrame([("a", "x")], "text string, label string").write.orc(str(tmp_path / "rows"))
        source = SparkTable(format="orc", path=str(tmp_path / "rows"), options={"mergeSchema": "true"})
        assert [tuple(row) for row in source.load(spark).collect()] == [("a", "x")]

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"table": "no_such_table"}, SourceNotFoundError, "table no_such_table: .*cannot be found"),
            ({"format": "orc", "path": "/no/such/path"}, SourceNotFoundError, "orc /no/such/path: .*does not exist"),
            ({"format": "no_such_format"}, SourceNotFoundError, "no_such_format: .*[Ff]ailed to find"),
            ({"query": "selct 1"}, SourceError, "the query: .*[Ss]yntax error"),
            ({"query": "select 1 as body"}, SourceSchemaError, "the query has no column 'text' for text; it has: body"),
        ],
    )
    def test_what_cannot_be_read_is_an_error_that_names_it(
        self, spark: SparkSession, options: dict[str, str], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            SparkTable.model_validate(options).load(spark)

    def test_a_store_that_repeats_its_password_does_not_have_it_shown(
        self, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STORE", "no_such_store_hunter2")
        source = SparkTable(format="jdbc", options={"driver": "${env:STORE}", "url": "jdbc:x:", "dbtable": "a"})
        with pytest.raises(SourceError) as caught:
            source.load(spark)
        assert "${env:STORE}" in str(caught.value)
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.spark
class TestPartitionedSourcesInSpark:
    def test_each_partition_is_a_task_in_order_and_rows_are_made_there(self, spark: SparkSession) -> None:
        from connectors.spark import arrow_to_spark_schema, partitions_frame, read_partitions

        source = Memory(rows=[{"text": str(number)} for number in range(35_000)])
        with source.plan() as plan:
            frame = partitions_frame(spark, plan.partitions)

            def rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
                for item in read_partitions(source, batches):
                    if not isinstance(item, BadRow):
                        yield item

            texts = frame.mapInArrow(rows, arrow_to_spark_schema(source.row_schema()))
            assert frame.dtypes == [("partition", "binary")]
            assert texts.rdd.getNumPartitions() == len(plan.partitions) == 4
            assert [row.text for row in texts.collect()] == [str(number) for number in range(35_000)]

    def test_no_partitions_are_no_rows(self, spark: SparkSession) -> None:
        from connectors.spark import partitions_frame

        assert partitions_frame(spark, []).count() == 0


class TestSchemas:
    def test_types_go_to_spark_and_back(self) -> None:
        from connectors.spark import arrow_to_spark_schema, spark_to_arrow_schema

        schema = pa.schema(
            [
                ("text", pa.string()), ("n", pa.int64()), ("b", pa.bool_()), ("x", pa.float32()), ("d", pa.date32()),
                ("t", pa.timestamp("us")), ("z", pa.timestamp("us", "UTC")), ("p", pa.decimal128(10, 2)),
                ("l", pa.list_(pa.list_(pa.string()))), ("s", pa.struct([("a", pa.int16())])), ("r", pa.binary()),
            ]
        )  # fmt: skip
        back = spark_to_arrow_schema(arrow_to_spark_schema(schema))
        assert [(field.name, _plain(field.type)) for field in back] == [
            (field.name, _plain(field.type)) for field in schema
        ]

    def test_a_type_that_spark_lacks_is_an_error_that_names_the_column(self) -> None:
        from connectors.spark import arrow_to_spark_schema

        with pytest.raises(SourceSchemaError, match="column 'at' holds time64"):
            arrow_to_spark_schema(pa.schema([("text", pa.string()), ("at", pa.time64("us"))]))


def _plain(kind: pa.DataType) -> str:
    # The name of a list's member field ("item", "element") is no part of its type.
    return str(kind).replace("element:", "item:").replace(" not null", "")
