"""Adding the columns of another table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from connectors.files.paths import PathOption
from connectors.source import ROW_ID, TEXT
from pipelines.errors import StepError
from pipelines.steps.columns import quoted, require_columns
from pipelines.steps.marks import mark
from pipelines.steps.step import TableStep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class JoinTable(TableStep):
    """Adds columns of a table in files to the rows that have the same values in the columns `on`.

    A row that has no match gets nulls, or is rejected under ``no_match``; one that several rows of the table match,
    with different values, is rejected under ``ambiguous_match``, as no row is made up. Null matches nothing.

    Attributes:
        path: the table's files, read by Spark.
        format: of the files; CSV needs a header, and its columns are strings.
        on: columns that both have, by which rows match; strings, or what becomes the same string.
        columns: which to add; none are all but those of `on`.
        missing: what to do with rows without a match.
    """

    path: PathOption
    format: Literal["parquet", "csv", "json"] = "parquet"
    on: tuple[str, ...] = Field(min_length=1)
    columns: tuple[str, ...] = ()
    missing: Literal["keep", "reject"] = "keep"

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return all rows, with the new columns and the ones not to be kept marked; Spark shuffles or broadcasts.

        Raises:
            StepError: the table cannot be read, or it or the rows lack a column, or the rows have one to be added.
        """
        from pyspark.sql import functions as sql

        table = self._table(frame)
        added = self.columns or tuple(name for name in table.columns if name not in self.on)
        require_columns(self.name, self.on, frame.columns)
        require_columns(f"{self.name}, the table {self.path}", [*self.on, *added], table.columns)
        taken = [name for name in added if name in frame.columns or name in (ROW_ID, TEXT)]
        if taken:
            raise StepError(
                f"{self.name}: the rows have a column {taken[0]!r} already; name those to add in columns, or rename it"
            )
        keys = [f"_join_{number}" for number in range(len(self.on))]
        values = sql.struct(*(sql.col(quoted(name)).alias(name) for name in added))
        named = [sql.col(quoted(name)).cast("string").alias(key) for name, key in zip(self.on, keys, strict=True)]
        matches = (
            table.select(*named, values.alias(_VALUES))
            .groupBy(*keys)
            .agg(sql.first(_VALUES).alias(_VALUES), sql.count_distinct(sql.to_json(_VALUES)).alias(_DIFFERENT))
        )
        keyed = frame.withColumns(
            {key: sql.col(quoted(name)).cast("string") for name, key in zip(self.on, keys, strict=True)}
        )
        joined = keyed.join(matches, keys, "left")
        rule = sql.when(sql.col(_DIFFERENT) > 1, "ambiguous_match")
        if self.missing == "reject":
            rule = rule.when(sql.col(_DIFFERENT).isNull(), "no_match")
        marked = mark(joined, rule, sql.concat_ws(", ", *keys))
        whole = marked.withColumns({name: sql.col(_VALUES)[name] for name in added})
        return whole.drop(_VALUES, _DIFFERENT, *keys)

    def _table(self, frame: DataFrame) -> DataFrame:
        from pyspark.errors import AnalysisException

        reader = frame.sparkSession.read
        try:
            return (
                reader.csv(self.path, header=True)
                if self.format == "csv"
                else reader.format(self.format).load(self.path)
            )
        except AnalysisException as error:
            said = str(error).splitlines()[0]
            raise StepError(f"{self.name}: the table {self.path} cannot be read: {said}") from error


_VALUES, _DIFFERENT = "_join_values", "_join_different"
