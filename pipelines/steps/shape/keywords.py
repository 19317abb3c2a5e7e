"""Counting keywords, as features for classic models."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from connectors.files.paths import PathOption
from connectors.source import TEXT
from pipelines.steps.columns import with_column
from pipelines.steps.quality.word_list import word_list
from pipelines.steps.step import Outcome, RowStep


class Keywords(RowStep):
    """Adds how often each word of a list is in ``text``: a vector for a classic model, of words one knows to matter.

    A word stands by itself, and one of a script that is written without spaces, as Chinese, wherever its characters
    are. Case makes no difference. Where one phrase begins with another, the longer is counted. `NgramFeatures` has the
    words that nobody listed.

    Attributes:
        words: the words, or phrases.
        file: a text file with more, a line each; empty lines and lines that begin with ``#`` are none.
        column: where the counts go, a list of int32, as long as there are different words, in their order: those of
            `words`, then those of the file.
    """

    words: tuple[str, ...] = ()
    file: PathOption | None = None
    column: str = Field(default="keyword_counts", min_length=1)

    @model_validator(mode="after")
    def _counts_something(self) -> Keywords:
        if not self.file and not any(word.strip() for word in self.words):
            raise ValueError("there is no word to look for; give words, or a file of them")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with their counts.

        Raises:
            StepError: the file cannot be read, or there is no word in it.
        """
        keywords = word_list(self.name, self.words, self.file)
        width = len(keywords.words)
        counts = np.zeros((batch.num_rows, width), np.int32)
        for row, found in keywords.found(batch.column(TEXT).cast(pa.string())):
            np.add.at(counts[row], found, 1)
        offsets = pa.array(np.arange(batch.num_rows + 1, dtype=np.int32) * width)
        return Outcome.keep(
            with_column(batch, self.column, pa.ListArray.from_arrays(offsets, pa.array(counts.ravel())))
        )
