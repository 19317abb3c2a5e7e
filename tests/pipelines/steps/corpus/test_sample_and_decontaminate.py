"""Choosing rows one by one: by chance, and by what evaluation sets have in them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import StepError
from pipelines.steps import Decontaminate, ModelQuality, Sample
from tests.pipelines.sample_bundle import tiny_bundle
from tests.pipelines.steps.applied import applied, rules_of
from tests.pipelines.steps.minhash.near_copies import prose


def rows(count: int) -> pa.RecordBatch:
    ids = [f"file:{number}" for number in range(count)]
    groups = [f"g{number % 50}" if number % 7 else None for number in range(count)]
    return pa.record_batch({"row_id": ids, "text": ids, "group": groups})


def test_about_the_share_is_kept_and_more_of_the_same_with_a_larger_one() -> None:
    batch = rows(20_000)
    small, large = (set(Sample(share=share).apply(batch).kept["row_id"].to_pylist()) for share in (0.1, 0.3))
    assert 1_800 < len(small) < 2_200
    assert 5_700 < len(large) < 6_300
    assert small < large
    other = set(Sample(share=0.3, seed=1).apply(batch).kept["row_id"].to_pylist())
    assert 0.25 < len(large & other) / len(large) < 0.35
    assert Sample(share=1.0).apply(batch).kept.num_rows == 20_000
    # The same in every process and version: these ids are for ever.
    assert Sample(share=0.3).apply(rows(12)).kept["row_id"].to_pylist() == KEPT


KEPT = ["file:0", "file:8", "file:11"]


def test_groups_are_kept_or_rejected_together() -> None:
    outcome = Sample(share=0.5, by="group").apply(rows(2_000))
    kept, dropped = set(outcome.kept["group"].to_pylist()), set(outcome.rejected["value"].to_pylist())
    assert 10 < len(kept) < 40
    assert not {value or "" for value in kept} & dropped
    assert Sample(share=0.5, by="group").input_columns(frozenset({"text"})) == {"text", "group"}
    with pytest.raises(StepError, match="no column 'grou'; did you mean 'group'"):
        Sample(share=0.5, by="grou").apply(rows(2))


@pytest.fixture
def evaluation(tmp_path: Path) -> dict[str, str]:
    """The same evaluation texts in files of each kind."""
    draw = random.Random(1)
    texts = [prose(draw, 60) for _ in range(20)] + ["too short to be looked for"]
    pq.write_table(pa.table({"question": texts}), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    (tmp_path / "a.txt").write_text("\n".join(texts))
    (tmp_path / "a.csv").write_text("question\n" + "\n".join(texts))
    return {"text": texts[3]} | {name: str(tmp_path / f"a.{name}") for name in ("parquet", "jsonl", "txt", "csv")}


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "txt", "csv"])
def test_texts_that_share_a_run_of_words_are_rejected(evaluation: dict[str, str], kind: str) -> None:
    words = evaluation["text"].split()
    step = Decontaminate(evaluation=evaluation[kind], text_column="question")
    own = prose(random.Random(9), 50)
    texts = [
        own,
        f"{own} {' '.join(words[5:18])} {own}",
        f"{own} {' '.join(words[5:17])} {own}",
        f"{own} {', '.join(words[5:20]).upper()}! {own}",
        "too short to be looked for",
    ]
    outcome = applied(step, texts)
    assert rules_of(outcome) == {"b": ("contaminated", "1"), "d": ("contaminated", "3")}
    assert rules_of(applied(Decontaminate(**{**dict(step), "min_runs": 2}), texts)) == {"d": ("contaminated", "3")}


def test_chinese_is_compared_by_characters(tmp_path: Path) -> None:
    (tmp_path / "zh.txt").write_text("今天天气很好我们一起去公园散步吧")
    step = Decontaminate(evaluation=str(tmp_path / "zh.txt"))
    texts = ["他说：今天天气很好，我们一起去公园散步吧！", "今天天气很好我们一起去"]
    assert set(rules_of(applied(step, texts))) == {"a"}


def test_what_cannot_be_compared_with_is_told(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"decontaminate: .*none"):
        applied(Decontaminate(evaluation=str(tmp_path / "none.txt")), ["a", "b"])
    (tmp_path / "a.docx").write_text("x")
    with pytest.raises(StepError, match=r"a\.docx is no file of texts by its name"):
        applied(Decontaminate(evaluation=str(tmp_path / "a.docx")), ["a", "b"])
    (tmp_path / "a.jsonl").write_text('{"other": "x"}\n')
    with pytest.raises(StepError, match="'text'"):
        applied(Decontaminate(evaluation=str(tmp_path / "a.jsonl")), ["a", "b"])


def test_a_model_judges_texts(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "encoder")
    bundle.save(tmp_path / "bundle")
    texts = ["a goal by the team", "profit", "the bank's shares fell"]
    found = bundle.predict(texts)
    scores = [one.probabilities.get("sport") for one in found]
    step = ModelQuality(bundle=str(tmp_path / "bundle"), label="sport", min=0.0)
    outcome = applied(step, texts)
    assert outcome.kept["quality"].to_pylist() == pytest.approx([scores[0], scores[2]])
    assert rules_of(outcome) == {"b": ("not_judged", "word_count: too_few_words")}
    strict = applied(ModelQuality(bundle=str(tmp_path / "bundle"), label="sport", min=1.0), texts)
    assert {rule for rule, _ in rules_of(strict).values()} == {"not_judged", "low_quality"}
    with pytest.raises(StepError, match="no label 'sports'; it knows: money, sport"):
        applied(ModelQuality(bundle=str(tmp_path / "bundle"), label="sports"), texts)
    with pytest.raises(StepError, match="is no bundle"):
        applied(ModelQuality(bundle=str(tmp_path / "encoder"), label="sport"), texts)
