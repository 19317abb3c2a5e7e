from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import Sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

MARKS = ("_rejected_rule", "_rejected_value")


@pytest.fixture
def frame(spark: SparkSession) -> DataFrame:
    rows = [("1", "one", 1), ("2", "two", 2), ("3", "three", 3)]
    return spark.createDataFrame(rows, "row_id string, text string, n int")


def run(frame: DataFrame, query: str) -> list[Row]:
    return sorted(Sql(query=query).apply(frame).collect(), key=lambda row: row.row_id)


@pytest.mark.spark
def test_rows_that_are_not_in_the_result_are_marked(frame: DataFrame) -> None:
    rows = run(frame, "SELECT *, upper(text) AS loud FROM rows WHERE n <> 2")
    assert [(row.row_id, row.loud, row["_rejected_rule"], row["_rejected_value"]) for row in rows] == [
        ("1", "ONE", None, None),
        ("2", None, "sql", "two"),
        ("3", "THREE", None, None),
    ]


@pytest.mark.spark
def test_the_result_says_which_columns_there_are(frame: DataFrame) -> None:
    out = Sql(query="SELECT upper(text) AS text, row_id FROM rows").apply(frame)
    assert out.columns == ["text", "row_id", *MARKS]


@pytest.mark.spark
def test_rows_can_be_made(frame: DataFrame) -> None:
    rows = run(
        frame,
        "SELECT concat(row_id, '#', i) AS row_id, text FROM rows LATERAL VIEW explode(sequence(1, 2)) AS i "
        "WHERE n = 1 "
        "UNION ALL SELECT row_id, text FROM rows WHERE n = 3",
    )
    assert [(row.row_id, row["_rejected_rule"]) for row in rows] == [
        ("1", "sql"),
        ("1#1", None),
        ("1#2", None),
        ("2", "sql"),
        ("3", None),
    ]


@pytest.mark.spark
@pytest.mark.parametrize(
    "query", ["SELECT * FROM rows ORDER BY rand() LIMIT 2", "SELECT * FROM rows WHERE rand() < 0.5"]
)
def test_no_row_is_lost_by_a_query_that_answers_differently_each_time(frame: DataFrame, query: str) -> None:
    for _ in range(3):
        assert [row.row_id for row in run(frame, query)] == ["1", "2", "3"]


@pytest.mark.spark
def test_with_clauses_comments_and_a_semicolon_will_do(frame: DataFrame) -> None:
    query = "WITH few AS (SELECT * FROM rows WHERE n < 2)\nSELECT * FROM few -- the small ones"
    assert [row["_rejected_rule"] for row in run(frame, query)] == [None, "sql", "sql"]
    assert [row["_rejected_rule"] for row in run(frame, "SELECT * FROM rows ;\n")] == [None, None, None]


@pytest.mark.spark
def test_views_are_neither_left_behind_nor_replaced(spark: SparkSession, frame: DataFrame) -> None:
    before = {table.name for table in spark.catalog.listTables()}
    spark.createDataFrame([("mine",)], "row_id string").createTempView("rows")
    try:
        assert len(run(frame, "SELECT * FROM rows")) == 3
        assert {table.name for table in spark.catalog.listTables()} == before | {"rows"}
        assert spark.table("rows").collect()[0].row_id == "mine"
    finally:
        spark.catalog.dropTempView("rows")
    with pytest.raises(StepError):
        Sql(query="SELECT nonsense FROM rows").apply(frame)
    assert spark.catalog.listTables() == []


@pytest.mark.spark
def test_rows_that_are_marked_already_are_not_seen_by_the_query(spark: SparkSession) -> None:
    rows = [("1", "a", "old", "why"), ("2", "b", None, None), ("3", "c", None, None)]
    marked = spark.createDataFrame(rows, "row_id string, text string, _rejected_rule string, _rejected_value string")
    out = run(marked, "SELECT *, count(*) OVER () AS seen FROM rows WHERE row_id <> '3'")
    assert [(row.row_id, row["_rejected_rule"], row["_rejected_value"]) for row in out] == [
        ("1", "old", "why"),
        ("2", None, None),
        ("3", "sql", "c"),
    ]
    assert out[1].seen == 1


@pytest.mark.spark
def test_it_starts_no_job(frame: DataFrame, jobs_of: Callable[[Callable[[], object]], int]) -> None:
    assert jobs_of(lambda: Sql(query="SELECT * FROM rows WHERE n > 1").apply(frame)) == 0


@pytest.mark.spark
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT text FROM rows", "has no column row_id, .* it has: text. Select row_id as well"),
        ("SELECT 1 AS row_id FROM rows", "row_id in the result of the query is int; it must be a string"),
        ("SELECT *, upper(text) AS text FROM rows", "more than one column 'text'.* out of row_id, text, n"),
        ("SELECT texte FROM rows", r"cannot be run over the table rows \(row_id, text, n\): .*texte"),
        ("SELEC * FROM rows", "cannot be run over the table rows"),
        ("DROP TABLE rows", "cannot be run over the table rows"),
    ],
)
def test_a_query_that_cannot_be_used_is_an_error(frame: DataFrame, query: str, message: str) -> None:
    with pytest.raises(StepError, match=message):
        Sql(query=query).apply(frame)


@pytest.mark.spark
def test_a_row_without_an_id_ends_the_run(frame: DataFrame) -> None:
    from pyspark.errors import PySparkException

    with pytest.raises(Exception, match="the query made a row whose row_id is null") as caught:
        run(frame, "SELECT row_id, text FROM rows UNION ALL SELECT NULL, 'new'")
    assert isinstance(caught.value, PySparkException) or "Py4J" in type(caught.value).__name__


def test_an_empty_query_is_an_error() -> None:
    with pytest.raises(ValidationError, match="the query is empty"):
        Sql(query=" ;\n")
