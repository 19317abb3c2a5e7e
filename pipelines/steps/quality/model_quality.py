"""Keeping texts by what a model says of them."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import Field

from connectors.files.paths import PathOption, local_path
from connectors.source import TEXT
from pipelines.errors import BundleError, StepError
from pipelines.steps.columns import with_column
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.step import Outcome, RowStep

if TYPE_CHECKING:
    from pipelines.bundle import Bundle


class ModelQuality(RowStep):
    """Adds the probability that a model gives to a label, and keeps the texts of which that is high enough.

    The model is a bundle, as a run with a trainer leaves one: train one on texts that are good and texts that are not,
    and judge a corpus by it, as GPT-3's and FineWeb-Edu's were (Brown et al. 2020; Penedo et al. 2024). Texts go
    through the bundle's own steps first; what those reject is rejected here under ``not_judged``, and what the model
    gives less than `min` under ``low_quality``.

    Attributes:
        bundle: the bundle's directory.
        label: the label that good texts have.
        min: the least probability of a text that is kept, from 0 to 1.
        column: where the probability goes, a float64; null for a text that the bundle's steps reject.
        batch_size: how many texts the model sees at once.
    """

    bundle: PathOption
    label: str
    min: float = Field(default=0.5, ge=0, le=1)
    column: str = Field(default="quality", min_length=1)
    batch_size: int = Field(default=64, ge=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows that are good enough, with their probability.

        Raises:
            StepError: the bundle cannot be loaded, or has no such label.
        """
        bundle = _bundle(self.bundle)
        if self.label not in bundle.model.labels:
            raise StepError(
                f"{self.name}: the model of {self.bundle} knows no label {self.label!r}; it knows: "
                f"{', '.join(bundle.model.labels)}"
            )
        found = bundle.predict(batch.column(TEXT).to_pylist(), self.batch_size)
        scores = np.array([one.probabilities.get(self.label, np.nan) for one in found], np.float64)
        verdicts = Verdicts(batch.num_rows)
        verdicts.add("not_judged", np.isnan(scores), np.array([one.rejected for one in found], object))
        verdicts.below("low_quality", scores, self.min)
        return verdicts.outcome(with_column(batch, self.column, pa.array(scores, pa.float64(), from_pandas=True)))


@lru_cache(maxsize=2)
def _bundle(directory: str) -> Bundle:
    # Imported late: it imports the steps.
    from pipelines.bundle import Bundle
    from training.errors import ModelError

    try:
        return Bundle.load(local_path(directory))
    except (BundleError, ModelError) as error:
        raise StepError(f"model_quality: {error}") from error
