"""Dividing texts into parts, a row each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from connectors.source import ROW_ID, TEXT
from pipelines.steps.columns import with_column, with_texts
from pipelines.steps.quality.sentences import split_sentences
from pipelines.steps.shape.tokens import EncoderName, encode
from pipelines.steps.step import Outcome, RowStep

PARENT_ID, CHUNK = "parent_id", "chunk"
"""The columns that say which row a part is of, and the how manieth it is, from 0."""


class Chunk(RowStep):
    """Makes of each row as many as its text has parts of `size` units, of which each has `overlap` of the one before.

    A part has the other columns of its row, ``parent_id``, the row's id, and ``chunk``, its number from 0; its own id
    is ``parent_id#chunk``. Sentences are joined by a space; parts by tokens are cut from the text as it is, so that
    nothing of it is changed. A row without a sentence, or a token, is rejected under ``empty_text``.

    Attributes:
        unit: what is counted: ``sentences`` or ``tokens``.
        size: how many of them a part has; the last may have fewer.
        overlap: how many of a part are the last ones of the part before.
        tokenizer: whose tokens are counted, named as an encoder is; special tokens take none of `size`.
    """

    training_only: ClassVar[bool] = True
    creates_rows: ClassVar[bool] = True

    unit: Literal["sentences", "tokens"] = "sentences"
    size: int = Field(ge=1)
    overlap: int = Field(default=0, ge=0)
    tokenizer: EncoderName | None = None

    @model_validator(mode="after")
    def _goes_on(self) -> Chunk:
        if self.overlap >= self.size:
            raise ValueError(
                f"overlap is {self.overlap} and size is {self.size}, so that no part would go on; make it less"
            )
        if (self.unit == "tokens") != (self.tokenizer is not None):
            raise ValueError("tokens are those of a tokenizer; give tokenizer together with unit: tokens, and not else")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {PARENT_ID, CHUNK}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the parts, in the order of the rows.

        Raises:
            StepError: the tokenizer cannot be had.
        """
        parts = self._parts(batch.column(TEXT).cast(pa.string()))
        counts = np.array([len(of_row) for of_row in parts], np.int64)
        rules = pa.array([None if count else "empty_text" for count in counts], pa.string())
        rejected = Outcome.mark(batch, rules, batch.column(TEXT)).rejected
        rows = batch.take(pa.array(np.repeat(np.arange(batch.num_rows), counts)))
        numbers = [number for count in counts for number in range(count)]
        parents = rows.column(ROW_ID)
        ids = [f"{parent}#{number}" for parent, number in zip(parents.to_pylist(), numbers, strict=True)]
        at = batch.schema.get_field_index(ROW_ID)
        rows = rows.set_column(at, batch.schema.field(at), pa.array(ids, pa.string()))
        rows = with_texts(rows, pa.array([part for of_row in parts for part in of_row], pa.string()))
        rows = with_column(rows, PARENT_ID, parents)
        return Outcome(with_column(rows, CHUNK, pa.array(numbers, pa.int32())), rejected)

    def _parts(self, texts: pa.Array) -> list[list[str]]:
        if self.unit == "sentences":
            of_texts = [split_sentences(text) for text in texts.to_pylist()]
            return [[" ".join(sentences[a:b]) for a, b in self._spans(len(sentences))] for sentences in of_texts]
        assert self.tokenizer is not None
        encoded = encode(texts, self.tokenizer, special_tokens=False)
        return [self._cut(text, found.offsets) for text, found in zip(texts.to_pylist(), encoded, strict=True)]

    def _cut(self, text: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
        """Return the parts of a text whose tokens are at these places, each up to where the next token begins."""
        starts = [start for start, _ in offsets]
        ends = [*starts[1:], len(text)]
        return [text[starts[first] : ends[last - 1]].strip() for first, last in self._spans(len(starts))]

    def _spans(self, count: int) -> Iterator[tuple[int, int]]:
        """Yield where each part of so many units begins and ends."""
        step = self.size - self.overlap
        for start in range(0, max(count - self.overlap, min(count, 1)), step):
            yield start, min(start + self.size, count)
