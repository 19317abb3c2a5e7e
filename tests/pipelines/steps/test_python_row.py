from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipelines.errors import StepError
from pipelines.steps import PythonRow
from tests.pipelines.steps.applied import applied, rules_of

Row = dict[str, Any]


def loud(row: Row) -> Row | None:
    return row | {"text": row["text"].upper()} if row["text"] else None


def test_rows_are_changed_and_rejected_by_the_functions_name() -> None:
    outcome = applied(PythonRow(function=loud), ["a", "", "c"], n=pa.array([1, 2, 3], pa.int8()))
    assert outcome.kept.to_pylist() == [{"row_id": "a", "text": "A", "n": 1}, {"row_id": "c", "text": "C", "n": 3}]
    assert outcome.kept.schema.field("n").type == pa.int8()
    assert rules_of(outcome) == {"b": ("loud", "")}
    assert PythonRow(function=loud).function == f"{__name__}:loud"


def test_columns_are_added_as_they_are_declared() -> None:
    step = PythonRow(function=lambda row: {"text": row["text"], "length": len(row["text"])}, output={"length": "int16"})
    kept = applied(step, ["ab", "c"], n=pa.array([1, 2])).kept
    assert kept.column("length").to_pylist() == [2, 1]
    assert kept.column("n").to_pylist() == [None, None]
    assert applied(step, [], n=pa.array([], pa.int64())).kept.schema == kept.schema


def test_a_row_that_it_fails_on_is_rejected_alone() -> None:
    outcome = applied(PythonRow(function=lambda row: row | {"text": str(1 / len(row["text"]))}), ["a", "", "ab"])
    assert outcome.kept.column("text").to_pylist() == ["1.0", "0.5"]
    assert rules_of(outcome) == {"b": ("error", "ZeroDivisionError: division by zero")}


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda row: 3, "returned int"),
        (lambda row: row | {"new": 1}, "say its type in the option output"),
        (lambda row: row | {"row_id": "z"}, "changed the row_id of 'a'"),
    ],
)
def test_what_is_no_row_is_told(function: Any, said: str) -> None:
    with pytest.raises(StepError, match=said):
        applied(PythonRow(function=function), ["a"])
