"""The columns of a batch: finding those that a step's options name, and putting new ones in."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import pyarrow as pa

from connectors.source import TEXT
from pipelines.errors import StepError

SPLIT = "split"
"""The column that says of each row which split it is in: one of `SPLITS`."""

SPLITS = ("train", "validation", "test")
"""What a row's split can be."""


def require_columns(step: str, wanted: Sequence[str], present: Sequence[str]) -> None:
    """Check that the columns which a step needs are among the columns of the rows.

    Args:
        step: the step's name, for the message.
        wanted: names of the columns that the step's options name.
        present: names of the columns that the rows have.

    Raises:
        StepError: one is not there; the message suggests the nearest that is.
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        near = difflib.get_close_matches(missing[0], present, n=1)
        suggestion = f"; did you mean {near[0]!r}?" if near else ""
        named = ", ".join(map(repr, missing))
        raise StepError(
            f"{step}: the rows have no column {named}{suggestion}; they have: {', '.join(present)}. Name one "
            "of these, or have the source read the column"
        )


def quoted(name: str) -> str:
    """Return a column's name as Spark wants it where a dot in it is to mean nothing."""
    return "`" + name.replace("`", "``") + "`"


def with_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """Return the batch with a column of these values: in the place of the one of that name, or behind the others."""
    at = batch.schema.get_field_index(name)
    field = pa.field(name, values.type)
    return batch.append_column(field, values) if at < 0 else batch.set_column(at, field, values)


def with_texts(batch: pa.RecordBatch, texts: pa.Array) -> pa.RecordBatch:
    """Return the batch with these for its texts."""
    at = batch.schema.get_field_index(TEXT)
    return batch.set_column(at, batch.schema.field(at).with_type(pa.string()), texts)
