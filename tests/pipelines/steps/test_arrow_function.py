from __future__ import annotations

import pickle

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import ValidationError

from pipelines.errors import LawError, StepError
from pipelines.steps import ArrowFunction
from pipelines.steps.kernel import run_step

BATCH = pa.RecordBatch.from_pydict({"row_id": ["1", "2", "3"], "text": ["a", "bb", "ccc"]})


def long_only(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(pc.greater(pc.utf8_length(batch["text"]), 1))


def with_length(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.append_column("length", pc.utf8_length(batch["text"]))


def test_rows_left_out_are_rejected_under_the_name_of_the_function() -> None:
    outcome = run_step(ArrowFunction(function=long_only), BATCH)
    assert outcome.kept.column("row_id").to_pylist() == ["2", "3"]
    assert outcome.rejected.to_pylist() == [{"row_id": "1", "rule": "long_only", "value": "a"}]


def test_rows_left_out_are_rejected_under_the_rule_given() -> None:
    outcome = run_step(ArrowFunction(function=long_only, rule="too_short"), BATCH)
    assert outcome.rejected.column("rule").to_pylist() == ["too_short"]


def test_columns_can_be_added_and_are_seen_beforehand() -> None:
    step = ArrowFunction(function=with_length)
    assert run_step(step, BATCH).kept.column("length").to_pylist() == [1, 2, 3]
    assert step.output_schema(BATCH.schema).names == ["row_id", "text", "length"]


def test_a_lambda_and_a_table_will_do() -> None:
    step = ArrowFunction(function=lambda batch: pa.Table.from_batches([batch, batch]).slice(2, 2))
    outcome = run_step(step, BATCH)
    assert outcome.kept.column("row_id").to_pylist() == ["3", "1"]
    assert outcome.rejected.to_pylist() == [{"row_id": "2", "rule": "lambda", "value": "bb"}]


def test_leaving_out_all_rows_is_allowed() -> None:
    outcome = run_step(ArrowFunction(function=lambda batch: pa.Table.from_batches([batch]).slice(0, 0)), BATCH)
    assert (outcome.kept.num_rows, outcome.rejected.num_rows) == (0, 3)


def test_declared_columns_are_cast_and_need_no_call_without_rows() -> None:
    def first_length(batch: pa.RecordBatch) -> pa.RecordBatch:
        first = len(batch["text"][0].as_py())
        return batch.append_column("first", pa.array([first] * batch.num_rows))

    step = ArrowFunction(function=first_length, output={"first": "int16"})
    expected = BATCH.schema.append(pa.field("first", pa.int16()))
    assert step.output_schema(BATCH.schema) == expected
    assert run_step(step, BATCH).kept.schema == expected
    with pytest.raises(StepError, match=r"fails when it is called with no rows.*say which columns"):
        ArrowFunction(function=first_length).output_schema(BATCH.schema)


def test_columns_that_were_not_declared_are_an_error() -> None:
    with pytest.raises(StepError, match=r"returned the columns row_id, text, length; .* should be row_id, text, size"):
        run_step(ArrowFunction(function=with_length, output={"size": "int32"}), BATCH)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda batch: batch.to_pylist(), "returned list; it must return a pyarrow.RecordBatch"),
        (lambda batch: batch.select(["text"]), "no column 'row_id'"),
    ],
)
def test_what_is_no_batch_of_rows_is_an_error(function: object, message: str) -> None:
    with pytest.raises(StepError, match=message):
        run_step(ArrowFunction(function=function), BATCH)


def test_making_up_rows_breaks_the_law() -> None:
    with pytest.raises(LawError, match="made up rows: of 3 it kept 6"):
        run_step(ArrowFunction(function=lambda batch: pa.Table.from_batches([batch, batch])), BATCH)


def test_a_function_and_its_name_are_the_same_option() -> None:
    named = ArrowFunction(function=f"{__name__}:long_only")
    assert ArrowFunction(function=long_only) == named
    assert named.model_dump()["function"] == f"{__name__}:long_only"
    assert run_step(pickle.loads(pickle.dumps(named)), BATCH).kept.num_rows == 2


def test_a_function_without_a_name_to_import_stays_itself() -> None:
    function = lambda batch: batch  # noqa: E731
    assert ArrowFunction(function=function).function is function


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("long_only", "write module:function"),
        ("no_such_module:f", "importing no_such_module failed with ModuleNotFoundError"),
        ("shutil:mve", "shutil has no mve; it has: .*move"),
        ("sys:path", "'sys:path' is of type list, and not a function"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ArrowFunction(function=name)


def test_an_unknown_type_is_an_error_that_names_some() -> None:
    with pytest.raises(ValidationError, match=r"'integer' is no name of an Arrow type.*int32, int64"):
        ArrowFunction(function=long_only, output={"n": "integer"})
    assert ArrowFunction(function=long_only, output={"tags": "list<string>"}).output_schema(BATCH.schema).field(
        "tags"
    ).type == pa.list_(pa.string())
