from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.steps import WordCount
from pipelines.steps.word_count import WORD, count_words


def batch_of(*texts: str) -> pa.RecordBatch:
    ids = pa.array([str(row) for row in range(len(texts))], pa.string())
    return pa.RecordBatch.from_arrays([ids, pa.array(texts, pa.string())], names=["row_id", "text"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("... — !!", 0),
        ("hello world", 2),
        ("Don't stop, well-known  3.5m\nhouses.", 5),
        ("café naïve Straße", 3),
        ("Привет мир", 2),
        ("今天天气好", 5),
        ("今天，天气好！", 5),
        ("我有iPhone 15手机", 6),
        ("コンピューター", 1),
        ("これはペンです", 6),
        ("한국어 문장", 2),
        ("กิน", 2),
    ],
)
def test_what_counts_as_a_word(text: str, words: int) -> None:
    assert pc.count_substring_regex(pa.array([text]), WORD)[0].as_py() == words


def test_bounds_belong_to_what_is_kept() -> None:
    outcome = WordCount(min=2, max=3).apply(batch_of("a", "a b", "a b c", "a b c d"))
    assert outcome.kept.column("row_id").to_pylist() == ["1", "2"]
    assert outcome.rejected.to_pylist() == [
        {"row_id": "0", "rule": "too_few_words", "value": "1"},
        {"row_id": "3", "rule": "too_many_words", "value": "4"},
    ]


def test_without_a_max_no_text_is_too_long() -> None:
    assert WordCount().apply(batch_of("a " * 10_000)).kept.num_rows == 1


def test_a_slice_of_a_batch_is_judged_by_its_own_rows() -> None:
    sliced = batch_of("a", "a b", "", "a b c").slice(1, 2)
    outcome = WordCount(min=1).apply(sliced)
    assert outcome.kept.column("row_id").to_pylist() == ["1"]
    assert outcome.rejected.column("row_id").to_pylist() == ["2"]


def test_no_rows_give_no_rows() -> None:
    assert WordCount(min=1, max=2).apply(batch_of()).kept.num_rows == 0


def test_a_max_below_the_min_is_an_error() -> None:
    with pytest.raises(ValidationError, match="max is 3 and min is 5, so that no text could pass"):
        WordCount(min=5, max=3)


def test_a_negative_bound_is_an_error() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        WordCount(min=-1)


_ASCII = st.text(st.characters(max_codepoint=127), max_size=12) | st.text(" \t\n\x0b\x0c\r\x1c\x00-'.a1Z_", max_size=12)


@given(st.lists(st.none() | _ASCII | st.just("泉 b"), max_size=8), st.integers(0, 3), st.booleans())
def test_ascii_is_counted_as_the_expression_counts_it(texts: list[str | None], skip: int, ascii_only: bool) -> None:
    kept = [text for text in texts if text is None or text.isascii()] if ascii_only else texts
    column = pa.array(kept, pa.string()).slice(skip)
    assert count_words(column).equals(pc.count_substring_regex(column, WORD))
