"""Running a function of the user's over one row after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, field_validator

from connectors.options import Items
from connectors.source import ROW_ID, TEXT
from pipelines.errors import StepError
from pipelines.steps.step import Outcome, RowStep
from pipelines.steps.user_function import FUNCTION_SCHEMA, arrow_type, kept_by_name, load_function, shown_name

RowFunction = Callable[[dict[str, Any]], dict[str, Any] | None]


class PythonRow(RowStep):
    """Runs a function over each row, as a dict of its columns: it may change their values, add some, or reject the row.

    ::

        def loud(row):
            return row | {"text": row["text"].upper()} if row["text"] else None

        PythonRow(function=loud)

    What it does not return of the columns that were there is null. A row for which it returns None is rejected under
    `rule`, and one that it fails on under ``error``, with what it raised. `ArrowFunction` is many times as fast, where
    what is to be done can be said of whole columns.

    Attributes:
        function: the function, as ``module:function`` or itself; of the latter see `ArrowFunction`.
        rule: the rule that rows are rejected under for which it returns None; None takes the function's own name.
        output: Arrow's names for the types of the columns that it adds, or changes the type of, by column, such as
            ``{length: int64}``; it returns no other columns than those and the ones that come in.
    """

    function: Annotated[str | RowFunction, FUNCTION_SCHEMA]
    rule: str | None = Field(default=None, min_length=1)
    output: Items[str] = ()

    @field_validator("function")
    @classmethod
    def _by_name_where_it_has_one(cls, value: str | RowFunction) -> str | RowFunction:
        return kept_by_name(value)

    @field_validator("output")
    @classmethod
    def _are_types(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for _, name in value:
            arrow_type(name)
        return value

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows that the function returns, and reject those for which it returns None.

        Raises:
            StepError: it returned something else than a dict of the columns that there are to be, or another row id.
        """
        function: RowFunction = load_function(self.function)
        schema = self.output_schema(batch.schema)
        given = batch.to_pylist()
        returned = [self._checked(function(dict(row)), row, schema) for row in given]
        rule = self.rule or getattr(function, "__name__", "function").strip("<>")
        rules = pa.array([rule if row is None else None for row in returned], pa.string())
        rejected = Outcome.mark(batch, rules, batch.column(TEXT).cast(pa.string())).rejected
        return Outcome(
            pa.RecordBatch.from_pylist([row for row in returned if row is not None], schema=schema), rejected
        )

    def output_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come in, and those of `output`."""
        types = {name: arrow_type(kind) for name, kind in self.output}
        stay = [field.with_type(types.pop(field.name, field.type)) for field in schema]
        return pa.schema([*stay, *(pa.field(name, kind) for name, kind in types.items())])

    def _checked(self, returned: object, given: dict[str, Any], schema: pa.Schema) -> dict[str, Any] | None:
        if returned is None:
            return None
        name = shown_name(self.function)
        if not isinstance(returned, dict):
            raise StepError(
                f"{self.name}: the function {name} returned {type(returned).__name__}; it must return a dict, or None"
            )
        unknown = [column for column in returned if column not in schema.names]
        if unknown:
            raise StepError(
                f"{self.name}: the function {name} returned a column {unknown[0]!r} that does not come in; say its "
                f"type in the option output, like {{{unknown[0]}: int64}}"
            )
        if returned.get(ROW_ID, given[ROW_ID]) != given[ROW_ID]:
            raise StepError(
                f"{self.name}: the function {name} changed the row_id of {given[ROW_ID]!r}; leave it as it is"
            )
        return {**returned, ROW_ID: given[ROW_ID]}
