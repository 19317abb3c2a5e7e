"""Leaving out texts that occur more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from connectors.source import ROW_ID
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live, label_key, text_key

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Deduplicate(TableStep):
    """Keeps one row of each text; texts that differ in case and white space alone are the same.

    Of rows with the same text the one whose ``row_id`` comes first in the order of strings is kept, so that
    the outcome depends neither on the order of the rows nor on how they are partitioned. The others are
    rejected under ``duplicate``, with the ``row_id`` of the kept one.

    Attributes:
        conflicts: what to do with a text that carries different labels in different rows. ``reject`` rejects
            all of its rows under ``conflicting_labels``, with the first and the last of its labels: which of
            them is right cannot be told. ``keep`` keeps its first row like any other's. A missing label
            contradicts none.
    """

    conflicts: Literal["reject", "keep"] = "reject"

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with the ones not to be kept marked; one shuffle, by the text's key."""
        from pyspark.sql import Window
        from pyspark.sql import functions as sql

        live = is_live(frame)
        same_text = Window.partitionBy(text_key())
        label = sql.when(live, label_key(frame))
        first = sql.min(sql.when(live, sql.col(ROW_ID))).over(same_text)
        lowest, highest = sql.min(label).over(same_text), sql.max(label).over(same_text)
        found = frame.withColumns({_FIRST: first, _LOWEST: lowest, _HIGHEST: highest})
        conflicting = sql.coalesce(sql.col(_LOWEST) != sql.col(_HIGHEST), sql.lit(False))
        if self.conflicts == "keep":
            conflicting = sql.lit(False)
        rule = sql.when(live & conflicting, "conflicting_labels").when(
            live & (sql.col(ROW_ID) != sql.col(_FIRST)), "duplicate"
        )
        value = sql.when(conflicting, sql.concat_ws(" / ", _LOWEST, _HIGHEST)).otherwise(sql.col(_FIRST))
        return mark(found, rule, value).drop(_FIRST, _LOWEST, _HIGHEST)


_FIRST = "_first_row_id"
_LOWEST = "_lowest_label"
_HIGHEST = "_highest_label"
