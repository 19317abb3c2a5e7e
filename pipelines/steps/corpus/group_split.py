"""Splits that keep together what belongs together, or follow time."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from connectors.source import ROW_ID
from pipelines.errors import StepError
from pipelines.steps.columns import SPLIT, quoted, require_columns
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


class _ByColumn(TableStep):
    """A split of which a column's values are each in one part, and in which the parts have about their shares."""

    training_only: ClassVar[bool] = True
    makes_split: ClassVar[bool] = True
    reads_twice: ClassVar[bool] = True

    column: str = Field(min_length=1)
    validation: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _leaves_rows_to_train_on(self) -> _ByColumn:
        if self.validation + self.test > 1 - 1e-9:
            raise ValueError(
                f"validation {self.validation} and test {self.test} leave no rows to train on; together they must be "
                "less than 1, like 0.1 and 0.2"
            )
        return self

    def _require(self, frame: DataFrame) -> None:
        require_columns(self.name, [self.column], frame.columns)
        if SPLIT in frame.columns:
            raise StepError(f"{self.name}: the rows already have a column {SPLIT!r}; rename it, or leave this step out")

    def _divided(self, frame: DataFrame, key: Column, order: list[Column]) -> DataFrame:
        """Add ``split``: the keys in this order are for testing, as many as hold its share, then for validation.

        A key is where the middle one of its rows falls, so that a share is missed by half a key's rows at most.

        Args:
            frame: the rows.
            key: what is in one part.
            order: of the keys, over the columns `KEY`, `ROWS` (how many it has) and `ALL` (how many there are).
        """
        from pyspark.sql import Window
        from pyspark.sql import functions as sql

        keyed = frame.withColumn(KEY, key)
        sizes = keyed.where(is_live(frame)).groupBy(KEY).agg(sql.count("*").alias(ROWS))
        # A window over everything, of which Spark warns where it says so in plain words.
        every = Window.partitionBy(sql.lit(0))
        sized = sizes.withColumn(ALL, sql.sum(ROWS).over(every))
        so_far = sql.sum(ROWS).over(every.orderBy(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow))
        middle = sql.col("_split_end") - sql.col(ROWS) / 2
        split = (
            sql.when(middle <= sql.col(ALL) * self.test, "test")
            .when(middle <= sql.col(ALL) * (self.test + self.validation), "validation")
            .otherwise("train")
        )
        parts = sized.withColumn("_split_end", so_far).select(KEY, split.alias(SPLIT))
        return keyed.join(parts, KEY, "left").drop(KEY)


KEY, ROWS, ALL = "_split_key", "_split_rows", "_split_all"


class GroupSplit(_ByColumn):
    """Says of each row whether it is for ``train``, ``validation`` or ``test``; rows of a group are never apart.

    A group is what has the same value in a column: an author, a site, a conversation. Groups are taken in the order of
    a hash of their value, those that are larger than half of a share last, so that they are trained on. A row without
    a value is a group by itself. Labels have no part in it, and neither have texts: deduplicate them before.

    Attributes:
        column: says which group a row is of.
        validation: share of the rows that a model is chosen by, from 0 to below 1.
        test: share of the rows that it is tested on, from 0 to below 1.
        seed: another seed gives another division.
    """

    seed: int = 0

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with ``split``; groups, and not rows, are ranked in one task.

        Raises:
            StepError: there is no column of the name given, or there is a ``split`` that would be overwritten.
        """
        from pyspark.sql import functions as sql

        self._require(frame)
        group = sql.col(quoted(self.column)).cast("string")
        alone = sql.concat(sql.lit("row "), sql.col(ROW_ID))
        least = min((share for share in (self.validation, self.test) if share), default=1.0)
        late = sql.when(sql.col(ROWS) > sql.col(ALL) * least / 2, sql.col(ROWS)).otherwise(0)
        order = [late, sql.sha2(sql.concat(sql.lit(f"{self.seed}:"), sql.col(KEY)), 256)]
        return self._divided(frame, sql.coalesce(sql.concat(sql.lit("group "), group), alone), order)


class TimeSplit(_ByColumn):
    """Says of each row whether it is for ``train``, ``validation`` or ``test``: the latest rows are for testing.

    So a model is tested on what came after all that it has seen, as it will be used. Rows of the same time are in the
    same part. A row without a time is rejected under ``no_time``.

    Attributes:
        column: when a row was: a time, a date, or a number that grows.
        validation: share of the rows that a model is chosen by, from 0 to below 1; the latest before those to test on.
        test: share of the rows that it is tested on, from 0 to below 1.
    """

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with ``split``; times, and not rows, are ranked in one task.

        Raises:
            StepError: there is no column of the name given, or there is a ``split`` that would be overwritten.
        """
        from pyspark.sql import functions as sql

        self._require(frame)
        time = sql.col(quoted(self.column))
        timed = mark(frame, sql.when(time.isNull(), "no_time"), sql.lit(None).cast("string"))
        return self._divided(timed, time, [sql.col(KEY).desc()])
