"""How many tokens texts have."""

from __future__ import annotations

import pyarrow as pa
from pydantic import Field

from connectors.source import TEXT
from pipelines.steps.columns import with_column
from pipelines.steps.shape.tokens import EncoderName, count_tokens
from pipelines.steps.step import Outcome, RowStep


class CountTokens(RowStep):
    """Adds how many tokens a text has, without special ones, as an int64; `Length` keeps texts by it.

    Attributes:
        tokenizer: whose tokens, named as an encoder is.
        column: where the number goes.
    """

    tokenizer: EncoderName
    column: str = Field(default="token_count", min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with their number of tokens.

        Raises:
            StepError: the tokenizer cannot be had.
        """
        counts = count_tokens(batch.column(TEXT).cast(pa.string()), self.tokenizer)
        return Outcome.keep(with_column(batch, self.column, pa.array(counts)))
