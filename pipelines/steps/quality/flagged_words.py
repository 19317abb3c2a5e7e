"""Rejecting texts by words that must not be in them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from connectors.files.paths import PathOption, local_path
from connectors.source import TEXT
from pipelines.errors import StepError
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.step import Outcome, RowStep
from pipelines.steps.word_count import count_words

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class FlaggedWords(RowStep):
    """Rejects texts with too many words of a list, under ``flagged_words``, with the first and how many there are.

    A word stands by itself: ``ass`` is not in ``class``. One of a script that is written without spaces, as Chinese, is
    found wherever its characters are. Case makes no difference. C4 leaves out each page that has one word of a list
    (Raffel et al. 2020); other corpora go by their share of the words. No list comes with Headrace: such lists are
    of a language, a country and a purpose.

    Attributes:
        words: the words, or phrases.
        file: a text file with more, a line each; empty lines and lines that begin with ``#`` are none.
        max_share: how many of a text's words may be flagged, from 0 to 1; see `WordCount` for what a word is.
    """

    words: tuple[str, ...] = ()
    file: PathOption | None = None
    max_share: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _flags_something(self) -> FlaggedWords:
        if not self.file and not any(word.strip() for word in self.words):
            raise ValueError("there is no word to look for; give words, or a file of them")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts have few enough of the words.

        Raises:
            StepError: the file cannot be read, or there is no word in it.
        """
        found = _expressions(self.words, self.file)
        texts = batch.column(TEXT).cast(pa.string())
        # RE2, which knows no looking ahead, finds the texts that may have one, in one pass for all words.
        suspects = np.flatnonzero(pc.match_substring_regex(texts, found.screen, ignore_case=True))
        verdicts = Verdicts(batch.num_rows)
        if not len(suspects):
            return verdicts.outcome(batch)
        words = np.asarray(count_words(texts.take(pa.array(suspects))))
        for row, size in zip(suspects, words, strict=True):
            flagged = found.exact.findall(texts[row].as_py())
            if flagged and len(flagged) > self.max_share * max(int(size), 1):
                verdicts.add_one(RULE, row, f"{flagged[0]} ({len(flagged)})")
        return verdicts.outcome(batch)


RULE = "flagged_words"


class _Expressions:
    """What finds the words: quickly, perhaps too often; and exactly."""

    def __init__(self, words: Sequence[str]) -> None:
        # The longest first, so that a phrase goes before the word that it begins with.
        ordered = sorted(set(words), key=lambda word: (-len(word), word))
        self.screen = "|".join(re.escape(word) for word in ordered)
        bounded = (
            re.escape(word) if _UNSPACED.search(word) else rf"(?<!\w){re.escape(word)}(?!\w)" for word in ordered
        )
        self.exact = re.compile("|".join(bounded), re.IGNORECASE)


def _by_itself(word: str) -> str:
    escaped = re.escape(word)
    return escaped if _UNSPACED.search(word) else rf"(?<!\w){escaped}(?!\w)"


@lru_cache(maxsize=8)
def _expressions(words: tuple[str, ...], file: str | None) -> _Expressions:
    return _Expressions([*(word.strip() for word in words if word.strip()), *(_read(file) if file else ())])


def _read(file: str) -> list[str]:
    try:
        lines = Path(local_path(file)).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"flagged_words: the file {file} cannot be read: {error}") from None
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise StepError(f"flagged_words: there is no word in the file {file}; write one on each line")
    return found
