"""Running a Spark SQL query over the rows."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from connectors.source import ROW_ID, TEXT
from pipelines.errors import StepError
from pipelines.steps.marks import mark
from pipelines.steps.step import REJECTED_RULE, REJECTED_VALUE, TableStep
from pipelines.steps.text_key import is_live

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

VIEW = "rows"
"""The name that a query has the rows under."""

_GIVEN, _TEXT = "_given_row_id", "_given_text"


class Sql(TableStep):
    """Runs a query of Spark SQL over the rows, as the table ``rows``.

    ::

        SELECT *, upper(title) AS heading FROM rows WHERE length(text) > 20

    Rows whose ``row_id`` is not in the result are rejected under ``sql``, with their text as the value; of
    their columns only ``row_id`` comes out. The result may hold new rows: each wants a ``row_id`` of its own,
    made for instance as ``concat(row_id, '#', n)``. Tables of the catalog can be joined.

    Attributes:
        query: one ``SELECT``, or ``WITH … SELECT``; its result must hold ``row_id``.
    """

    reads_twice: ClassVar[bool] = True
    creates_rows: ClassVar[bool] = True

    query: str

    @field_validator("query")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if not value.strip(" \t\r\n;"):
            raise ValueError("the query is empty; write one over the table rows, like SELECT * FROM rows WHERE …")
        return value

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return the result of the query, and the rows that are not in it, marked.

        Raises:
            StepError: the query cannot be parsed or run over these columns, or its result has no ``row_id``.
        """
        from pyspark.sql import functions as sql

        marks = [name for name in (REJECTED_RULE, REJECTED_VALUE) if name in frame.columns]
        result = self._result(frame.where(is_live(frame)).drop(*marks))
        text = sql.col(TEXT).cast("string") if TEXT in frame.columns else sql.lit(None).cast("string")
        given = frame.select(sql.col(ROW_ID).alias(_GIVEN), text.alias(_TEXT), *marks)
        # An outer join evaluates the query once. Asked again for what is not in its result, a query with
        # LIMIT or rand() might answer differently, and rows would be lost.
        joined = result.join(given, sql.col(ROW_ID) == sql.col(_GIVEN), "full_outer")
        rule = sql.when(sql.col(ROW_ID).isNull(), "sql")
        no_id = sql.raise_error(f"{self.name}: the query made a row whose {ROW_ID} is null; give it one")
        row_id = sql.coalesce(ROW_ID, _GIVEN, no_id.cast("string"))
        return mark(joined, rule, sql.col(_TEXT)).withColumn(ROW_ID, row_id).drop(_GIVEN, _TEXT)

    def _result(self, frame: DataFrame) -> DataFrame:
        from pyspark.errors import AnalysisException, ParseException

        view = f"{VIEW}_{uuid.uuid4().hex}"
        frame.createTempView(view)
        try:
            # The rows get their name within this one statement, so that no view or table of the name is
            # touched. On a line of its own, the query may end in a comment.
            result = frame.sparkSession.sql(
                f"WITH {VIEW} AS (SELECT * FROM {view}) SELECT * FROM (\n{self.query.strip().rstrip(';')}\n)"
            )
        except (AnalysisException, ParseException) as error:
            raise StepError(
                f"{self.name}: the query cannot be run over the table {VIEW} ({', '.join(frame.columns)}): {error}"
            ) from error
        finally:
            frame.sparkSession.catalog.dropTempView(view)
        return self._checked(result, frame)

    def _checked(self, result: DataFrame, frame: DataFrame) -> DataFrame:
        # Spark does not tell upper from lower case in the names of columns.
        names = [name.lower() for name in result.columns]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise StepError(
                f"{self.name}: the result of the query has more than one column {repeated[0]!r}; where "
                "SELECT * brings one of them, name the columns that are wanted in its place, out of "
                f"{', '.join(frame.columns)}"
            )
        if ROW_ID not in result.columns:
            raise StepError(
                f"{self.name}: the result of the query has no column {ROW_ID}, by which rows are told apart; "
                f"it has: {', '.join(result.columns)}. Select {ROW_ID} as well"
            )
        kind = result.schema[ROW_ID].dataType.simpleString()
        if kind != "string":
            raise StepError(f"{self.name}: {ROW_ID} in the result of the query is {kind}; it must be a string")
        return result
