"""Keeping texts by how many words they have."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
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

_SPACE, _OTHER, _LETTER_OR_DIGIT = 0, 1, 2


def _ascii_classes() -> NDArray[np.uint8]:
    classes = np.full(256, _OTHER, np.uint8)
    classes[[ord(character) for character in " \t\n\f\r"]] = _SPACE  # RE2's \s
    classes[[byte for byte in range(128) if chr(byte).isalnum()]] = _LETTER_OR_DIGIT
    return classes


_ASCII_CLASSES = _ascii_classes()

_CHUNK_BYTES = 128 * 1024
"""How much text is counted at once: what is made of it stays in a core's cache, and in memory that is had already."""


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

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts are neither too short nor too long."""
        words = count_words(batch.column(TEXT))
        rules = pc.if_else(pc.less(words, self.min), "too_few_words", pa.scalar(None, pa.string()))
        if self.max is not None:
            rules = pc.if_else(pc.greater(words, self.max), "too_many_words", rules)
        return Outcome.mark(batch, rules, words)


def count_words(texts: pa.Array) -> pa.Array:
    """Return how many matches of `WORD` there are in each text, int32; null for a null.

    Texts in ASCII, which a look at their bytes tells, are counted several times faster than by the expression: a word
    is a run of what is no space, and holds a letter or a digit.
    """
    rows = max(1, _CHUNK_BYTES * len(texts) // max(1, texts.nbytes))
    chunks = [_count_chunk(texts.slice(start, rows)) for start in range(0, len(texts), rows)]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.int32())


def _count_chunk(texts: pa.Array) -> pa.Array:
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    bytes_ = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    if bytes_.size and bytes_.max() >= 128:
        return pc.count_substring_regex(texts, WORD)
    classes = _ASCII_CLASSES[bytes_]
    # One more at the end, so that the end of the last text may begin something.
    begins = np.zeros(bytes_.size + 1, bool)
    begins[1:-1] = classes[:-1] == _SPACE
    begins[ends - ends[0]] = True
    begins[:-1] &= classes != _SPACE
    begins[-1] = False
    runs = np.flatnonzero(begins)
    words = np.concatenate(([0], np.cumsum(_counting(classes, runs), dtype=np.int32)))
    places = np.searchsorted(runs, ends - ends[0])
    counts = (words[places[1:]] - words[places[:-1]]).astype(np.int32)
    return pa.array(counts, mask=np.asarray(texts.is_null()) if texts.null_count else None)


def _counting(classes: NDArray[np.uint8], runs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell which runs of what is no space have a letter or a digit, the greatest class, in them: most begin with one.

    Args:
        classes: of the characters.
        runs: where each begins.
    """
    counting: NDArray[np.bool_] = classes[runs] == _LETTER_OR_DIGIT
    others = np.flatnonzero(~counting)
    if others.size:
        ends = np.append(runs[1:], classes.size)[others]
        spans = np.column_stack((runs[others], ends)).ravel()
        counting[others] = np.maximum.reduceat(np.append(classes, np.uint8(0)), spans)[::2] == _LETTER_OR_DIGIT
    return counting
