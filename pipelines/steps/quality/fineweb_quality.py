"""The quality rules that FineWeb adds to Gopher's and C4's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.quality.words import Language, split_words
from pipelines.steps.step import Outcome, RowStep

# Those of FineWeb-2 for Mandarin (huggingface/fineweb-2, configs/cmn_Hani.yml).
_CHINESE = {"min_finished_lines": 0.106, "max_line_breaks_per_word": 0.178}

# Signs that end a sentence: Unicode's Sentence_Terminal (UAX #44) among those of the scripts in wide use.
_TERMINALS = tuple(".!?。！？．｡…‼⁇⁈⁉‽؟۔।॥։።፧᙮។៕")


class FineWebQuality(RowStep):
    """Rejects lists, menus and texts of cut lines, by FineWeb's rules (Penedo et al. 2024, arXiv:2406.17557).

    Lines without a character in them are left out. The rules hold in the order of the options, and a text is rejected
    under the first that it breaks: ``empty_text``, ``too_few_finished_lines``, ``too_many_short_lines``,
    ``duplicate_line_characters``, ``too_many_line_breaks``.

    Attributes:
        language: what the texts are written in. It decides how words are told apart, and, for ``zh``, sets the defaults
            of finished lines and line breaks to those of FineWeb-2 (Penedo et al. 2025).
        min_finished_lines: smallest share of lines that end in a sign that ends a sentence; None sets no limit, here
            and below.
        max_short_lines: greatest share of lines of at most `short_line` characters.
        short_line: in characters.
        max_duplicate_line_characters: greatest share of characters that are in lines which have occurred before.
        max_line_breaks_per_word: most line breaks per word; punctuation marks are words.
    """

    language: Language = "en"
    min_finished_lines: float | None = Field(default=0.12, ge=0, le=1)
    max_short_lines: float | None = Field(default=0.67, ge=0, le=1)
    short_line: int = Field(default=30, ge=0)
    max_duplicate_line_characters: float | None = Field(default=0.01, ge=0, le=1)
    max_line_breaks_per_word: float | None = Field(default=0.3, ge=0)

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
        found = Verdicts(batch.num_rows)
        lines = [[line for line in text.split("\n") if line.strip()] for text in texts.to_pylist()]
        number = np.array([len(of_text) for of_text in lines], np.int64)
        found.add("empty_text", number == 0, "")
        number = np.maximum(number, 1)
        finished = np.array([sum(line.endswith(_TERMINALS) for line in of_text) for of_text in lines], np.int64)
        found.below("too_few_finished_lines", finished / number, self.min_finished_lines)
        short = np.array([sum(len(line) <= self.short_line for line in of_text) for of_text in lines], np.int64)
        found.above("too_many_short_lines", short / number, self.max_short_lines)
        breaks = np.asarray(pc.count_substring(texts, "\n"), np.int64)
        characters = np.maximum(np.asarray(pc.utf8_length(texts), np.int64) - breaks, 1)
        again = np.array([_repeated_characters(of_text) for of_text in lines], np.int64)
        found.above("duplicate_line_characters", again / characters, self.max_duplicate_line_characters)
        if self.max_line_breaks_per_word is not None:
            # White space always stands between words, and what it divides is many times faster to count.
            divided = np.asarray(pc.count_substring_regex(texts, r"\S+"), np.int64)
            listed = np.flatnonzero((breaks > self.max_line_breaks_per_word * divided) & found.open)
            words = np.maximum(split_words(texts.take(pa.array(listed)), self.language).per_text, 1)
            for row, per_word in zip(listed, breaks[listed] / words, strict=True):
                if per_word > self.max_line_breaks_per_word:
                    found.add_one("too_many_line_breaks", row, per_word)
        return found.outcome(batch)


def _repeated_characters(lines: list[str]) -> int:
    different = set(lines)
    return sum(map(len, lines)) - sum(map(len, different)) if len(different) < len(lines) else 0
