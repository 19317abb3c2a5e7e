"""Keeping texts by how long they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.quality.sentences import count_sentences
from pipelines.steps.quality.verdicts import Figures, Verdicts
from pipelines.steps.shape.tokens import EncoderName, count_tokens
from pipelines.steps.step import Outcome, RowStep


class Length(RowStep):
    """Keeps texts that are `min` to `max` long; rejects the others as ``too_short`` or ``too_long``, with their length.

    For words there is `WordCount`.

    Attributes:
        unit: what is counted: ``characters`` (code points), ``bytes`` of UTF-8, ``sentences``, or ``tokens``.
        min: the least that a text may have.
        max: the most; None sets no limit.
        tokenizer: whose tokens are counted, named as an encoder is; without special tokens.
    """

    unit: Literal["characters", "bytes", "sentences", "tokens"] = "characters"
    min: int = Field(default=1, ge=0)
    max: int | None = Field(default=None, ge=0)
    tokenizer: EncoderName | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Length:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max is {self.max} and min is {self.min}, so that no text could pass; swap them")
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError("tokens are those of a tokenizer; give tokenizer together with unit: tokens, and not else")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts are neither too short nor too long.

        Raises:
            StepError: the tokenizer cannot be had.
        """
        lengths = self._lengths(batch.column(TEXT).cast(pa.string()))
        verdicts = Verdicts(batch.num_rows)
        verdicts.below("too_short", lengths, self.min)
        verdicts.above("too_long", lengths, self.max)
        return verdicts.outcome(batch)

    def _lengths(self, texts: pa.Array) -> Figures:
        if self.unit == "sentences":
            return np.array([count_sentences(text) if text.strip() else 0 for text in texts.to_pylist()], np.int64)
        if self.unit == "tokens":
            assert self.tokenizer is not None
            return count_tokens(texts, self.tokenizer)
        return np.asarray(pc.utf8_length(texts) if self.unit == "characters" else pc.binary_length(texts), np.int64)
