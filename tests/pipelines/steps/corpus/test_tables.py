"""Steps that need rows together: lines in common, labels, groups, times, other tables."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import (
    Balance,
    DeduplicateLines,
    DeduplicateNear,
    GroupSplit,
    JoinTable,
    Shuffle,
    StripBoilerplate,
    TableStep,
    TimeSplit,
)
from tests.pipelines.steps.minhash.near_copies import near_copy, prose

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

pytestmark = pytest.mark.spark

RULE, VALUE = "_rejected_rule", "_rejected_value"


def stepped(spark: SparkSession, step: TableStep, rows: list[tuple[Any, ...]], columns: str) -> dict[str, Row]:
    frame = spark.createDataFrame(rows, columns).repartition(3)
    found = step.apply(frame).collect()
    by_id = {row["row_id"]: row for row in found}
    assert len(by_id) == len(found) == len(rows)
    return by_id


LINE, OTHER = "This line is in many of the texts.", "And this one is in others, too."


def test_a_line_stays_where_it_is_first(spark: SparkSession) -> None:
    rows = [
        ("1", f"own one\n{LINE}\n\n{OTHER}", None),
        ("2", f"  {LINE.upper()} \nown two\nshort\nshort", None),
        ("3", f"{LINE}\n\n{OTHER}", None),
        ("4", f"{LINE}\nof a row that is rejected already", "x"),
        ("0", f"{LINE}\nand marked", "x"),
        ("5", "", None),
    ]
    found = stepped(spark, DeduplicateLines(), rows, f"row_id string, text string, {RULE} string")
    assert [found[name]["text"] for name in "1234"] == [rows[0][1], "own two\nshort\nshort", "", rows[3][1]]
    assert {name: (row[RULE], row[VALUE]) for name, row in found.items() if row[RULE] == "duplicate_lines"} == {
        "3": ("duplicate_lines", rows[2][1])
    }
    assert found["5"][RULE] is None
    twice = stepped(spark, DeduplicateLines(most=2), rows, f"row_id string, text string, {RULE} string")
    assert [twice[name]["text"] for name in "23"] == [rows[1][1], f"\n{OTHER}"]


def test_a_line_that_is_in_one_text_twice_goes_the_second_time(spark: SparkSession) -> None:
    found = stepped(spark, DeduplicateLines(), [("1", f"{LINE}\na\n{LINE}")], "row_id string, text string")
    assert found["1"]["text"] == f"{LINE}\na"


def test_headers_and_footers_of_a_source_go(spark: SparkSession) -> None:
    head, foot = "The Daily Mill\nHome | News", "Subscribe now!\n(c) 2026"
    rows = [(f"a{n}", f"{head}\nStory {n}.\nSubscribe now!\nMore of {n}.\n\n{foot}", "a") for n in range(4)]
    rows += [
        ("a4", f"The Daily Mill\n{foot}", "a"),
        ("a5", "Its own.\nThe Daily Mill\nEnd.", "a"),
        ("b1", f"{head}\nAnother paper.\n{foot}", "b"),
        ("c1", f"{head}\nof no source", None),
    ]
    found = stepped(spark, StripBoilerplate(source_column="site"), rows, "row_id string, text string, site string")
    assert [found[f"a{n}"]["text"] for n in range(4)] == [
        f"Story {n}.\nSubscribe now!\nMore of {n}.\n" for n in range(4)
    ]
    assert (found["a4"][RULE], found["a4"][VALUE]) == ("only_boilerplate", f"The Daily Mill\n{foot}")
    for name in ("a5", "b1", "c1"):
        assert (found[name]["text"], found[name][RULE]) == ({row[0]: row[1] for row in rows}[name], None)
    with pytest.raises(StepError, match="did you mean 'site'"):
        stepped(spark, StripBoilerplate(source_column="sit"), rows, "row_id string, text string, site string")


def test_labels_are_balanced(spark: SparkSession) -> None:
    rows = [(f"{label}{n}", "t", label) for label, size in (("a", 30), ("b", 7), ("c", 12)) for n in range(size)]
    rows += [("none", "t", None)]
    columns = "row_id string, text string, label string"
    found = stepped(spark, Balance(), rows, columns)
    kept = {name for name, row in found.items() if row[RULE] is None}
    assert Counter(found[name]["label"] for name in kept) == {"a": 7, "b": 7, "c": 7, None: 1}
    assert {row[VALUE] for row in found.values() if row[RULE] == "over_represented"} == {"a", "c"}
    assert kept == {name for name, row in stepped(spark, Balance(), rows[::-1], columns).items() if row[RULE] is None}
    most = stepped(spark, Balance(most=10, seed=3), rows, columns)
    assert Counter(row["label"] for row in most.values() if row[RULE] is None) == {"a": 10, "b": 7, "c": 10, None: 1}


def test_rows_that_are_rejected_already_do_not_count_for_the_balance(spark: SparkSession) -> None:
    rows = [(f"a{n}", "a", "x" if n < 4 else None) for n in range(6)] + [(f"b{n}", "b", None) for n in range(5)]
    found = stepped(spark, Balance(), [(i, "t", label, rule) for i, label, rule in rows],
                    f"row_id string, text string, label string, {RULE} string")  # fmt: skip
    assert Counter((row["label"], row[RULE]) for row in found.values()) == {
        ("a", "x"): 4, ("a", None): 2, ("b", None): 2, ("b", "over_represented"): 3,
    }  # fmt: skip


def test_rows_are_shuffled_the_same_way_each_time(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(str(n), "t") for n in range(200)], "row_id string, text string")
    one, again, other = (
        [row["row_id"] for row in Shuffle(seed=seed).apply(frame.repartition(parts)).collect()]
        for seed, parts in ((0, 2), (0, 5), (1, 2))
    )
    assert one == again != other
    assert sorted(one) == sorted(str(n) for n in range(200))
    assert sum(abs(int(name) - at) for at, name in enumerate(one)) > 200 * 40


def test_columns_of_a_table_are_added(spark: SparkSession, tmp_path: Path) -> None:
    table = [("1", "x", 5), ("2", "y", 6), ("2", "y", 6), ("3", "p", 1), ("3", "q", 1), (None, "n", 0)]
    spark.createDataFrame(table, "site string, `a.b` string, rank int").write.parquet(str(tmp_path / "t"))
    rows = [("a", "t", 1), ("b", "t", 2), ("c", "t", 3), ("d", "t", 9), ("e", "t", None)]
    columns = "row_id string, text string, site int"
    found = stepped(spark, JoinTable(path=str(tmp_path / "t"), on=("site",)), rows, columns)
    assert {name: (row["a.b"], row["rank"], row[RULE], row[VALUE]) for name, row in found.items() if name != "c"} == {
        "a": ("x", 5, None, None),
        "b": ("y", 6, None, None),
        "d": (None, None, None, None),
        "e": (None, None, None, None),
    }
    assert (found["c"][RULE], found["c"][VALUE]) == ("ambiguous_match", "3")
    strict = JoinTable(path=str(tmp_path / "t"), on=("site",), columns=("rank",), missing="reject")
    found = stepped(spark, strict, rows, columns)
    assert {name: row[RULE] for name, row in found.items()} == {
        "a": None, "b": None, "c": None, "d": "no_match", "e": "no_match",
    }  # fmt: skip
    assert found["a"].asDict().keys() == {"row_id", "text", "site", "rank", RULE, VALUE}


def test_a_table_that_does_not_fit_is_told(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("site,text\n1,x\n")
    rows, columns = [("a", "t", "1")], "row_id string, text string, site string"
    path = str(tmp_path / "t.csv")
    with pytest.raises(StepError, match="a column 'text' already"):
        stepped(spark, JoinTable(path=path, format="csv", on=("site",)), rows, columns)
    with pytest.raises(StepError, match="no column 'rank'"):
        stepped(spark, JoinTable(path=path, format="csv", on=("site",), columns=("rank",)), rows, columns)
    with pytest.raises(StepError, match="cannot be read"):
        stepped(spark, JoinTable(path=str(tmp_path / "none"), on=("site",)), rows, columns)


def test_groups_are_never_apart_and_the_shares_are_met(spark: SparkSession) -> None:
    draw = random.Random(1)
    rows = [(str(n), "t", f"g{draw.randrange(100)}" if n % 10 else None) for n in range(2_000)]
    columns = "row_id string, text string, author string"
    found = stepped(spark, GroupSplit(column="author"), rows, columns)
    parts = defaultdict(set)
    for row in found.values():
        parts[row["author"] or row["row_id"]].add(row["split"])
    assert all(len(part) == 1 for part in parts.values())
    sizes = Counter(row["split"] for row in found.values())
    assert abs(sizes["test"] - 400) <= 30
    assert abs(sizes["validation"] - 200) <= 30
    again = stepped(spark, GroupSplit(column="author"), rows[::-1], columns)
    assert {name: row["split"] for name, row in again.items()} == {name: row["split"] for name, row in found.items()}
    other = stepped(spark, GroupSplit(column="author", seed=1), rows, columns)
    assert {name: row["split"] for name, row in other.items()} != {name: row["split"] for name, row in found.items()}


def test_a_large_group_is_trained_on(spark: SparkSession) -> None:
    rows = [(str(n), "t", "large" if n < 60 else f"g{n}") for n in range(100)]
    for seed in range(3):
        found = stepped(spark, GroupSplit(column="g", seed=seed), rows, "row_id string, text string, g string")
        assert {row["split"] for row in found.values() if row["g"] == "large"} == {"train"}
        assert Counter(row["split"] for row in found.values()) == {"train": 70, "test": 20, "validation": 10}


def test_the_latest_rows_are_tested_on(spark: SparkSession) -> None:
    rows = [(str(n), "t", n // 5) for n in range(100)] + [("none", "t", None)]
    found = stepped(spark, TimeSplit(column="day"), rows, "row_id string, text string, day int")
    assert found["none"][RULE] == "no_time"
    days = defaultdict(set)
    for row in found.values():
        days[row["split"]].add(row["day"])
    assert (days["test"], days["validation"]) == ({16, 17, 18, 19}, {14, 15})
    assert days["train"] == set(range(14))


def test_a_split_that_cannot_be_made_is_told(spark: SparkSession) -> None:
    with pytest.raises(ValidationError, match="leave no rows to train on"):
        GroupSplit(column="a", validation=0.5, test=0.5)
    with pytest.raises(StepError, match="already have a column 'split'"):
        stepped(spark, TimeSplit(column="a"), [("1", "t", 1, "x")], "row_id string, text string, a int, split string")
    with pytest.raises(StepError, match="no column 'b'"):
        stepped(spark, GroupSplit(column="b"), [("1", "t", 1)], "row_id string, text string, a int")


def test_near_copies_of_an_earlier_corpus_are_rejected(spark: SparkSession, tmp_path: Path) -> None:
    draw = random.Random(7)
    old, new = prose(draw, 100), prose(draw, 100)
    (tmp_path / "old.txt").write_text(f"{old}\n{prose(draw, 80)}\n")
    rows = [("1", near_copy(draw, old, 0.95)), ("2", new), ("3", f"{new} and more"), ("4", prose(draw, 90))]
    found = stepped(spark, DeduplicateNear(against=str(tmp_path / "old.txt")), rows, "row_id string, text string")
    assert {name: (row[RULE], row["duplicate_count"]) for name, row in found.items()} == {
        "1": ("near_duplicate", 2), "2": ("near_duplicate", 2), "3": (None, 2), "4": (None, 1),
    }  # fmt: skip
    assert found["1"][VALUE].startswith("earlier:")
    assert found["2"][VALUE] == "3"
    with pytest.raises(StepError, match="deduplicate_near: "):
        stepped(spark, DeduplicateNear(against=str(tmp_path / "none")), rows, "row_id string, text string")
