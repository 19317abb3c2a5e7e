"""Finding the columns that a step's options name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

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
