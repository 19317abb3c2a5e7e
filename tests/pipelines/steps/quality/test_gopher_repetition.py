from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.steps.quality.gopher_repetition import GopherRepetition
from pipelines.steps.quality.ngrams import in_commonest_ngram, in_repeated_ngrams, most_in_repeated_ngrams
from pipelines.steps.quality.words import split_words
from tests.pipelines.steps.quality.judging import judged

PROSE = (
    "the quick brown fox jumps over a lazy dog while seven wizards make toxic brew for an evil queen and her jack who "
    "waits in that cold hall of stone until moon and owls begin their song above roofs so dark with autumn rain"
)


def test_prose_is_kept() -> None:
    assert judged(GopherRepetition(), PROSE) == [None]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("one line\n\nof text\n\none line\n\nof text\n\nand " + PROSE, "duplicate_paragraphs"),
        (f"{PROSE}\n\n{PROSE}\n\na\n\nb\n\nc", "duplicate_paragraph_characters"),
        ("one\ntwo\none\ntwo\n" + PROSE, "duplicate_lines"),
        (f"{PROSE}\n{PROSE}\na\nb\nc", "duplicate_line_characters"),
        ("spam eggs " * 8 + PROSE, "top_2_gram"),
        ("two words more " * 4 + PROSE, "top_3_gram"),
        ("but four words here " * 3 + PROSE, "top_4_gram"),
        (" ".join(PROSE.split()[:16]) + " " + PROSE, "duplicate_5_grams"),
    ],
)
def test_each_rule(text: str, rule: str) -> None:
    assert judged(GopherRepetition(), text) == [rule]


def test_a_limit_of_none_is_none() -> None:
    lenient = GopherRepetition(max_duplicate_lines=None, max_top_ngrams=(), max_duplicate_ngrams=())
    assert judged(lenient, "one\ntwo\none\ntwo\n" + PROSE, "spam eggs " * 40) == [None, None]


def test_chinese_has_the_thresholds_of_fineweb_2_but_for_those_that_are_given() -> None:
    assert GopherRepetition(language="zh").max_duplicate_lines == 0.287
    assert GopherRepetition(language="zh", max_duplicate_lines=0.5).max_duplicate_lines == 0.5


@pytest.mark.parametrize("shares", [[(0, 0.1)], [(2, 1.5)]])
def test_an_impossible_share_is_refused(shares: list[tuple[int, float]]) -> None:
    with pytest.raises(ValidationError, match="give n >= 1 and a share of 0 to 1"):
        GopherRepetition(max_top_ngrams=shares)


words_of_few = st.lists(st.sampled_from(["a", "bb", "ccc", "dd", "e", "f", "g", "h"]), max_size=60)


@given(st.lists(words_of_few, max_size=4))
def test_figures_are_those_of_counting_one_by_one(texts: list[list[str]]) -> None:
    words = split_words(pa.array([" ".join(text) for text in texts], pa.string()), "en")
    for n in (2, 3, 1, 5, 6):
        figures = (in_commonest_ngram(words, n), in_repeated_ngrams(words, n), most_in_repeated_ngrams(words, n))
        for text, top, repeated, bound in zip(texts, *figures, strict=True):
            grams = Counter(" ".join(text[at : at + n]) for at in range(len(text) - n + 1))
            assert top == sum(times * len(gram) for gram, times in grams.most_common(1))
            assert repeated == going_on_behind(text, n) <= bound
            covered: set[int] = set()
            seen: set[tuple[str, ...]] = set()
            for at in range(len(text) - n + 1):
                if (gram := tuple(text[at : at + n])) in seen:
                    covered |= set(range(at, at + n))
                seen.add(gram)
            assert bound == sum(len(text[at]) for at in covered)


def going_on_behind(text: list[str], n: int) -> int:
    """What datatrove's filter counts, in its own loop."""
    seen: set[tuple[str, ...]] = set()
    characters = at = 0
    while at <= len(text) - n:
        if (gram := tuple(text[at : at + n])) in seen:
            characters += sum(map(len, gram))
            at += n
        else:
            seen.add(gram)
            at += 1
    return characters


@given(st.lists(words_of_few, min_size=1, max_size=4))
def test_a_text_is_judged_by_itself(texts: list[list[str]]) -> None:
    joined = [" ".join(text) for text in texts]
    assert judged(GopherRepetition(), *joined) == [judged(GopherRepetition(), text)[0] for text in joined]
