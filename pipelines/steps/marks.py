"""Marking rows as rejected in a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.steps.step import REJECTED_RULE, REJECTED_VALUE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def mark(frame: DataFrame, rule: Column, value: Column) -> DataFrame:
    """Mark rows as rejected, and leave the marks that are there already as they are.

    Args:
        frame: the rows; the marks' columns are added where it lacks them.
        rule: for each row, null to keep it, or the rule to reject it under.
        value: for each row, what tripped the rule, as a string; of no account for a row that is kept.
    """
    from pyspark.sql import functions as sql

    marked = sql.col(REJECTED_RULE).isNotNull() if REJECTED_RULE in frame.columns else sql.lit(False)
    no_text = sql.lit(None).cast("string")
    old_rule = sql.col(REJECTED_RULE) if REJECTED_RULE in frame.columns else no_text
    old_value = sql.col(REJECTED_VALUE) if REJECTED_VALUE in frame.columns else no_text
    return frame.withColumns(
        {
            REJECTED_RULE: sql.coalesce(old_rule, rule),
            REJECTED_VALUE: sql.when(marked, old_value).when(rule.isNotNull(), value),
        }
    )
