"""What people are shown of a rejected row."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.accounting import Rejection
from pipelines.excerpts import MAX_CHARACTERS, Excerpts
from pipelines.steps import RedactPii, Step, WordCount
from tests.pipelines.steps.pii.samples import POSITIVES

REJECTION = Rejection("b", "word_count", "too_few_words", "2")


class Unwilling(WordCount):
    def redact(self, texts: pa.StringArray) -> pa.StringArray:
        if "!" in "".join(texts.to_pylist()):
            raise ValueError("no")
        return texts


def shown(text: str | None, *steps: Step, rejection: Rejection = REJECTION) -> str:
    texts = pa.array(["another", text, "the same id again"], pa.string())
    batch = pa.record_batch({"row_id": ["a", "b", "b"], "text": texts})
    return Excerpts(steps).example(rejection, batch).text


def test_a_text_is_shown_in_one_line_from_its_beginning() -> None:
    assert shown("  Two\n\n words\t") == "Two words"
    long = shown("word " * 1000)
    assert long.startswith("word word")
    assert len(long) <= MAX_CHARACTERS
    assert long.endswith("word…")


def test_what_is_not_there_is_not_shown() -> None:
    assert shown(None) == ""
    assert shown("some", rejection=Rejection("c", "source", "rule", "")) == ""
    assert Excerpts().example(REJECTION, None).text == ""
    assert Excerpts().example(REJECTION, pa.record_batch({"row_id": ["b"]})).text == ""


@pytest.mark.parametrize("way", ["placeholder", "hash", "none", "reject"])
@pytest.mark.parametrize("kind", POSITIVES)
def test_personal_data_is_not_shown_wherever_it_is(way: str, kind: str) -> None:
    step = RedactPii(replace_with=way)
    for data in POSITIVES[kind]:
        for before in ("", "x " * (MAX_CHARACTERS // 2 - 5)):
            text = shown(f"{before}{data} is what it says", WordCount(min=3), step)
            assert data not in text
            assert not before or text.startswith("x x")
        said = Rejection("b", "python_row", "error", f"ValueError: {data} !", f"for {data} .")
        told, other = Excerpts((step,)).redacted([said, REJECTION])
        assert data not in told.value + told.reason
        assert told.value.startswith("ValueError: ")
        assert other == REJECTION


def test_what_cannot_be_redacted_is_not_shown() -> None:
    unwilling = Unwilling(min=3)
    assert shown("some words!", unwilling) == ""
    assert shown("some words", unwilling) == "some words"
    values = [Rejection(str(row), "step", "rule", value) for row, value in enumerate(["a", "b!", "c"])]
    assert [one.value for one in Excerpts((unwilling,)).redacted(values)] == ["a", "", "c"]
