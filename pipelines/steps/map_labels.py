"""Renaming, merging and leaving out labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import WithJsonSchema, field_validator

from connectors.options import Items
from connectors.source import LABEL
from pipelines.errors import StepError
from pipelines.steps.columns import require_columns
from pipelines.steps.step import Outcome, RowStep

_SCHEMA = {"type": "object", "additionalProperties": {"type": ["string", "null"]}, "minProperties": 1}


class MapLabels(RowStep):
    """Gives labels new names; several may be given the same.

    A label that is mapped to null is left out: its rows are rejected under ``dropped_label``. List labels are
    not mapped.

    Attributes:
        mapping: new labels by old ones; null leaves the label's rows out.
        unknown: what to do with a label that `mapping` does not name, a null label included: ``keep`` leaves
            it as it is, ``reject`` rejects its row under ``unknown_label``, ``fail`` ends the run.
    """

    training_only: ClassVar[bool] = True

    mapping: Annotated[Items[str | None], WithJsonSchema(_SCHEMA)]
    unknown: Literal["keep", "reject", "fail"] = "keep"

    @field_validator("mapping", mode="before")
    @classmethod
    def _numbers_are_labels(cls, value: object) -> object:
        # YAML reads 0 and 1 as numbers, and labels are strings wherever they come from.
        if isinstance(value, Mapping):
            return {_label(old): _label(new) for old, new in value.items()}
        return value

    @field_validator("mapping")
    @classmethod
    def _maps_something(cls, value: tuple[tuple[str, str | None], ...]) -> tuple[tuple[str, str | None], ...]:
        if not value:
            raise ValueError(
                "the mapping is empty; name at least one label, like {pos: positive}, or leave the step out"
            )
        return value

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows with their new labels.

        Raises:
            StepError: there is no column ``label``, it holds lists, or a label is unknown and `unknown` is
                ``fail``.
        """
        require_columns(self.name, [LABEL], batch.schema.names)
        labels = batch.column(LABEL)
        if pa.types.is_list(labels.type) or pa.types.is_large_list(labels.type):
            raise StepError(f"{self.name}: the rows have lists of labels, and only single labels can be mapped")
        labels = labels.cast(pa.string())
        place = pc.index_in(labels, value_set=pa.array([old for old, _ in self.mapping], pa.string()))
        known = pc.is_valid(place)
        mapped = pa.array([new for _, new in self.mapping], pa.string()).take(place)
        if self.unknown == "fail":
            self._check_known(labels.filter(pc.invert(known)))
        rules = pc.if_else(pc.and_(known, pc.is_null(mapped)), "dropped_label", pa.scalar(None, pa.string()))
        if self.unknown == "reject":
            rules = pc.if_else(known, rules, "unknown_label")
        index = batch.schema.get_field_index(LABEL)
        field = batch.schema.field(index).with_type(pa.string())
        renamed = batch.set_column(index, field, pc.if_else(known, mapped, labels))
        return Outcome.mark(renamed, rules, labels)

    def _check_known(self, unknown: pa.Array) -> None:
        if len(unknown):
            labels = ", ".join(sorted(repr(label) for label in unknown.unique().to_pylist()))
            raise StepError(
                f"{self.name}: the mapping does not name {labels}; it names: "
                f"{', '.join(repr(old) for old, _ in self.mapping)}. Add it, or set unknown: keep or reject"
            )


def _label(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"{value} is a truth value and no label; put it in quotes if that is how the label is written")
    return str(value) if isinstance(value, int) else value
