from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from pipelines.steps import Deduplicate

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = "row_id string, text string, label string"
Marks = dict[str, tuple[str | None, str | None]]


def marks(frame: DataFrame, step: Deduplicate | None = None) -> Marks:
    rows = (step or Deduplicate()).apply(frame).collect()
    found = {row.row_id: (row["_rejected_rule"], row["_rejected_value"]) for row in rows}
    assert len(found) == len(rows)
    return found


KEPT = (None, None)


@pytest.mark.spark
def test_the_first_row_of_each_text_is_kept(spark: SparkSession) -> None:
    rows = [
        ("3", "The same", "a"),
        ("1", " the  SAME\n", "a"),
        ("2", "the\u00a0same", "a"),
        ("4", "other", "a"),
    ]
    expected = {"1": KEPT, "2": ("duplicate", "1"), "3": ("duplicate", "1"), "4": KEPT}
    frame = spark.createDataFrame(rows, COLUMNS)
    assert marks(frame) == expected
    assert marks(frame.repartition(3)) == expected
    assert marks(frame.orderBy("row_id")) == expected


@pytest.mark.spark
def test_punctuation_and_accents_tell_texts_apart(spark: SparkSession) -> None:
    rows = [("1", "no", "a"), ("2", "no!", "a"), ("3", "nó", "a")]
    assert marks(spark.createDataFrame(rows, COLUMNS)) == {"1": KEPT, "2": KEPT, "3": KEPT}


@pytest.mark.spark
def test_a_text_under_two_labels_is_rejected_whole_or_kept_once(spark: SparkSession) -> None:
    rows = [("1", "ab", "y"), ("2", "AB", "x"), ("3", "ab", "y"), ("4", "c", "x"), ("5", "c", None)]
    frame = spark.createDataFrame(rows, COLUMNS)
    conflict = ("conflicting_labels", "x / y")
    assert marks(frame) == {"1": conflict, "2": conflict, "3": conflict, "4": KEPT, "5": ("duplicate", "4")}
    assert marks(frame, Deduplicate(conflicts="keep")) == {
        "1": KEPT,
        "2": ("duplicate", "1"),
        "3": ("duplicate", "1"),
        "4": KEPT,
        "5": ("duplicate", "4"),
    }


@pytest.mark.spark
def test_lists_of_labels_are_compared_as_sets(spark: SparkSession) -> None:
    rows = [("1", "a", ["x", "y"]), ("2", "a", ["y", "x"]), ("3", "b", ["x"]), ("4", "b", ["x", "y"])]
    conflict = ("conflicting_labels", "x / x, y")
    frame = spark.createDataFrame(rows, "row_id string, text string, label array<string>")
    assert marks(frame) == {"1": KEPT, "2": ("duplicate", "1"), "3": conflict, "4": conflict}


@pytest.mark.spark
def test_rows_without_labels_and_no_rows_will_do(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("1", "a"), ("2", "a")], "row_id string, text string")
    assert marks(frame) == {"1": KEPT, "2": ("duplicate", "1")}
    assert marks(spark.createDataFrame([], COLUMNS)) == {}


@pytest.mark.spark
def test_rows_that_are_marked_already_do_not_count(spark: SparkSession) -> None:
    rows = [("1", "a", "x", "old", "why"), ("2", "a", "y", None, None), ("3", "a", "y", None, None)]
    frame = spark.createDataFrame(rows, f"{COLUMNS}, _rejected_rule string, _rejected_value string")
    assert marks(frame) == {"1": ("old", "why"), "2": KEPT, "3": ("duplicate", "2")}


@pytest.mark.spark
def test_columns_stay_and_only_the_marks_are_added(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("1", "a", "x", 5)], f"{COLUMNS}, `a.b` int")
    out = Deduplicate().apply(frame)
    assert out.columns == ["row_id", "text", "label", "a.b", "_rejected_rule", "_rejected_value"]
    assert out.drop("_rejected_rule", "_rejected_value").collect() == frame.collect()


@pytest.mark.spark
def test_it_starts_no_job_and_reads_its_input_once(
    spark: SparkSession, jobs_of: Callable[[Callable[[], object]], int]
) -> None:
    frame = spark.createDataFrame([("1", "a", "x")], COLUMNS)
    costly = frame.mapInArrow(lambda batches: batches, frame.schema)
    assert jobs_of(lambda: Deduplicate().apply(costly)) == 0
    plan = Deduplicate().apply(costly)._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("MapInArrow") == 1
    assert jobs_of(costly.collect) > 0


def test_an_unknown_policy_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ValidationError, match="'reject' or 'keep'"):
        Deduplicate(conflicts="drop")
