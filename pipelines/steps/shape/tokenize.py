"""Token ids of texts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pydantic import Field

from connectors.source import TEXT
from pipelines.steps.columns import with_column
from pipelines.steps.shape.tokens import EncoderName, encode
from pipelines.steps.step import Outcome, RowStep


class Tokenize(RowStep):
    """Adds the ids of a text's tokens, as a list of int32.

    Attributes:
        tokenizer: whose tokens, named as an encoder is.
        max_tokens: how many are kept of a text, special ones included; None keeps all.
        special_tokens: put those around them that the encoder wants, as ``[CLS]`` and ``[SEP]``.
        column: where the ids go.
    """

    tokenizer: EncoderName
    max_tokens: int | None = Field(default=None, ge=1)
    special_tokens: bool = True
    column: str = Field(default="token_ids", min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with their ids.

        Raises:
            StepError: the tokenizer cannot be had.
        """
        texts = batch.column(TEXT).cast(pa.string())
        found = encode(texts, self.tokenizer, special_tokens=self.special_tokens, max_tokens=self.max_tokens)
        offsets = np.concatenate(([0], np.cumsum([len(one) for one in found], dtype=np.int64))).astype(np.int32)
        flat = np.fromiter((number for one in found for number in one.ids), np.int32, count=int(offsets[-1]))
        return Outcome.keep(
            with_column(batch, self.column, pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)))
        )
