from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.steps.quality.words import Words, split_words


def in_full(words: Words) -> list[list[str]]:
    every = words.vocabulary.take(pa.array(words.codes)).to_pylist()
    return [every[begin:end] for begin, end in zip(words.offsets, words.offsets[1:], strict=False)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("Don't stop, we've 3.5m houses.", ["Do", "n't", "stop", ",", "we", "'ve", "3.5", "m", "houses", "."]),
        ("well-known O'Neill's", ["well", "-", "known", "O'Neill", "'s"]),
        ("the U.S. and Mr. Li, e.g. 1,000 men", ["the", "U.S.", "and", "Mr.", "Li", ",", "e.g.", "1,000", "men"]),
        ("wait... what?!", ["wait", "...", "what", "?", "!"]),
        ("see www.example.org/a-b, or a@b.org.", ["see", "www.example.org/a-b", ",", "or", "a@b.org", "."]),
        ("café naïve", ["café", "naïve"]),
    ],
)
def test_english(text: str, words: list[str]) -> None:
    assert in_full(split_words(pa.array([text]), "en")) == [words]


def test_chinese() -> None:
    pytest.importorskip("rjieba")
    words = split_words(pa.array(["我来到北京清华大学。", "他来到了 网易杭研大厦"]), "zh")
    first, second = in_full(words)
    assert first == ["我", "来到", "北京", "清华大学", "。"]
    assert second[-1] == "大厦"


def test_figures_of_texts_are_those_of_their_words() -> None:
    words = split_words(pa.array(["a bb a", "", "ccc , a"]), "en")
    assert words.vocabulary.to_pylist() == ["a", "bb", "ccc", ","]
    assert words.per_text.tolist() == [3, 0, 3]
    assert words.total(words.lengths).tolist() == [4, 0, 5]
    assert words.total(words.matching("[a-z]")).tolist() == [3, 0, 2]
    assert words.different(["a", "ccc", "x"]).tolist() == [1, 0, 2]
    assert words.different([]).tolist() == [0, 0, 0]


def test_texts_are_divided_alike_again_and_in_slices() -> None:
    texts = pa.array(["don't  stop", "\u00a0Mr. Li's\n", "", "don't stop Mr. Li's"])
    once, again = in_full(split_words(texts, "en")), in_full(split_words(texts.slice(1), "en"))
    assert once == [["do", "n't", "stop"], ["Mr.", "Li", "'s"], [], ["do", "n't", "stop", "Mr.", "Li", "'s"]]
    assert again == once[1:]


def test_of_no_texts_there_are_no_figures() -> None:
    words = split_words(pa.array([], pa.string()), "en")
    assert words.per_text.tolist() == words.total(words.lengths).tolist() == words.different(["a"]).tolist() == []
