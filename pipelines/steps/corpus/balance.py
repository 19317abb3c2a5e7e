"""Taking as many rows of each label."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from connectors.source import LABEL, ROW_ID
from pipelines.steps.columns import quoted, require_columns
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Balance(TableStep):
    """Keeps as many rows of each label, chosen by their ids; the others are rejected under ``over_represented``.

    Which ones are kept depends on the seed and the row ids alone. No row is made up: a label that has fewer keeps what
    it has. Do it before the split, or the evaluation will not be of the labels as they come.

    Attributes:
        most: how many rows of a label are kept; None takes as many as the rarest label has.
        column: what is balanced; rows without a value in it are all kept.
        seed: another seed keeps others.
    """

    training_only: ClassVar[bool] = True
    reads_twice: ClassVar[bool] = True

    most: int | None = Field(default=None, ge=1)
    column: str = Field(default=LABEL, min_length=1)
    seed: int = 0

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with the ones not to be kept marked; all rows of a label are ranked in one task.

        Raises:
            StepError: there is no column of the name given.
        """
        from pyspark.sql import Window
        from pyspark.sql import functions as sql

        require_columns(self.name, [self.column], frame.columns)
        value = sql.col(quoted(self.column))
        counted = frame.withColumn(_COUNTS, is_live(frame) & value.isNotNull())
        order = (sql.col(_COUNTS).desc(), sql.xxhash64(sql.lit(self.seed), ROW_ID), sql.col(ROW_ID))
        ranked = counted.withColumn(_RANK, sql.row_number().over(Window.partitionBy(value).orderBy(*order)))
        if self.most is not None:
            limited = ranked.withColumn(_MOST, sql.lit(self.most))
        else:
            sizes = counted.where(_COUNTS).groupBy(value).count()
            limited = ranked.crossJoin(sql.broadcast(sizes.select(sql.min("count").alias(_MOST))))
        too_many = sql.col(_COUNTS) & (sql.col(_RANK) > sql.col(_MOST))
        return mark(limited, sql.when(too_many, "over_represented"), value.cast("string")).drop(_COUNTS, _RANK, _MOST)


_COUNTS, _RANK, _MOST = "_balance_counts", "_balance_rank", "_balance_most"
