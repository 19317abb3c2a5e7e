"""Leaving out texts that evaluation sets have in them."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from connectors.files.paths import PathOption
from connectors.source import TEXT
from pipelines.steps.corpus.other_texts import file_source, texts_here
from pipelines.steps.minhash.shingles import shingle
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.step import Outcome, RowStep


class Decontaminate(RowStep):
    """Rejects texts that share a run of words with an evaluation set, under ``contaminated``; the value is how many.

    A model that was trained on what it is tested by looks better than it is. GPT-3's authors took 13 words in a row to
    be no chance (Brown et al. 2020, appendix C). Case, punctuation and white space make no difference; a Chinese
    character is a word. Evaluation texts of fewer words than that are not looked for.

    Attributes:
        evaluation: files of texts, by their names Parquet, JSON lines, CSV or plain lines; each worker reads them.
        text_column: the column that is the text there; it has no part in plain lines.
        words: how many words in a row.
        min_runs: how many such runs a text must share to be rejected.
    """

    training_only: ClassVar[bool] = True

    evaluation: PathOption
    text_column: str = "text"
    words: int = Field(default=13, ge=1)
    min_runs: int = Field(default=1, ge=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts share fewer runs than that.

        Raises:
            StepError: the evaluation texts cannot be read.
        """
        known = _runs(self.name, self.evaluation, self.text_column, self.words)
        runs = shingle(batch.column(TEXT).cast(pa.string()), self.words)
        shared = np.concatenate(([0], np.cumsum(_among(runs.hashes, known))))
        counts = np.diff(shared[runs.offsets])
        verdicts = Verdicts(batch.num_rows)
        verdicts.add("contaminated", counts >= self.min_runs, counts)
        return verdicts.outcome(batch)


def _among(values: NDArray[np.uint64], sorted_set: NDArray[np.uint64]) -> NDArray[np.bool_]:
    if not len(sorted_set):
        return np.zeros(len(values), bool)
    places = np.searchsorted(sorted_set, values)
    found: NDArray[np.bool_] = sorted_set[np.minimum(places, len(sorted_set) - 1)] == values
    return found


@lru_cache(maxsize=4)
def _runs(step: str, evaluation: str, text_column: str, words: int) -> NDArray[np.uint64]:
    """Return the hashes of all runs of so many words in the evaluation texts, sorted, each once."""
    found: list[NDArray[np.uint64]] = [np.zeros(0, np.uint64)]
    for batch in texts_here(step, file_source(step, evaluation, text_column)):
        runs = shingle(batch.column(TEXT), words)
        whole = shingle(batch.column(TEXT), 1)
        long_enough = np.diff(whole.offsets) >= words
        found.append(runs.hashes[np.repeat(long_enough, np.diff(runs.offsets))])
    return np.unique(np.concatenate(found))
