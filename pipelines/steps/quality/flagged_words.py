"""Rejecting texts by words that must not be in them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from connectors.files.paths import PathOption
from connectors.source import TEXT
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.quality.word_list import word_list
from pipelines.steps.step import Outcome, RowStep
from pipelines.steps.word_count import count_words


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
        flagged = word_list(self.name, self.words, self.file)
        texts = batch.column(TEXT).cast(pa.string())
        verdicts = Verdicts(batch.num_rows)
        suspects = dict(flagged.found(texts))
        if not suspects:
            return verdicts.outcome(batch)
        sizes = np.asarray(count_words(texts.take(pa.array(list(suspects)))))
        for (row, found), size in zip(suspects.items(), sizes, strict=True):
            if len(found) > self.max_share * max(int(size), 1):
                verdicts.add_one(RULE, row, f"{flagged.words[found[0]]} ({len(found)})")
        return verdicts.outcome(batch)


RULE = "flagged_words"
