"""The repetition rules of Gopher."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.quality.ngrams import in_commonest_ngram, in_repeated_ngrams, most_in_repeated_ngrams
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.quality.words import Language, Words, split_words
from pipelines.steps.step import Outcome, RowStep

_PARAGRAPHS = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n+")

# Those of FineWeb-2 for Mandarin (huggingface/fineweb-2, configs/cmn_Hani.yml).
_CHINESE = {
    "max_duplicate_lines": 0.287,
    "max_top_ngrams": ((2, 0.256), (3, 0.201), (4, 0.171)),
    "max_duplicate_ngrams": ((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127)),
}

Shares = tuple[tuple[int, float], ...]
"""Pairs of a number of words and the greatest share of a text's characters."""


class GopherRepetition(RowStep):
    """Rejects texts that repeat themselves, by the rules of Gopher (Rae et al. 2021, arXiv:2112.11446, table A1).

    The rules hold in the order of the options, and a text is rejected under the first that it breaks:
    ``duplicate_paragraphs``, ``duplicate_paragraph_characters``, ``duplicate_lines``, ``duplicate_line_characters``,
    ``top_N_gram``, ``duplicate_N_grams``. All are shares of the text; those of n-grams are of its characters.

    Attributes:
        language: what the texts are written in. It decides how words are told apart, and, for ``zh``, sets the defaults
            of lines and of n-grams to those of FineWeb-2 (Penedo et al. 2025).
        max_duplicate_paragraphs: share of paragraphs, which empty lines divide, that have occurred before; None sets no
            limit, here and below.
        max_duplicate_paragraph_characters: share of characters that are in such paragraphs.
        max_duplicate_lines: share of lines that have occurred before.
        max_duplicate_line_characters: share of characters that are in such lines.
        max_top_ngrams: for each n, the share of characters that are in the most frequent n-gram.
        max_duplicate_ngrams: for each n, the share of characters that are in n-grams which have occurred before; an
            n-gram that overlaps one that is counted is not counted.
    """

    language: Language = "en"
    max_duplicate_paragraphs: float | None = Field(default=0.3, ge=0, le=1)
    max_duplicate_paragraph_characters: float | None = Field(default=0.2, ge=0, le=1)
    max_duplicate_lines: float | None = Field(default=0.3, ge=0, le=1)
    max_duplicate_line_characters: float | None = Field(default=0.2, ge=0, le=1)
    max_top_ngrams: Shares = ((2, 0.2), (3, 0.18), (4, 0.16))
    max_duplicate_ngrams: Shares = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))

    @model_validator(mode="before")
    @classmethod
    def _of_language(cls, options: Any) -> Any:
        if isinstance(options, Mapping) and options.get("language") == "zh":
            return {**_CHINESE, **options}
        return options

    @model_validator(mode="after")
    def _counts_words(self) -> GopherRepetition:
        for n, share in (*self.max_top_ngrams, *self.max_duplicate_ngrams):
            if n < 1 or not 0 <= share <= 1:
                raise ValueError(f"an n-gram of {n} words and a share of {share}; give n >= 1 and a share of 0 to 1")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts break no rule."""
        texts = batch.column(TEXT).cast(pa.string())
        characters = np.maximum(np.asarray(pc.utf8_length(texts), np.int64), 1)
        found = Verdicts(batch.num_rows)
        whole = texts.to_pylist()
        share, size = _repeated([_PARAGRAPHS.split(text.strip()) for text in whole])
        found.above("duplicate_paragraphs", share, self.max_duplicate_paragraphs)
        found.above("duplicate_paragraph_characters", size / characters, self.max_duplicate_paragraph_characters)
        share, size = _repeated([_LINES.split(text) for text in whole])
        found.above("duplicate_lines", share, self.max_duplicate_lines)
        found.above("duplicate_line_characters", size / characters, self.max_duplicate_line_characters)
        words = split_words(texts, self.language)
        for n, most in self.max_top_ngrams:
            found.above(f"top_{n}_gram", in_commonest_ngram(words, n) / characters, most)
        suspects = self._suspect(words, characters) & found.open
        for n, most in self.max_duplicate_ngrams:
            found.above(f"duplicate_{n}_grams", in_repeated_ngrams(words, n, suspects & found.open) / characters, most)
        return found.outcome(batch)

    def _suspect(self, words: Words, characters: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which texts may have too much in repeated n-grams: a bound that is found without a loop is too much.

        No n-gram comes again of which a shorter one does not, so what is in repeated ones of the shortest kind is no
        less than what is in those of any other.
        """
        if not self.max_duplicate_ngrams:
            return np.zeros(len(characters), bool)
        shortest = min(n for n, _ in self.max_duplicate_ngrams)
        least = min(most for _, most in self.max_duplicate_ngrams)
        return most_in_repeated_ngrams(words, shortest) > least * characters


def _repeated(texts: Sequence[Sequence[str]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return, for each text, the share of its parts that have occurred before, and how many characters they have."""
    shares, characters = np.zeros(len(texts)), np.zeros(len(texts), np.int64)
    for row, parts in enumerate(texts):
        different = set(parts)
        if len(different) < len(parts):
            shares[row] = 1 - len(different) / len(parts)
            characters[row] = sum(map(len, parts)) - sum(map(len, different))
    return shares, characters
