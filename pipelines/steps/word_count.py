"""Keeping texts by how many words they have."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.step import Outcome, RowStep

# The characters of scripts that are written without spaces, and so count as a word each.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"

# Katakana spell whole words, which UAX #29 (rule WB13) keeps together. The length mark is of no script.
_KATAKANA = r"\p{Katakana}ーｰ"

_SPACED = rf"[^\s\p{{Z}}{_UNSPACED}{_KATAKANA}]"
_LETTER = rf"[^\s\p{{Z}}\p{{P}}\p{{S}}\p{{C}}\p{{M}}{_UNSPACED}{_KATAKANA}]"

WORD = rf"[{_UNSPACED}]\p{{M}}*|[{_KATAKANA}]+|{_SPACED}*{_LETTER}{_SPACED}*"
"""What counts as one word, as a regular expression in RE2's syntax; see `WordCount`."""


class WordCount(RowStep):
    """Keeps texts of `min` to `max` words; others are rejected as ``too_few_words`` or ``too_many_words``.

    A word is what stands between white space and holds a letter or a digit: ``don't``, ``well-known`` and
    ``3.5`` are one each, a dash by itself is none. Scripts that put no spaces between words are counted by
    character, as Unicode Standard Annex #29 divides them where there is no dictionary: a Chinese character, a
    hiragana, a letter of Thai, Lao, Khmer or Burmese is a word each, and a run of katakana is one.

    Attributes:
        min: the fewest words that a text may have.
        max: the most; None sets no limit.
    """

    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _leaves_something(self) -> WordCount:
        if self.max is not None and self.max < self.min:
            raise ValueError(
                f"max is {self.max} and min is {self.min}, so that no text could pass; give a max of at "
                f"least {self.min}, or leave it out to set no limit"
            )
        return self

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts are neither too short nor too long."""
        words = pc.count_substring_regex(batch.column(TEXT), WORD)
        rules = pc.if_else(pc.less(words, self.min), "too_few_words", pa.scalar(None, pa.string()))
        if self.max is not None:
            rules = pc.if_else(pc.greater(words, self.max), "too_many_words", rules)
        return Outcome.mark(batch, rules, words)
