"""The sentences of texts."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from connectors.source import TEXT
from pipelines.steps.columns import with_column
from pipelines.steps.quality.sentences import split_sentences
from pipelines.steps.step import Outcome, RowStep


class SplitSentences(RowStep):
    """Adds a text's sentences as a list of strings; `Chunk` makes rows of some of them each.

    A sentence of English, or a language written like it, ends in a full stop (not that of an abbreviation, an initial
    or a figure), a question mark or an exclamation mark; one of Chinese or Japanese in theirs, without a space.

    Attributes:
        column: where the sentences go.
    """

    column: str = Field(default="sentences", min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with their sentences."""
        sentences = [split_sentences(text) for text in batch.column(TEXT).to_pylist()]
        return Outcome.keep(with_column(batch, self.column, pa.array(sentences, pa.list_(pa.string()))))
