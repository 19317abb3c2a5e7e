"""Features of texts for classic models."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from connectors.source import TEXT
from pipelines.steps.columns import with_column
from pipelines.steps.step import Outcome, RowStep

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import HashingVectorizer


class NgramFeatures(RowStep):
    """Adds which n-grams a text has, hashed to numbers, and how often: a sparse vector for a classic model.

    It is scikit-learn's `HashingVectorizer`, so a ``scipy.sparse.csr_matrix`` of the two columns is what that would
    make of the texts. Nothing is learnt from the corpus, so that every row is by itself.

    Attributes:
        unit: n-grams of ``words``, or of ``characters`` of a word, which suits Chinese.
        min_n: the shortest n-gram.
        max_n: the longest.
        features: into how many numbers the n-grams are hashed, a power of two.
        norm: scale each vector to length one, by the sum of squares (``l2``) or of values (``l1``); ``none`` counts.
        indices_column: where the numbers go, a list of int32, in ascending order.
        values_column: where the values go, a list of float32.
    """

    unit: Literal["words", "characters"] = "words"
    min_n: int = Field(default=1, ge=1)
    max_n: int = Field(default=2, ge=1)
    features: int = Field(default=2**18, ge=2, le=2**31 - 1)
    norm: Literal["l1", "l2", "none"] = "l2"
    indices_column: str = Field(default="feature_indices", min_length=1)
    values_column: str = Field(default="feature_values", min_length=1)

    @model_validator(mode="after")
    def _from_short_to_long(self) -> NgramFeatures:
        if self.max_n < self.min_n:
            raise ValueError(f"max_n is {self.max_n} and min_n is {self.min_n}; swap them")
        return self

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.indices_column, self.values_column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with their features."""
        texts = batch.column(TEXT).to_pylist()
        vectorizer = _vectorizer(self.unit, (self.min_n, self.max_n), self.features, self.norm)
        # No texts at all are none that scikit-learn takes.
        matrix = vectorizer.transform(texts or [""])
        matrix.sort_indices()
        offsets = pa.array(matrix.indptr[: len(texts) + 1].astype(np.int32))
        size = int(matrix.indptr[len(texts)])
        indices = pa.ListArray.from_arrays(offsets, pa.array(matrix.indices[:size].astype(np.int32)))
        values = pa.ListArray.from_arrays(offsets, pa.array(matrix.data[:size].astype(np.float32)))
        return Outcome.keep(with_column(with_column(batch, self.indices_column, indices), self.values_column, values))


@lru_cache(maxsize=4)
def _vectorizer(unit: str, ngrams: tuple[int, int], features: int, norm: str) -> HashingVectorizer:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="word" if unit == "words" else "char_wb",
        ngram_range=ngrams,
        n_features=features,
        norm=None if norm == "none" else norm,
        alternate_sign=False,
        dtype=np.float32,
    )
