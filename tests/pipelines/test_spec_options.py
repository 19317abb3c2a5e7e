"""Every option of every built-in counts: changing it changes equality and the hash, and YAML says it as Python does.

The options are walked, so a new plug-in or option is tested as soon as it exists. Where another valid value cannot be
guessed from an option's type, it stands in `VALUES`; what a plug-in cannot do without stands in `NEEDED`.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pipelines import Pipeline
from pipelines.plugins import KINDS, STEP, Kind, Registry
from pipelines.schema_contract import SchemaContract
from pipelines.session_options import SessionOptions
from pipelines.spec import parse
from pipelines.spec_document import is_mapping_option
from pipelines.spec_file import write_yaml
from pipelines.steps import Split
from tests.pipelines.sample_plugins import Learn

SAMPLES = "tests.pipelines.sample_plugins"

NEEDED: dict[str, dict[str, object]] = {
    "source.archives": {"path": "/data"},
    "source.arrow": {"path": "/data"},
    "source.csv": {"path": "/data"},
    "source.huggingface": {"name": "acme/reviews"},
    "source.delta_table": {"path": "/data"},
    "source.iceberg_table": {"table": "news.articles"},
    "source.jdbc": {"url": "jdbc:x://host/news", "driver": "org.x.Driver", "table": "articles"},
    "source.json_lines": {"path": "/data"},
    "source.kafka": {"bootstrap_servers": "localhost:9092", "topic": "news"},
    "source.lance": {"path": "/data"},
    "source.memory": {"rows": [{"text": "a", "other": "b"}]},
    "source.parquet": {"path": "/data"},
    "source.postgres": {"database": "news", "user": "reader", "table": "articles"},
    "source.rest": {"url": "https://example.com/reviews"},
    "source.spark_table": {"table": "news"},
    "source.text_folder": {"path": "/data"},
    "source.text_lines": {"path": "/data"},
    "step.arrow_function": {"function": f"{SAMPLES}:identity"},
    "step.chunk": {"size": 4},
    "step.count_tokens": {"tokenizer": "acme/encoder"},
    "step.decontaminate": {"evaluation": "/data"},
    "step.flagged_words": {"words": ["bad"]},
    "step.keywords": {"words": ["good"]},
    "step.group_split": {"column": "author"},
    "step.join_table": {"path": "/data", "on": ["a"]},
    "step.map_labels": {"mapping": {"a": "b"}},
    "step.model_quality": {"bundle": "/data", "label": "good"},
    "step.python_row": {"function": f"{SAMPLES}:identity"},
    "step.sample": {"share": 0.5},
    "step.select_columns": {"columns": ["a", "b"]},
    "step.sql": {"query": "SELECT * FROM rows"},
    "step.strip_boilerplate": {"source_column": "site"},
    "step.time_split": {"column": "at"},
    "step.tokenize": {"tokenizer": "acme/encoder"},
    "trainer.text_classifier": {"encoder": "acme/encoder"},
    "sink.csv": {"path": "/out"},
    "sink.delta_table": {"path": "/out"},
    "sink.iceberg_table": {"table": "news.out"},
    "sink.json_lines": {"path": "/out"},
    "sink.lance": {"path": "/out"},
    "sink.parquet": {"path": "/out"},
    "sink.postgres": {"database": "news", "user": "writer", "table": "articles"},
}

Change = tuple[dict[str, object], object]
"""The options that must be given (or, as None, left out) beside another value of an option, and that value."""

VALUES: dict[str, Change] = {
    "source.archives.encoding": ({}, "latin-1"),
    "source.archives.max_document_bytes": ({}, 1000),
    "source.csv.columns": ({"header": False}, ["a", "b"]),
    "source.csv.delimiter": ({}, ";"),
    "source.csv.encoding": ({}, "latin-1"),
    "source.csv.escape": ({}, "\\"),
    "source.csv.header": ({"columns": []}, False),
    "source.csv.quote": ({}, "'"),
    "source.huggingface.name": ({}, "acme/news"),
    "source.huggingface.path": ({"name": None}, "/data"),
    "source.huggingface.token": ({}, "${env:TOKEN}"),
    "source.delta_table.timestamp": ({}, datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc)),
    "source.delta_table.version": ({}, 7),
    "source.iceberg_table.as_of": ({}, datetime(2026, 2, 3, 4, 5, tzinfo=timezone.utc)),
    "source.iceberg_table.snapshot_id": ({}, 2**62),
    "source.iceberg_table.table": ({}, "news.other"),
    "source.jdbc.options": ({}, {"connectTimeout": 9, "storeKey": "${env:KEY}"}),
    "source.jdbc.password": ({}, "${env:PASSWORD}"),
    "source.jdbc.query": ({"table": None}, "SELECT 1"),
    "source.jdbc.url": ({}, "jdbc:y://host/news"),
    "source.jdbc.user": ({}, "${env:USER}"),
    "source.json_lines.encoding": ({}, "latin-1"),
    "source.json_lines.types": ({}, {"a": "int64"}),
    "source.kafka.encoding": ({}, "latin-1"),
    "source.kafka.end": ({}, "0:1200, 1:900"),
    "source.kafka.metadata": ({}, ["key", "offset"]),
    "source.kafka.password": ({"security_protocol": "SASL_SSL", "user": "me"}, "${env:PASSWORD}"),
    "source.kafka.ssl_ca": ({"security_protocol": "SSL"}, "/ca.pem"),
    "source.kafka.ssl_certificate": ({"security_protocol": "SSL"}, "/me.pem"),
    "source.kafka.ssl_key": ({"security_protocol": "SSL"}, "/me.key"),
    "source.kafka.ssl_key_password": ({"security_protocol": "SSL"}, "${env:PASSWORD}"),
    "source.kafka.start": ({}, "2026-01-31T00:00:00Z"),
    "source.kafka.types": ({}, {"a": "int64"}),
    "source.kafka.user": ({"security_protocol": "SASL_SSL", "password": "${env:PASSWORD}"}, "me"),
    "source.lance.version": ({}, "first"),
    "source.memory.rows": ({}, [{"text": "b", "other": "b"}]),
    "source.rest.auth": ({}, {"type": "basic", "user": "ann", "password": "${env:PASSWORD}"}),
    "source.rest.cursor_column": ({"id_column": "id"}, "at"),
    "source.rest.for_each": ({"url": "https://example.com/{value}"}, ["a", "b"]),
    "source.rest.headers": ({}, {"X-Key": "${env:KEY}", "X-Open": "yes"}),
    "source.rest.late": ({"id_column": "id", "cursor_column": "at"}, 3.0),
    "source.rest.newest_first": ({"id_column": "id", "cursor_column": "at"}, True),
    "source.rest.pages": ({}, {"type": "cursor", "next": "next"}),
    "source.rest.since_parameter": ({"id_column": "id", "cursor_column": "at"}, "since"),
    "source.rest.types": ({}, {"text": "string"}),
    "source.rest.until_parameter": ({"id_column": "id", "cursor_column": "at"}, "until"),
    "source.rest.url": ({}, "https://example.com/news"),
    "source.rest.value_column": ({"url": "https://example.com/{value}", "for_each": ["a"]}, "product"),
    "source.spark_table.format": ({"table": None}, "orc"),
    "source.spark_table.options": (
        {"table": None, "format": "jdbc"},
        {"password": "${env:PASSWORD}", "fetchsize": 9},
    ),
    "source.spark_table.path": ({"table": None, "format": "orc"}, "/data"),
    "source.spark_table.query": ({"table": None}, "SELECT 1"),
    "source.text_folder.encoding": ({}, "latin-1"),
    "source.text_lines.encoding": ({}, "latin-1"),
    "source.text_lines.files": ({"path": None}, {"good": "/good.txt", "bad": "/bad.txt"}),
    "step.arrow_function.function": ({}, "builtins:len"),
    "step.arrow_function.output": ({}, {"length": "int64"}),
    "step.select_columns.columns": ({}, ["a"]),
    "step.split.values": ({"column": "part"}, {"dev": "validation"}),
    "trainer.text_classifier.encoder": ({"frozen": False}, {"layers": 2}),
    "trainer.text_classifier.metric": ({}, f"{SAMPLES}:gain"),
    "trainer.text_classifier.token_dropout": ({"frozen": False}, 0.1),
    "session.executor_memory": ({}, "2g"),
    "session.object_store_memory": ({}, "2g"),
    "session.spark_conf": ({}, {"spark.hadoop.fs.s3a.secret.key": "${env:KEY}"}),
    "sink.csv.delimiter": ({}, ";"),
    "sink.iceberg_table.table": ({}, "news.other"),
}
VALUES |= {
    "step.chunk.overlap": ({}, 2),
    "step.chunk.tokenizer": ({"unit": "tokens"}, "acme/encoder"),
    "step.chunk.unit": ({"tokenizer": "acme/encoder"}, "tokens"),
    "step.length.tokenizer": ({"unit": "tokens"}, "acme/encoder"),
    "step.length.unit": ({}, "bytes"),
    "step.ngram_features.min_n": ({}, 2),
    "step.python_row.function": ({}, "builtins:len"),
    "step.python_row.output": ({}, {"length": "int64"}),
    "step.gopher_repetition.max_duplicate_ngrams": ({}, [[5, 0.5]]),
    "step.gopher_repetition.max_top_ngrams": ({}, [[2, 0.5], [3, 0.25]]),
    "step.redact_pii.kinds": ({}, ["email", "ip"]),
    "step.redact_pii.salt": ({}, "${env:SALT}"),
}
VALUES |= {f"{kind}.postgres.password": ({}, "${env:PASSWORD}") for kind in ("source", "sink")}
_STORAGE = {"endpoint": "http://127.0.0.1:9000", "access_key_id": "A", "secret_access_key": "${env:KEY}"}
VALUES |= {
    f"{name}.storage": ({}, _STORAGE)
    for name in (
        "source.archives",
        "source.arrow",
        "source.csv",
        "source.json_lines",
        "source.parquet",
        "source.text_folder",
        "source.text_lines",
        "sink.csv",
        "sink.json_lines",
        "sink.parquet",
    )
}


def built_ins() -> Iterator[tuple[str, Kind, type[BaseModel]]]:
    registry = Registry.installed()
    for kind in KINDS:
        ours = {one.name for one in registry.entry_points if one.dist is not None and one.dist.name == "headrace"}
        for name in registry.names(kind):
            if name in ours:
                yield f"{kind.name}.{name}", kind, registry.find(kind, name)


BUILT_INS = {name: (kind, plugin) for name, kind, plugin in built_ins()}
OPTIONS = [(name, option) for name, (_, plugin) in BUILT_INS.items() for option in plugin.model_fields]


def pipeline_with(kind: Kind, plugin: BaseModel) -> Pipeline:
    options: dict[str, Any] = {kind.section: (plugin,) if kind is STEP else plugin}
    if kind.section == "train":
        options["steps"] = (Split(),)
    return Pipeline(name="x", **options)


def other_value(name: str, option: str, field: FieldInfo, now: object) -> Change:
    """Return another valid value of an option, and what must go with it."""
    key = f"{name}.{option}"
    if key in VALUES:
        return VALUES[key]
    value = guess(field.annotation, now)
    if value is None:
        pytest.fail(f"no other value of {key} can be guessed from {field.annotation}: add one to VALUES")
    return {}, value


def guess(annotation: object, now: object) -> object:
    if typing.get_origin(annotation) is typing.Annotated:
        return guess(typing.get_args(annotation)[0], now)
    if is_mapping_option(annotation):
        return {"some": "other"}
    if annotation is bool:
        return not now
    if annotation is int:
        return 3 if now is None else typing.cast(int, now) + 1
    if annotation is float:
        return 0.25 if not now else typing.cast(float, now) / 2
    if annotation is str:
        return f"{now or ''}other"
    if typing.get_origin(annotation) is Literal:
        return next(one for one in typing.get_args(annotation) if one != now)
    if annotation == tuple[str, ...]:
        return ["some", "other"]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        guesses = [guess(one, now) for one in typing.get_args(annotation) if one is not type(None)]
        return next((one for one in guesses if one is not None), None)
    return None


def given(options: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}


def test_the_tables_name_nothing_that_is_not_there() -> None:
    known = {f"{name}.{option}" for name, option in OPTIONS} | {f"session.{one}" for one in SessionOptions.model_fields}
    assert VALUES.keys() <= known
    assert NEEDED.keys() <= BUILT_INS.keys()


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=[f"{name}.{option}" for name, option in OPTIONS])
def test_an_option_counts_and_yaml_says_it_as_python_does(name: str, option: str) -> None:
    kind, plugin = BUILT_INS[name]
    needed = NEEDED.get(name, {})
    try:
        start = plugin.model_validate(needed)
        beside, value = other_value(name, option, plugin.model_fields[option], getattr(start, option))
        before = pipeline_with(kind, _made(plugin, given({**needed, **beside}), option, start))
        options = given({**needed, **beside, option: value})
        after = pipeline_with(kind, plugin.model_validate(options))
    except ValidationError as error:
        pytest.fail(f"{name}.{option}: add what it needs to NEEDED, or a valid value to VALUES: {error}")

    assert after != before
    assert after.spec_hash != before.spec_hash
    assert parse(after.to_yaml()) == after
    entry = {"type": name.partition(".")[2], **options}
    section = {kind.section: [entry] if kind is STEP else entry}
    split = {"steps": ["split"]} if kind.section == "train" else {}
    assert parse(write_yaml({"name": "x", **split, **section})) == after


def _made(plugin: type[BaseModel], options: dict[str, object], option: str, start: BaseModel) -> BaseModel:
    """Return the plug-in before the change; as it started where what goes with the new value is no use without it."""
    try:
        return plugin.model_validate(options)
    except ValidationError:
        assert option not in options
        return start


@pytest.mark.parametrize("option", SessionOptions.model_fields)
def test_an_option_of_the_session_counts(option: str) -> None:
    beside, value = other_value(
        "session", option, SessionOptions.model_fields[option], getattr(SessionOptions(), option)
    )
    after = Pipeline(name="x", session=SessionOptions.model_validate({**beside, option: value}))
    assert after != Pipeline(name="x")
    assert after.spec_hash != Pipeline(name="x").spec_hash
    assert parse(after.to_yaml()) == after
    assert parse(write_yaml({"name": "x", "session": {**beside, option: value}})) == after


CHANGED: dict[str, dict[str, Any]] = {
    "version": {},
    "name": {"name": "y"},
    "source": {"source": BUILT_INS["source.csv"][1].model_validate({"path": "/data"})},
    "steps": {"steps": (Split(),)},
    "train": {"train": Learn(), "steps": (Split(),)},
    "sink": {"sink": BUILT_INS["sink.csv"][1].model_validate({"path": "/out"})},
    "session": {"session": SessionOptions(executors=2)},
    "checkpoint": {"checkpoint": "s3://bucket/blocks"},
    "baselines": {"baselines": False},
    "incremental": {"incremental": True},
    "schema_contract": {"schema_contract": "freeze"},
}


@pytest.mark.parametrize("option", [one for one in Pipeline.model_fields if one != "version"])
def test_an_option_of_the_pipeline_counts(option: str) -> None:
    before = Pipeline.model_validate(
        {"name": "x", **{key: one for key, one in CHANGED[option].items() if key != option}}
    )
    after = Pipeline.model_validate({"name": "x", **CHANGED[option]})
    assert after != before
    assert after.spec_hash != before.spec_hash
    assert parse(after.to_yaml()) == after


@pytest.mark.parametrize("kind", SchemaContract.model_fields)
def test_an_option_of_the_schema_contract_counts(kind: str) -> None:
    before, after = (Pipeline(name="x", schema_contract=contract) for contract in ("evolve", {kind: "quarantine"}))
    assert after != before
    assert after.spec_hash != before.spec_hash
    assert parse(after.to_yaml()) == after
    assert parse(write_yaml({"name": "x", "schema_contract": {kind: "quarantine"}})) == after


def test_there_is_one_version_so_that_it_cannot_change() -> None:
    assert CHANGED.keys() == Pipeline.model_fields.keys()
    with pytest.raises(ValidationError, match="known: 1;"):
        Pipeline(name="x", version=2)
