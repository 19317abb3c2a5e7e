"""Bringing the rows into an order that has nothing to do with where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from connectors.source import ROW_ID
from pipelines.steps.step import TableStep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Shuffle(TableStep):
    """Brings the rows into an order that depends on the seed and their ids alone.

    So a sink's files have a bit of everything, and a reader of the first of them sees no one source or day. Trainers
    shuffle for themselves.

    Attributes:
        seed: another seed gives another order.
    """

    training_only: ClassVar[bool] = True

    seed: int = 0

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, in their new order; one shuffle."""
        from pyspark.sql import functions as sql

        return frame.orderBy(sql.xxhash64(sql.lit(self.seed), ROW_ID), ROW_ID)
