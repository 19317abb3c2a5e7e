from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import SelectColumns

SCHEMA = pa.schema([(name, pa.string()) for name in ("row_id", "title", "text", "author", "label", "split")])


def test_named_columns_and_the_needed_ones_stay_in_their_order() -> None:
    kept = SelectColumns(columns=("title",)).output_schema(SCHEMA)
    assert kept.names == ["row_id", "title", "text", "label", "split"]


def test_all_rows_stay() -> None:
    batch = pa.RecordBatch.from_pydict({"row_id": ["1", "2"], "text": ["a", "b"], "n": [1, 2], "m": [3, 4]})
    outcome = SelectColumns(columns=("m",)).apply(batch.slice(1))
    assert outcome.kept.to_pylist() == [{"row_id": "2", "text": "b", "m": 4}]
    assert outcome.rejected.num_rows == 0


def test_a_column_that_is_absent_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(StepError, match=r"no column 'titel'; did you mean 'title'\?; they have: row_id, title"):
        SelectColumns(columns=("titel",)).output_schema(SCHEMA)


def test_no_columns_or_one_twice_is_an_error() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        SelectColumns(columns=())
    with pytest.raises(ValidationError, match="'a' is named twice"):
        SelectColumns(columns=("a", "b", "a"))


def test_it_has_no_part_in_scoring_where_texts_come_without_other_columns() -> None:
    assert SelectColumns.training_only
