"""The JSON Schema of a spec accepts what loads, refuses the commonest faults, and says what each option is."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipelines.plugins import KINDS, STEP, Registry
from pipelines.spec_file import read_yaml
from pipelines.spec_schema import first_sentence, json_schema, option_texts
from pipelines.steps import WordCount
from tests.pipelines.sample_plugins import Shorten

EXAMPLES = Path(__file__).parents[2] / "pipelines" / "examples"
SCHEMA: dict[str, Any] = json_schema()


def accepts(spec: object) -> bool:
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(spec))


def test_it_is_a_schema_and_json() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_accepted(example: Path) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(read_yaml(example.read_text(encoding="utf-8"), "x").value)
    assert accepts({"name": "x"})


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "x", "steps": ["split", {"type": "word_count", "min": 3}, "acme.steps:Mine"]},
        {"name": "x", "steps": [{"type": "acme.steps:Mine", "anything": 1}], "sink": None},
        {"name": "x", "steps": [{"type": "map_labels", "mapping": {"a": "b", "c": None}}]},
        {"name": "x", "session": {"spark_conf": {"spark.sql.shuffle.partitions": 8}}},
        {"name": "x", "source": {"type": "text_lines", "files": {"a": "a.txt"}}},
        {"name": "x", "source": {"type": "memory", "rows": [{"text": "a"}]}},
        {"name": "x", "steps": [{"type": "arrow_function", "function": "acme:clean"}]},
        {"name": "x", "schema_contract": "freeze"},
        {"name": "x", "schema_contract": {"types": "quarantine"}},
    ],
)
def test_what_loads_is_accepted(spec: object) -> None:
    assert accepts(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"name": "My News"},
        {"name": "x", "sesion": {}},
        {"name": "x", "version": 2},
        {"name": "x", "steps": ["word_cout"]},
        {"name": "x", "steps": ["sql"]},
        {"name": "x", "steps": [{"type": "word_count", "mn": 3}]},
        {"name": "x", "steps": [{"type": "word_count", "min": "many"}]},
        {"name": "x", "steps": [{"min": 3}]},
        {"name": "x", "source": {"type": "text_folder"}},
        {"name": "x", "source": {"type": "word_count"}},
        {"name": "x", "schema_contract": "frozen"},
        {"name": "x", "schema_contract": {"types": "frozen"}},
        {"name": "x", "schema_contract": {"columns": "freeze"}},
    ],
)
def test_what_does_not_load_is_refused(spec: object) -> None:
    assert not accepts(spec)


def test_every_plugin_and_every_option_is_described() -> None:
    registry = Registry.installed()
    for kind in KINDS:
        for name in registry.names(kind):
            definition = SCHEMA["$defs"][f"{kind.name}.{name}"]
            assert definition["description"], name
            assert [key for key, one in definition["properties"].items() if "description" not in one] == [], name
    assert all(one["description"] for one in SCHEMA["properties"].values())


def test_descriptions_come_from_the_docstrings() -> None:
    assert first_sentence(Shorten) == "Cuts texts off."
    assert option_texts(Shorten) == {"at": "how many characters are kept."}
    assert option_texts(WordCount)["max"] == "the most; None sets no limit."


def test_options_of_a_contract_are_described_in_each_plugin() -> None:
    assert "quarantine" in SCHEMA["$defs"]["source.csv"]["properties"]["on_bad_rows"]["description"]


def test_a_plugin_that_cannot_be_imported_is_a_choice_all_the_same() -> None:
    broken = Registry((EntryPoint("broken", "no_such_module:X", STEP.group),))
    schema = json_schema(broken)
    step = {"name": "x", "steps": [{"type": "broken", "anything": 1}]}
    assert jsonschema.Draft202012Validator(schema).is_valid(step)
    assert not jsonschema.Draft202012Validator(schema).is_valid({"name": "x", "steps": [{"type": "brokn"}]})
