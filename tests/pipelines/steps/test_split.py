from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import Split

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

COLUMNS = "row_id string, text string, label string"
Row = tuple[str, str, str | None]
Rows = list[Row]


def splits(frame: DataFrame, step: Split) -> dict[str, str]:
    found = {row.row_id: row.split for row in step.apply(frame).select("row_id", "split").collect()}
    assert len(found) == frame.count()
    return found


def labelled(sizes: dict[str, int]) -> Rows:
    pairs = [(label, number) for label, size in sizes.items() for number in range(size)]
    return [(f"r{at}", f"text {number} of {label}", label) for at, (label, number) in enumerate(pairs)]


def assert_shares_hold(rows: Sequence[Row], found: dict[str, str], step: Split) -> None:
    by_label: dict[str | None, Counter[str]] = defaultdict(Counter)
    for row_id, _, label in rows:
        by_label[label][found[row_id]] += 1
    wanted = {"test": step.test, "validation": step.validation, "train": 1 - step.test - step.validation}
    for label, counts in by_label.items():
        total = counts.total()
        assert counts["train"] > 0
        for split, share in wanted.items():
            off = abs(counts[split] - share * total)
            assert off <= max(1, total / 100) + 1e-9, (label, split, counts)


def assert_no_text_straddles(rows: Sequence[Row], found: dict[str, str]) -> None:
    by_text = defaultdict(set)
    for row_id, text, _ in rows:
        by_text[" ".join(text.lower().split())].add(found[row_id])
    assert {text: places for text, places in by_text.items() if len(places) > 1} == {}


@pytest.mark.spark
@pytest.mark.parametrize(
    "step",
    [
        Split(),
        Split(validation=0, test=0.2, seed=1),
        Split(validation=0.33, test=0.33),
        Split(validation=0.5, test=0.45),
    ],
    ids=["defaults", "no validation", "thirds", "little training"],
)
def test_shares_hold_for_labels_of_every_size(spark: SparkSession, step: Split) -> None:
    rows = labelled({"one": 1, "two": 2, "three": 3, "seven": 7, "nineteen": 19, "many": 333, "most": 1500})
    found = splits(spark.createDataFrame(rows, COLUMNS), step)
    assert_shares_hold(rows, found, step)


@pytest.mark.spark
def test_the_split_depends_on_seed_and_texts_alone(spark: SparkSession) -> None:
    rows = labelled({"a": 40, "b": 60})
    renamed = {row_id: text for row_id, text, _ in rows}
    shuffled = random.Random(7).sample(rows, len(rows))
    again = [(f"other:{row_id}", text, label) for row_id, text, label in shuffled]
    first = splits(spark.createDataFrame(rows, COLUMNS), Split(seed=3))
    assert splits(spark.createDataFrame(shuffled, COLUMNS).repartition(7), Split(seed=3)) == first
    assert splits(spark.createDataFrame(again, COLUMNS).coalesce(1), Split(seed=3)) == {
        f"other:{row_id}": split for row_id, split in first.items()
    }
    assert splits(spark.createDataFrame(rows, COLUMNS), Split(seed=4)) != first
    assert set(first) == set(renamed)


@pytest.mark.spark
def test_equal_texts_stay_together_and_shares_hold_all_the_same(spark: SparkSession) -> None:
    random_source = random.Random(11)
    rows: Rows = []
    for label, size in {"a": 120, "b": 1000, "c": 400}.items():
        for number in range(size):
            copies = random_source.choice([1, 1, 1, 1, 2, 3, 9])
            for copy in range(copies):
                spelt = f"Text {number}  {label}" if copy % 2 else f" text {number} {label}"
                rows.append((f"r{len(rows)}", spelt, label))
    found = splits(spark.createDataFrame(rows, COLUMNS), Split())
    assert_no_text_straddles(rows, found)
    assert_shares_hold(rows, found, Split())


@pytest.mark.spark
def test_shares_are_met_to_the_nearest_row(spark: SparkSession) -> None:
    found = splits(spark.createDataFrame(labelled({"a": 19}), COLUMNS), Split())
    assert Counter(found.values()) == {"test": 4, "validation": 2, "train": 13}


@pytest.mark.spark
def test_texts_under_several_labels_stay_together_and_leave_the_shares_alone(spark: SparkSession) -> None:
    rows = labelled({"a": 210, "b": 100})
    rows += [(f"x{number}", f"TEXT {number} of a", "b") for number in range(140)]
    found = splits(spark.createDataFrame(rows, COLUMNS), Split())
    assert_no_text_straddles(rows, found)
    assert_shares_hold(rows, found, Split())


@pytest.mark.spark
def test_where_every_text_has_several_labels_every_split_still_gets_some(spark: SparkSession) -> None:
    random_source = random.Random(5)
    chosen = [random_source.sample("abcd", random_source.choice([2, 3])) for _ in range(400)]
    pairs = [(f"text {number}", label) for number, labels in enumerate(chosen) for label in labels]
    rows: Rows = [(f"r{at}", text, label) for at, (text, label) in enumerate(pairs)]
    found = splits(spark.createDataFrame(rows, COLUMNS), Split())
    assert_no_text_straddles(rows, found)
    shares = {split: count / len(rows) for split, count in Counter(found.values()).items()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.06)


@pytest.mark.spark
def test_where_every_text_occurs_twice_every_split_still_gets_some(spark: SparkSession) -> None:
    rows: Rows = [(f"r{at}", f"text {at // 2}", "a") for at in range(100)]
    found = splits(spark.createDataFrame(rows, COLUMNS), Split())
    assert_no_text_straddles(rows, found)
    assert Counter(found.values()) == {"train": 70, "validation": 10, "test": 20}


