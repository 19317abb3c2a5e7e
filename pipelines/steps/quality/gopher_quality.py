"""The quality rules of Gopher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.quality.words import Language, split_words
from pipelines.steps.step import Outcome, RowStep

_STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")

# Those of FineWeb-2 for Mandarin (huggingface/fineweb-2, configs/cmn_Hani.yml).
_CHINESE = {
    "min_mean_word_length": 1,
    "max_mean_word_length": 5,
    "min_alphabetic_words": 0.735,
    "stop_words": tuple("的年在月是和日了於·為有被人中为他與後也而由"),
}


class GopherQuality(RowStep):
    """Rejects texts that break the quality rules of Gopher (Rae et al. 2021, arXiv:2112.11446, section A.1.1).

    Punctuation marks are words, as in datatrove, except where words are counted and their lengths averaged. The rules
    hold in the order of the options, and a text is rejected under the first that it breaks: ``too_few_words``,
    ``too_many_words``, ``words_too_short``, ``words_too_long``, ``too_many_hashes``, ``too_many_ellipses``,
    ``too_many_bullets``, ``too_many_lines_end_in_an_ellipsis``, ``too_few_alphabetic_words``, ``too_few_stop_words``.

    Attributes:
        language: what the texts are written in. It decides how words are told apart, and, for ``zh``, sets the defaults
            of the mean word length, of alphabetic words and of stop words to those of FineWeb-2 (Penedo et al. 2025).
        min_words: fewest words, punctuation marks left out; None sets no limit, here and below.
        max_words: most words.
        min_mean_word_length: in characters.
        max_mean_word_length: in characters.
        max_symbols_per_word: most ``#``, and most ellipses, per word.
        max_bullet_lines: greatest share of lines that begin with ``•`` or ``-``.
        max_ellipsis_lines: greatest share of lines that end with an ellipsis.
        min_alphabetic_words: smallest share of words with a letter in them, punctuation marks counted as words.
        min_stop_words: fewest different ones of `stop_words` that must occur.
        stop_words: words, as they are written.
    """

    language: Language = "en"
    min_words: int | None = Field(default=50, ge=0)
    max_words: int | None = Field(default=100_000, ge=0)
    min_mean_word_length: float | None = Field(default=3, ge=0)
    max_mean_word_length: float | None = Field(default=10, ge=0)
    max_symbols_per_word: float | None = Field(default=0.1, ge=0)
    max_bullet_lines: float | None = Field(default=0.9, ge=0, le=1)
    max_ellipsis_lines: float | None = Field(default=0.3, ge=0, le=1)
    min_alphabetic_words: float | None = Field(default=0.8, ge=0, le=1)
    min_stop_words: int | None = Field(default=2, ge=0)
    stop_words: tuple[str, ...] = _STOP_WORDS

    @model_validator(mode="before")
    @classmethod
    def _of_language(cls, options: Any) -> Any:
        if isinstance(options, Mapping) and options.get("language") == "zh":
            return {**_CHINESE, **options}
        return options

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts break no rule."""
        texts = batch.column(TEXT).cast(pa.string())
        words = split_words(texts, self.language)
        found = Verdicts(batch.num_rows)
        proper = words.matching(r"[\p{L}\p{N}]")
        count = words.total(proper)
        found.below("too_few_words", count, self.min_words)
        found.above("too_many_words", count, self.max_words)
        length = words.total(proper * words.lengths) / np.maximum(count, 1)
        found.below("words_too_short", length, self.min_mean_word_length)
        found.above("words_too_long", length, self.max_mean_word_length)
        everything = np.maximum(words.per_text, 1)
        ellipses = _occurrences(texts, "...") + _occurrences(texts, "…")
        found.above("too_many_hashes", _occurrences(texts, "#") / everything, self.max_symbols_per_word)
        found.above("too_many_ellipses", ellipses / everything, self.max_symbols_per_word)
        found.above("too_many_bullets", _share_of_lines(texts, "[•-]", _is_bullet), self.max_bullet_lines)
        trailing = _share_of_lines(texts, r"\.\.\.|…", _trails_off)
        found.above("too_many_lines_end_in_an_ellipsis", trailing, self.max_ellipsis_lines)
        alphabetic = words.total(words.matching(r"\p{L}")) / everything
        found.below("too_few_alphabetic_words", alphabetic, self.min_alphabetic_words)
        found.below("too_few_stop_words", words.different(self.stop_words), self.min_stop_words)
        return found.outcome(batch)


def _occurrences(texts: pa.Array, sign: str) -> NDArray[np.int64]:
    return np.asarray(pc.count_substring(texts, sign), np.int64)


def _share_of_lines(texts: pa.Array, sign: str, counts: Callable[[str], bool]) -> NDArray[np.float64]:
    """Return what share of each text's lines counts; no line does of a text in which the sign does not occur."""
    shares = np.zeros(len(texts))
    for row in np.flatnonzero(pc.match_substring_regex(texts, sign)):
        lines = texts[row].as_py().splitlines()
        shares[row] = sum(map(counts, lines)) / len(lines)
    return shares


def _is_bullet(line: str) -> bool:
    return line.lstrip().startswith(("•", "-"))


def _trails_off(line: str) -> bool:
    return line.rstrip().endswith(("...", "…"))
