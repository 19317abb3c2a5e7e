"""The option in which a pipeline says what its columns may do from one run to the next."""

from __future__ import annotations

import pytest

from pipelines import Pipeline, SpecError
from pipelines.schema_contract import SchemaContract
from pipelines.spec import parse


def test_a_word_stands_for_all_three_kinds() -> None:
    frozen = Pipeline(name="x", schema_contract="freeze")
    listed = Pipeline(
        name="x", schema_contract={"new_columns": "freeze", "missing_columns": "freeze", "types": "freeze"}
    )
    assert frozen == listed
    assert frozen.spec_hash == listed.spec_hash
    assert "schema_contract: freeze\n" in listed.to_yaml()
    assert parse("{name: x, schema_contract: freeze}") == frozen


def test_what_a_mapping_leaves_out_evolves() -> None:
    pipeline = parse("{name: x, schema_contract: {types: quarantine}}")
    assert pipeline.schema_contract == SchemaContract(types="quarantine")
    assert pipeline.schema_contract.new_columns == pipeline.schema_contract.missing_columns == "evolve"
    assert str(pipeline.schema_contract) == "new columns: evolve, missing columns: evolve, types: quarantine"
    assert parse(pipeline.to_yaml()) == pipeline


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert Pipeline(name="x").schema_contract is None
    assert "schema_contract" not in Pipeline(name="x").to_yaml()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("frezze", r"schema_contract: must be one of evolve, freeze, quarantine, .*; did you mean 'freeze'\?"),
        (
            "{types: frezze}",
            r"schema_contract\.types: must be 'evolve', 'freeze' or 'quarantine'.*did you mean 'freeze'",
        ),
        ("{type: freeze}", r"schema_contract\.type: unknown option 'type' of schema_contract; did you mean 'types'\?"),
        ("3", "schema_contract: must be a mapping, not 3"),
    ],
)
def test_what_is_no_contract_is_told_at_its_place(written: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        parse(f"name: x\nschema_contract: {written}\n")