@pytest.mark.spark
def test_a_label_with_one_text_alone_is_for_training(spark: SparkSession) -> None:
    rows: Rows = [(f"r{at}", "the same", "a") for at in range(10)]
    found = splits(spark.createDataFrame(rows, COLUMNS), Split(validation=0.4, test=0.5))
    assert set(found.values()) == {"train"}


@pytest.mark.spark
def test_rows_without_labels_are_one_group(spark: SparkSession) -> None:
    rows: Rows = [(row_id, text, None) for row_id, text, _ in labelled({"a": 50, "b": 50})]
    with_nulls = splits(spark.createDataFrame(rows, COLUMNS), Split())
    assert Counter(with_nulls.values()) == {"train": 70, "validation": 10, "test": 20}
    assert splits(spark.createDataFrame(rows, COLUMNS).drop("label"), Split()) == with_nulls
    assert splits(spark.createDataFrame([], COLUMNS), Split()) == {}


@pytest.mark.spark
def test_lists_of_labels_are_divided_by_the_set_of_labels(spark: SparkSession) -> None:
    rows = [(f"r{at}", f"text {at}", ["x", "y"] if at % 2 else ["y", "x"]) for at in range(100)]
    frame = spark.createDataFrame(rows, "row_id string, text string, label array<string>")
    assert Counter(splits(frame, Split()).values()) == {"train": 70, "validation": 10, "test": 20}


@pytest.mark.spark
def test_rows_that_are_marked_already_do_not_count(spark: SparkSession) -> None:
    marked = [(f"m{at}", f"text {at}", "a", "old") for at in range(100)]
    live = [(f"r{at}", f"text {at}", "a", None) for at in range(0, 200, 2)]
    frame = spark.createDataFrame(marked + live, f"{COLUMNS}, _rejected_rule string")
    out = Split().apply(frame).collect()
    assert Counter(row.split for row in out if row["_rejected_rule"] is None) == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    assert {row.row_id for row in out if row["_rejected_rule"] == "old"} == {row[0] for row in marked}


@pytest.mark.spark
def test_columns_stay_and_only_split_is_added(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("1", "a", "x", 5)], f"{COLUMNS}, `a.b` int")
    out = Split().apply(frame)
    assert out.columns == [*frame.columns, "split"]
    assert out.drop("split").collect() == frame.collect()


@pytest.mark.spark
def test_it_starts_no_job_and_reads_its_input_once(
    spark: SparkSession, jobs_of: Callable[[Callable[[], object]], int]
) -> None:
    frame = spark.createDataFrame([("1", "a", "x")], COLUMNS)
    costly = frame.mapInArrow(lambda batches: batches, frame.schema)
    assert jobs_of(lambda: Split().apply(costly)) == 0
    plan = Split().apply(costly)._jdf.queryExecution().optimizedPlan().toString()
    assert plan.count("MapInArrow") == 1


@pytest.mark.spark
def test_a_column_of_the_users_own_is_gone_by(spark: SparkSession) -> None:
    rows = [("1", "a", "train"), ("2", "b", "dev"), ("3", "c", "test"), ("4", "d", "extra"), ("5", "e", None)]
    frame = spark.createDataFrame(rows, "row_id string, text string, `my.part` string")
    out = Split(column="my.part", values={"dev": "validation"}).apply(frame).collect()
    assert {row.row_id: row.split for row in out} == {
        "1": "train",
        "2": "validation",
        "3": "test",
        "4": None,
        "5": None,
    }
    assert {row.row_id: (row["_rejected_rule"], row["_rejected_value"]) for row in out} == {
        "1": (None, None),
        "2": (None, None),
        "3": (None, None),
        "4": ("unknown_split", "extra"),
        "5": ("unknown_split", None),
    }


@pytest.mark.spark
def test_a_column_may_be_named_split_and_hold_numbers(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("1", "a", 0), ("2", "b", 1)], "row_id string, text string, split int")
    step = Split(column="split", values={"0": "train", "1": "test"})
    assert splits(frame, step) == {"1": "train", "2": "test"}


@pytest.mark.spark
def test_a_column_that_is_absent_or_would_be_overwritten_is_an_error(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("1", "a", "train")], "row_id string, text string, split string")
    with pytest.raises(StepError, match=r"split: the rows have no column 'splitt'; did you mean 'split'\?"):
        Split(column="splitt").apply(frame)
    with pytest.raises(StepError, match="already have a column 'split'; set column: split"):
        Split().apply(frame)


def test_shares_that_leave_nothing_to_train_on_are_an_error() -> None:
    with pytest.raises(ValidationError, match=r"validation 0.3 and test 0.7 leave no rows to train on"):
        Split(validation=0.3, test=0.7)


def test_shares_are_from_zero_to_below_one() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        Split(test=-0.1)
    with pytest.raises(ValidationError, match="less than 1"):
        Split(test=1)


def test_a_column_and_shares_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="the column 'part' says which split a row is in"):
        Split(column="part", test=0.3)
    with pytest.raises(ValidationError, match="no column is named; set column"):
        Split(values={"dev": "validation"})


def test_a_value_means_one_of_the_three_splits() -> None:
    with pytest.raises(ValidationError, match="'train', 'validation' or 'test'"):
        Split(column="part", values={"dev": "valid"})


@pytest.mark.parametrize("step", [Split(), Split(column="part", values={"dev": "validation", "0": "train"})])
def test_what_is_written_with_all_defaults_is_read_again(step: Split) -> None:
    assert Split(**step.model_dump()) == step
    assert Split.model_validate_json(step.model_dump_json()) == step
