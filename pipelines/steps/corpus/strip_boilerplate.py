"""Taking the lines off that all texts of a source begin or end with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from connectors.source import ROW_ID, TEXT
from pipelines.steps.columns import quoted, require_columns
from pipelines.steps.corpus.lines import line_key, lines
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


class StripBoilerplate(TableStep):
    """Takes headers and footers off ``text``: lines that many texts of one source begin or end with.

    A line among the first or the last `lines` of a text is boilerplate where that share of its source's texts, and
    `min_texts` of them, have it there; lines that differ in case and white space alone are the same. Taken off are
    those that nothing but boilerplate and blank lines stands before (or behind). A text that is nothing else is
    rejected under ``only_boilerplate``. Texts that are scored have no source to go by, and are left as they are.

    Attributes:
        source_column: says where a text is from: a site, a feed, a newspaper.
        lines: how many lines at either end may be boilerplate.
        min_share: of a source's texts that have the line, above 0 and up to 1.
        min_texts: the fewest that have it.
    """

    reads_twice: ClassVar[bool] = True

    source_column: str = Field(min_length=1)
    lines: int = Field(default=5, ge=1)
    min_share: float = Field(default=0.3, gt=0, le=1)
    min_texts: int = Field(default=3, ge=2)

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, without boilerplate, and the ones not to be kept marked; keys of lines are shuffled.

        Raises:
            StepError: there is no column of the name given.
        """
        from pyspark.sql import functions as sql

        require_columns(self.name, [self.source_column], frame.columns)
        sourced = frame.withColumn(_SOURCE, sql.col(quoted(self.source_column)).cast("string"))
        found = self._boilerplate(sourced.where(is_live(frame)))
        joined = sourced.join(sql.broadcast(found), _SOURCE, "left").withColumn(_LINES, lines(sql.col(TEXT)))
        first, last = self._reach(sql.col(_LINES), _HEAD), self._reach(sql.reverse(_LINES), _FOOT)
        size = sql.size(_LINES)
        left = sql.when(first + last >= size, sql.array().cast("array<string>")).otherwise(
            sql.slice(_LINES, first + 1, size - first - last)
        )
        changed = joined.withColumn(_GIVEN, sql.col(TEXT)).withColumn(
            TEXT, sql.when(first + last == 0, sql.col(TEXT)).otherwise(sql.array_join(left, "\n"))
        )
        emptied = (sql.trim(sql.regexp_replace(TEXT, r"\s+", " ")) == "") & (sql.trim(_GIVEN) != "")
        marked = mark(changed, sql.when(emptied, "only_boilerplate"), sql.col(_GIVEN))
        return marked.drop(_SOURCE, _HEAD, _FOOT, _LINES, _GIVEN)

    def _boilerplate(self, live: DataFrame) -> DataFrame:
        """Return, for each source, the keys of lines that are boilerplate at the head and at the foot."""
        from pyspark.sql import functions as sql

        texts = live.where(sql.col(_SOURCE).isNotNull())
        sizes = texts.groupBy(_SOURCE).agg(sql.count("*").alias("_texts"))

        def at_end(all_lines: Column, name: str) -> DataFrame:
            each = texts.select(_SOURCE, ROW_ID, sql.explode(sql.slice(all_lines, 1, self.lines)).alias("_line"))
            keys = each.where(sql.trim("_line") != "").select(_SOURCE, ROW_ID, line_key(sql.col("_line")).alias("_key"))
            counted = keys.distinct().groupBy(_SOURCE, "_key").count().join(sizes, _SOURCE)
            often = (sql.col("count") >= self.min_texts) & (sql.col("count") >= self.min_share * sql.col("_texts"))
            return counted.where(often).groupBy(_SOURCE).agg(sql.collect_set("_key").alias(name))

        every = lines(sql.col(TEXT))
        return at_end(every, _HEAD).join(at_end(sql.reverse(every), _FOOT), _SOURCE, "full")

    def _reach(self, all_lines: Column, keys: str) -> Column:
        """Return how many lines from the first on are boilerplate, or blank with some behind them."""
        from pyspark.sql import functions as sql

        ends = sql.slice(all_lines, 1, self.lines)
        known = sql.transform(ends, lambda line: sql.array_contains(keys, line_key(line)))
        blank = sql.transform(ends, lambda line: sql.trim(line) == "")
        # How far each line that is known is from the first, if nothing but known and blank ones is before it.
        reached = sql.transform(
            known,
            lambda is_known, at: sql.when(
                is_known
                & sql.forall(
                    sql.sequence(sql.lit(0), at),
                    lambda before: sql.element_at(known, before + 1) | sql.element_at(blank, before + 1),
                ),
                at + 1,
            ).otherwise(0),
        )
        return sql.when(sql.col(keys).isNull(), 0).otherwise(sql.array_max(reached))


_SOURCE, _HEAD, _FOOT = "_boilerplate_source", "_boilerplate_head", "_boilerplate_foot"
_LINES, _GIVEN = "_boilerplate_lines", "_boilerplate_given"
