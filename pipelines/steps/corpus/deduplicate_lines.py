"""Taking lines out of texts that have been in others before."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from connectors.source import ROW_ID, TEXT
from pipelines.steps.corpus.lines import line_key, lines
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class DeduplicateLines(TableStep):
    """Takes each line that has come before out of ``text``: the first place it is at keeps it.

    Lines that differ in case and white space alone are the same. The first place is that of the row whose ``row_id``
    comes first in the order of strings, and in a text the first line. A text of which no line is left but blank ones is
    rejected under ``duplicate_lines``. CCNet cleans pages so (Wenzek et al. 2020), and C4 by spans of three sentences.

    Attributes:
        min_characters: lines that have fewer are left alone, blank ones among them.
        most: how many times a line may be there before others go.
    """

    training_only: ClassVar[bool] = True
    reads_twice: ClassVar[bool] = True

    min_characters: int = Field(default=20, ge=1)
    most: int = Field(default=1, ge=1)

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows with the lines that are left, and some marked; keys of lines are shuffled, and no text."""
        from pyspark.sql import Window
        from pyspark.sql import functions as sql

        each = frame.where(is_live(frame)).select(ROW_ID, sql.posexplode(lines(sql.col(TEXT))).alias("_at", "_line"))
        keyed = each.where(sql.length(sql.trim("_line")) >= self.min_characters).select(
            ROW_ID, "_at", line_key(sql.col("_line")).alias("_key")
        )
        place = sql.row_number().over(Window.partitionBy("_key").orderBy(ROW_ID, "_at"))
        again = keyed.withColumn("_place", place).where(sql.col("_place") > self.most)
        of_row = again.groupBy(sql.col(ROW_ID).alias("_row")).agg(sql.collect_set("_at").alias(_AGAIN))
        joined = frame.join(of_row, frame[ROW_ID] == of_row["_row"], "left").drop("_row")
        left = sql.filter(lines(sql.col(TEXT)), lambda _, at: ~sql.array_contains(_AGAIN, at))
        changed = joined.withColumn(_GIVEN, sql.col(TEXT)).withColumn(
            TEXT, sql.when(sql.col(_AGAIN).isNull(), sql.col(TEXT)).otherwise(sql.array_join(left, "\n"))
        )
        emptied = sql.col(_AGAIN).isNotNull() & (sql.trim(sql.regexp_replace(TEXT, r"\s+", " ")) == "")
        return mark(changed, sql.when(emptied, "duplicate_lines"), sql.col(_GIVEN)).drop(_AGAIN, _GIVEN)


_AGAIN, _GIVEN = "_lines_again", "_lines_given"
