"""Running a function of the user's over the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator

from connectors.options import Items
from connectors.source import ROW_ID, TEXT
from pipelines.errors import StepError
from pipelines.steps.columns import require_columns
from pipelines.steps.step import Outcome, RowStep
from pipelines.steps.user_function import FUNCTION_SCHEMA, arrow_type, kept_by_name, load_function, shown_name

BatchFunction = Callable[[pa.RecordBatch], pa.RecordBatch]


class ArrowFunction(RowStep):
    """Runs a function over batches of rows: it may change, add and leave out columns, and leave out rows.

    ::

        def short_only(batch):
            return batch.filter(pc.less(pc.utf8_length(batch["text"]), 500))

        ArrowFunction(function=short_only)

    The rows that the function leaves out are rejected under `rule`; which ones they are is seen by their
    ``row_id``. It gets any number of rows at a time, none at all included, and must do with each of them what
    it would do with that row by itself. It makes no new rows.

    Attributes:
        function: the function, as ``module:function`` or itself. It takes a `pyarrow.RecordBatch` and returns
            one, or a `pyarrow.Table`. A function that can be imported is kept by its name; any other (a
            lambda, or one defined in a notebook) works as long as the pipeline stays in Python, and cannot be
            written to YAML.
        rule: the rule that rows which are left out are rejected under; None takes the function's own name.
        output: Arrow's names for the types of the columns that the function adds or changes, by column, such
            as ``{length: int64}``, or ``list<string>`` for lists. None are needed where calling the function
            with no rows shows them.
    """

    function: Annotated[str | BatchFunction, FUNCTION_SCHEMA]
    rule: str | None = Field(default=None, min_length=1)
    output: Items[str] = ()

    @field_validator("function")
    @classmethod
    def _by_name_where_it_has_one(cls, value: str | BatchFunction) -> str | BatchFunction:
        return kept_by_name(value)

    @field_validator("output")
    @classmethod
    def _are_types(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for _, name in value:
            arrow_type(name)
        return value

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows that the function returns, and reject those that it left out.

        Raises:
            StepError: the function returned something other than a batch with ``row_id``, or not the columns
                that `output` says.
        """
        function: BatchFunction = load_function(self.function)
        kept = self._checked(function(batch), batch.schema)
        dropped = pc.invert(pc.is_in(batch.column(ROW_ID), value_set=kept.column(ROW_ID).cast(pa.string())))
        rule = self.rule or getattr(function, "__name__", "function").strip("<>")
        rules = pc.if_else(dropped, rule, pa.scalar(None, pa.string()))
        shown = batch.column(TEXT) if TEXT in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
        return Outcome(kept, Outcome.mark(batch, rules, shown).rejected)

    def output_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out: by `output` if given, else by calling the function with no rows.

        Raises:
            StepError: the function cannot be called with no rows, and `output` does not tell.
        """
        if self.output:
            return self._declared(schema)
        try:
            return super().output_schema(schema)
        except StepError:
            raise
        except Exception as error:
            raise StepError(
                f"{self.name}: the function {self._named} fails when it is called with no rows, which is "
                f"how its columns are found: {type(error).__name__}: {error}. Make it work without rows, or "
                "say which columns it adds or changes in the option output, like {length: int64}"
            ) from error

    @property
    def _named(self) -> str:
        return shown_name(self.function)

    def _checked(self, returned: object, schema: pa.Schema) -> pa.RecordBatch:
        if isinstance(returned, pa.Table):
            returned = _one_batch(returned)
        if not isinstance(returned, pa.RecordBatch):
            raise StepError(
                f"{self.name}: the function {self._named} returned {type(returned).__name__}; it must "
                "return a pyarrow.RecordBatch or a pyarrow.Table"
            )
        require_columns(f"{self.name}, after the function {self._named}", [ROW_ID], returned.schema.names)
        if not self.output:
            return returned
        declared = self._declared(schema)
        if set(returned.schema.names) != set(declared.names):
            raise StepError(
                f"{self.name}: the function {self._named} returned the columns "
                f"{', '.join(returned.schema.names)}; by what goes in and the option output they should be "
                f"{', '.join(declared.names)}. Name the columns that it adds in output; those that it takes "
                "away are for the step select_columns"
            )
        return returned.select(declared.names).cast(declared)

    def _declared(self, schema: pa.Schema) -> pa.Schema:
        types = {name: arrow_type(kind) for name, kind in self.output}
        stay = [field.with_type(types.pop(field.name, field.type)) for field in schema]
        return pa.schema([*stay, *(pa.field(name, kind) for name, kind in types.items())], metadata=schema.metadata)


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
