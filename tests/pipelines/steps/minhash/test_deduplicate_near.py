from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from pipelines.errors import StepError
from pipelines.steps.deduplicate_near import DeduplicateNear
from pipelines.steps.minhash.near_pairs import near_pairs
from pipelines.steps.minhash.signatures import Bands
from tests.benchmarks.memory import watched
from tests.pipelines.steps.minhash.near_copies import near_copy, prose
from tests.pipelines.steps.minhash.test_signatures import similarity

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

pytestmark = pytest.mark.spark


def deduplicated(spark: SparkSession, step: DeduplicateNear, *rows: tuple[str, str]) -> dict[str, Row]:
    frame = spark.createDataFrame(list(rows), "row_id string, text string")
    return {row["row_id"]: row for row in step.apply(frame).collect()}


def test_pairs_are_found_and_no_others(spark: SparkSession) -> None:
    """Recall and precision over planted pairs of Jaccard 0.5 to 0.95, scored on pairs."""
    draw = random.Random(2)
    texts = {f"a{number}": prose(draw, 300) for number in range(400)}
    texts |= {name.replace("a", "b"): near_copy(draw, text, draw.uniform(0.5, 0.95)) for name, text in texts.items()}
    alike = {number: similarity(texts[f"a{number}"], texts[f"b{number}"]) for number in range(400)}
    frame = spark.createDataFrame(list(texts.items()), "row_id string, text string")
    found = {(row["one"], row["other"]) for row in near_pairs(frame, Bands(14, 8, 1), 5, 0.85).collect()}
    wanted = {(f"a{number}", f"b{number}") for number, s in alike.items() if s >= 0.85}
    assert len(wanted) > 50
    assert len(found & wanted) / len(wanted) >= 0.97
    assert found <= wanted


def test_the_longest_of_a_cluster_is_kept_and_the_others_say_which(spark: SparkSession) -> None:
    draw = random.Random(3)
    text = prose(draw, 100)
    rows = deduplicated(
        spark, DeduplicateNear(), ("1", text), ("2", text + " more"), ("3", prose(draw, 100)), ("4", "")
    )
    assert {name: row["_rejected_rule"] for name, row in rows.items()} == {
        "1": "near_duplicate",
        "2": None,
        "3": None,
        "4": None,
    }
    assert rows["1"]["_rejected_value"] == "2"
    assert [(rows[name]["duplicate_cluster"], rows[name]["duplicate_count"]) for name in "1234"] == [
        ("1", 2),
        ("1", 2),
        ("3", 1),
        ("4", 1),
    ]


def test_the_first_or_the_best_is_kept_if_one_says_so(spark: SparkSession) -> None:
    text = prose(random.Random(4), 100)
    frame = spark.createDataFrame(
        [("1", text, 0.5), ("2", text + " more", None), ("3", text, 0.9)], "row_id string, text string, score double"
    )

    def kept(step: DeduplicateNear) -> list[str]:
        return [row["row_id"] for row in step.apply(frame).where("_rejected_rule is null").collect()]

    assert kept(DeduplicateNear(keep="first")) == ["1"]
    assert kept(DeduplicateNear(best="score")) == ["3"]
    with pytest.raises(StepError, match="no column 'scor'; did you mean 'score'"):
        kept(DeduplicateNear(best="scor"))


def test_what_is_like_what_is_like_it_is_in_one_cluster(spark: SparkSession) -> None:
    draw = random.Random(5)
    chain = [prose(draw, 200)]
    for _ in range(6):
        words = chain[-1].split()
        chain.append(" ".join([*words[8:], *prose(draw, 8).split()]))
    rows = deduplicated(spark, DeduplicateNear(keep="first"), *((str(at), text) for at, text in enumerate(chain)))
    members = defaultdict(set)
    for row in rows.values():
        members[row["duplicate_cluster"]].add(row["row_id"])
    assert dict(members) == {"0": set("0123456")}


def test_rows_that_are_rejected_already_stay_so_and_count_for_nothing(spark: SparkSession) -> None:
    text = prose(random.Random(6), 50)
    frame = spark.createDataFrame(
        [("1", text, "too_long", "9"), ("2", text, None, None)],
        "row_id string, text string, _rejected_rule string, _rejected_value string",
    )
    rows = {row["row_id"]: row for row in DeduplicateNear().apply(frame).collect()}
    assert (rows["1"]["_rejected_rule"], rows["1"]["_rejected_value"]) == ("too_long", "9")
    assert rows["2"]["_rejected_rule"] is None


@pytest.mark.soak
def test_twenty_thousand_near_copies_end_in_one_cluster(spark: SparkSession) -> None:
    draw = random.Random(8)
    words = prose(draw, 400).split()
    rows = []
    for number in range(20_000):
        # Three words of four hundred are others: the Jaccard similarity of any two is about 0.86.
        changed = list(words)
        for place in draw.sample(range(len(words)), 3):
            changed[place] = f"w{draw.randrange(10**6)}"
        rows.append((f"{number:05d}", " ".join(changed)))
    frame = spark.createDataFrame(rows, "row_id string, text string").repartition(8)
    marked = DeduplicateNear(keep="first").apply(frame)
    with watched() as memory:
        found = marked.groupBy("duplicate_cluster", "_rejected_rule").count().collect()
    counts = {(row["duplicate_cluster"], row["_rejected_rule"]): row["count"] for row in found}
    assert counts == {("00000", None): 1, ("00000", "near_duplicate"): 19_999}
    # Of that, 1 GiB is the executor's heap. The texts are 45 MB; all pairs of them would be 1 TB.
    assert memory.whole_above < 2.5e9, memory.above
