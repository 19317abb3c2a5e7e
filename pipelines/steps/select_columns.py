"""Leaving out columns that nobody needs."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from connectors.source import LABEL, ROW_ID, TEXT
from pipelines.steps.columns import SPLIT, require_columns
from pipelines.steps.step import Outcome, RowStep

ALWAYS_KEPT = (ROW_ID, TEXT, LABEL, SPLIT)
"""The columns that stay without being named, where the rows have them: what follows builds on them."""


class SelectColumns(RowStep):
    """Keeps the columns named, and ``row_id``, ``text``, ``label`` and ``split``, in their order.

    Before the first table step, and behind steps that look at no other columns, it spares reading: sources that can
    (Parquet, PostgreSQL, Delta, Iceberg, Lance, Hugging Face) read the columns named alone. ``headrace plan`` shows
    them.

    It is for training only, although it is not about labels: a text that is scored comes without the columns
    named, and has none to spare.

    Attributes:
        columns: the columns to keep.
    """

    training_only: ClassVar[bool] = True

    columns: tuple[str, ...] = Field(min_length=1)

    @field_validator("columns")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} is named twice; name each column once")
        return value

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return the columns named, so that a source that can reads no others."""
        return frozenset(self.columns)

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, with fewer columns.

        Raises:
            StepError: the rows lack a column that is named.
        """
        require_columns(self.name, self.columns, batch.schema.names)
        return Outcome.keep(
            batch.select([name for name in batch.schema.names if name in {*self.columns, *ALWAYS_KEPT}])
        )
