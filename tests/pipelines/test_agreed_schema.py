"""The schema that a pipeline has agreed on, as it is kept beside its runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import Memory
from pipelines import Pipeline
from pipelines.agreed_schema import Agreement, read_schema, reset_schema, schema_path
from pipelines.checks import check_before_start
from pipelines.errors import PipelineError, SchemaDriftError, StateError
from pipelines.read_state import ReadState
from pipelines.steps import SelectColumns, Split
from tests.pipelines.sample_plugins import Learn

SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string()), ("stars", pa.int64())])


def agreement(runs: Path, contract: object = "evolve", notices: list[str] | None = None, **fields: Any) -> Agreement:
    made = Agreement.of(
        Pipeline(name="nightly", schema_contract=contract, **fields),
        runs,
        (notices if notices is not None else []).append,
    )
    assert made is not None
    return made


def agree(runs: Path, schema: pa.Schema, run_id: str = "run-1") -> None:
    one = agreement(runs)
    one.conform(schema)
    one.keep(run_id)


def test_a_pipeline_without_a_contract_agrees_on_nothing(tmp_path: Path) -> None:
    assert Agreement.of(Pipeline(name="nightly"), tmp_path, print) is None


def test_the_first_run_that_ends_well_teaches_and_later_ones_renew(tmp_path: Path) -> None:
    path = schema_path(tmp_path, "nightly")
    agreement(tmp_path).conform(SCHEMA)
    assert read_schema(path) is None

    agree(tmp_path, SCHEMA)
    first = read_schema(path)
    assert first is not None
    assert (first.columns, first.run_id) == ({"text": "string", "stars": "int64"}, "run-1")

    agree(tmp_path, SCHEMA, "run-2")
    assert read_schema(path) == first

    agree(tmp_path, SCHEMA.append(pa.field("lang", pa.string())), "run-3")
    third = read_schema(path)
    assert third is not None
    assert (list(third.columns), third.run_id) == (["text", "stars", "lang"], "run-3")
    assert [one.name for one in path.parent.iterdir()] == ["schema.json"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.struct([pa.field("a", pa.map_(pa.string(), pa.decimal128(20, 3))), pa.field("b", pa.bool_())])),
        pa.timestamp("ns", "Europe/Berlin"),
        pa.dictionary(pa.int8(), pa.list_(pa.string())),
        pa.list_view(pa.int8()),
        pa.struct([("a: int64, b", pa.duration("ms"))]),
        pa.binary(16),
        pa.month_day_nano_interval(),
        pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())]),
        pa.run_end_encoded(pa.int32(), pa.string()),
        pa.null(),
    ],
    ids=str,
)
def test_any_type_comes_back_as_it_was(kind: pa.DataType, tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA.append(pa.field("über", kind)))
    frozen = agreement(tmp_path, "freeze")
    assert frozen.agreed is not None
    assert frozen.agreed.schema.field(2).type == kind
    frozen.conform(SCHEMA.append(pa.field("über", kind)))


def test_people_can_read_it(tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA)
    said = json.loads(schema_path(tmp_path, "nightly").read_text("utf-8"))
    assert list(said) == ["version", "columns", "run_id", "updated", "arrow"]
    assert said["columns"] == {"text": "string", "stars": "int64"}


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "columns": {}, "arrow": "x"}'])
def test_a_damaged_file_is_told_and_can_be_reset(text: str, tmp_path: Path) -> None:
    path = schema_path(tmp_path, "nightly")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StateError, match=r"schema\.json .*") as raised:
        agreement(tmp_path)
    assert "version" in str(raised.value) or "headrace state reset nightly --schema" in str(raised.value)
    assert reset_schema(tmp_path, "nightly")
    assert agreement(tmp_path).agreed is None


def test_types_that_were_edited_by_hand_are_told(tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA)
    path = schema_path(tmp_path, "nightly")
    path.write_text(path.read_text().replace('"int64"', '"string"'))
    with pytest.raises(StateError, match="do not say the same"):
        read_schema(path)


def test_a_drift_that_is_not_allowed_is_one_error_with_every_column_and_the_cure(tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA)
    found = pa.schema([("text", pa.string()), ("stars", pa.string()), ("lang", pa.string())])
    with pytest.raises(SchemaDriftError) as raised:
        agreement(tmp_path, "freeze").conform(found)
    assert str(raised.value).splitlines() == [
        f"the columns are not as agreed on in {schema_path(tmp_path, 'nightly')} (schema_contract: freeze):",
        "  column 'stars' changed from int64 to string",
        "  new column 'lang' (string)",
        "nothing was read or written; mend the source, or let the contract say evolve or quarantine, or agree on these "
        "columns in the next run: headrace state reset nightly --schema",
    ]


def test_an_error_fits_a_screen(tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA)
    many = pa.schema([("text", pa.string()), *((f"column_{number}", pa.int64()) for number in range(500))])
    with pytest.raises(SchemaDriftError, match="and 481 more") as raised:
        agreement(tmp_path, "freeze").conform(many)
    assert len(str(raised.value).splitlines()) < 25


def test_a_drift_is_noticed_once(tmp_path: Path) -> None:
    agree(tmp_path, SCHEMA)
    notices: list[str] = []
    one = agreement(tmp_path, notices=notices)
    for _ in range(2):
        one.conform(SCHEMA.append(pa.field("lang", pa.string())))
    assert notices == ["new column 'lang' (string): it is taken"]


def test_it_is_not_reset_while_a_run_reads_on(tmp_path: Path) -> None:
    assert not reset_schema(tmp_path, "nightly")
    agree(tmp_path, SCHEMA)
    with ReadState.hold(tmp_path, "nightly"), pytest.raises(StateError, match="another run of nightly"):
        reset_schema(tmp_path, "nightly")
    assert reset_schema(tmp_path, "nightly")
    assert read_schema(schema_path(tmp_path, "nightly")) is None


class TestBeforeTheStart:
    """What the checks make of it, so that a drift that is not allowed ends a run before Spark is there."""

    def test_a_frozen_schema_fails_with_the_other_faults(self, tmp_path: Path) -> None:
        agree(tmp_path, SCHEMA)
        source = Memory(rows=[{"text": "a", "stars": "many"}])
        frozen = agreement(tmp_path, "freeze")
        with pytest.raises(SchemaDriftError, match=r"^source: the columns are not as agreed"):
            check_before_start(Pipeline(name="nightly", source=source), None, frozen)
        pipeline = Pipeline(name="nightly", source=source, steps=(Split(test=0),), train=Learn())
        with pytest.raises(PipelineError, match="for 2 reasons:") as raised:
            check_before_start(pipeline, None, frozen)
        assert "column 'stars' changed from int64 to string" in str(raised.value)

    def test_steps_get_the_columns_that_were_agreed_on(self, tmp_path: Path) -> None:
        agree(tmp_path, SCHEMA)
        pipeline = Pipeline(
            name="nightly", source=Memory(rows=[{"text": "a"}]), steps=(SelectColumns(columns=["stars"]),)
        )
        with pytest.raises(PipelineError, match="select_columns cannot take"):
            check_before_start(pipeline, None)
        check_before_start(pipeline, None, agreement(tmp_path, "evolve"))

    def test_a_label_that_is_trained_on_cannot_be_filled(self, tmp_path: Path) -> None:
        agree(tmp_path, SCHEMA.append(pa.field("label", pa.string())))
        found = SCHEMA
        assert "label" in agreement(tmp_path, "evolve").conform(found).output.names
        with pytest.raises(SchemaDriftError, match=r"missing column 'label' .*cannot be filled"):
            agreement(tmp_path, "evolve", steps=(Split(),), train=Learn()).conform(found)
