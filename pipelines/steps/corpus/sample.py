"""Taking some of the rows."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from connectors.source import ROW_ID
from pipelines.steps.columns import require_columns
from pipelines.steps.step import Outcome, RowStep


class Sample(RowStep):
    """Keeps about a share of the rows, the same ones on every run; the others are rejected under ``not_sampled``.

    Whether a row is kept depends on the seed and its id alone, so that a larger share with the same seed keeps all that
    a smaller one does.

    Attributes:
        share: how much of the rows to keep, above 0 and up to 1.
        seed: another seed keeps others.
        by: a column; rows with the same value in it are kept or rejected together. None goes by the row.
    """

    training_only: ClassVar[bool] = True

    share: float = Field(gt=0, le=1)
    seed: int = Field(default=0, ge=0, lt=10**16)
    by: str | None = Field(default=None, min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, and the column that it goes by."""
        return None if output is None else output | ({self.by} if self.by else set())

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows that are kept.

        Raises:
            StepError: there is no column of the name given.
        """
        column = self.by or ROW_ID
        require_columns(self.name, [column], batch.schema.names)
        keys = pc.fill_null(batch.column(column).cast(pa.string()), "")
        hashes = pd.util.hash_array(
            np.array(keys.to_pylist(), object), hash_key=f"{self.seed:016d}", categorize=self.by is not None
        )
        dropped = pa.array(hashes.astype(np.float64) >= self.share * 2.0**64)
        return Outcome.mark(batch, pc.if_else(dropped, "not_sampled", pa.scalar(None, pa.string())), keys)
