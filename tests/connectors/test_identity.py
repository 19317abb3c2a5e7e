"""What tells a source or a sink from others: where its rows are and what a cursor counts, and never a secret."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from connectors import (
    DeltaTableSink,
    HuggingFaceDataset,
    IcebergTableSink,
    JsonLines,
    ParquetSource,
    Postgres,
    PostgresSink,
    Rest,
    Secret,
    SparkSource,
    TextLines,
)
from connectors.options import Items
from connectors.secret import SettingValue
from connectors.source import Partition, PartitionedSource
from pipelines.plugins import SINK, SOURCE, Registry

POSTGRES = {"host": "db", "database": "shop", "user": "me", "table": "reviews", "cursor_column": "at"}
KEYS = {"access_key_id": "A", "secret_access_key": "${env:KEY}"}


class Plain(PartitionedSource):
    """A third party's, which says nothing of its identity."""

    place: str
    size: int = 3
    password: Secret | None = None
    headers: Items[SettingValue] = ()

    def read_schema(self) -> pa.Schema:
        raise NotImplementedError

    def partitions(self) -> list[Partition]:
        raise NotImplementedError

    def read(self, partition: Partition) -> Any:
        raise NotImplementedError


def test_only_what_says_which_rows_counts() -> None:
    plain = Postgres(**POSTGRES).identity()
    assert plain == {"host": "db", "database": "shop", "table": "reviews", "cursor_column": "at"}
    tuned = {"partitions_wanted": 2, "late": 60, "user": "you", "password": "${env:P}", "on_bad_rows": "fail"}
    assert Postgres(**{**POSTGRES, **tuned}).identity() == plain
    for changed in ({"table": "orders"}, {"cursor_column": "id"}, {"host": "db2"}, {"port": 5433}, {"id_column": "k"}):
        assert Postgres(**{**POSTGRES, **changed}).identity() != plain


def test_a_store_counts_and_its_keys_do_not() -> None:
    at = {"path": "s3://bucket/in"}
    assert ParquetSource(**at, storage=KEYS).identity() == ParquetSource(**at).identity() == at
    elsewhere = ParquetSource(**at, storage={**KEYS, "endpoint": "https://elsewhere"}).identity()
    assert elsewhere == {**at, "storage": {"endpoint": "https://elsewhere"}}


def test_the_label_of_files_counts() -> None:
    assert TextLines(files={"good": "/good.txt"}).identity() == {"files": {"good": "/good.txt"}}


def test_the_field_that_a_cursor_is_of_counts_whatever_it_is_called() -> None:
    options = {"url": "https://example.com/reviews", "cursor_column": "at", "id_column": "id"}
    first, second = (Rest(**options, fields={"at": path, "id": "id"}) for path in ("created", "changed"))
    assert first.identity() != second.identity()
    assert Rest(**options, parameters={"key": "${env:KEY}", "state": "open"}).identity()["parameters"] == {
        "state": "open"
    }


def test_a_table_of_the_same_name_in_another_store_is_another_one() -> None:
    here, there = (
        DeltaTableSink(path="s3://b/t", storage_options={"aws_endpoint_url": f"https://{host}", "timeout": timeout})
        for host, timeout in (("here", "1s"), ("there", "2s"))
    )
    assert here.identity() == {"path": "s3://b/t", "aws_endpoint_url": "https://here"}
    assert here.identity() != there.identity()
    catalog = {"type": "sql", "uri": "sqlite:////catalog.db", "warehouse": "/house", "s3.region": "x"}
    assert IcebergTableSink(table="a.b", properties=catalog).identity() == {
        "table": "a.b",
        "uri": "sqlite:////catalog.db",
        "warehouse": "/house",
    }


def test_how_a_sink_writes_does_not_count() -> None:
    options = {"database": "shop", "user": "me", "table": "out"}
    merging = PostgresSink(**options, mode="merge", keys=("text",))
    assert merging.identity() == PostgresSink(**options).replacing().identity() == {"database": "shop", "table": "out"}


def test_all_counts_where_nothing_is_said_but_secrets_and_the_fate_of_bad_rows() -> None:
    source = Plain(place="here", size=4, password="${env:A}", headers={"X": "${env:A}", "Y": "y"}, on_bad_rows="fail")
    assert source.identity() == {"place": "here", "size": 4, "headers": {"Y": "y"}}
    assert Plain(place="here", headers={"X": "${env:A}"}).identity() == {"place": "here"}


@pytest.mark.parametrize("kind", [SOURCE, SINK], ids=["sources", "sinks"])
def test_the_built_ins_name_options_that_they_have(kind: Any) -> None:
    registry = Registry.installed()
    for name in registry.names(kind):
        plugin = registry.find(kind, name)
        named = getattr(plugin, "identity_options", None)
        assert set(named or ()) <= set(plugin.model_fields), name
        # What Spark alone reads, and datasets, have no cursor.
        assert named is not None or issubclass(plugin, (SparkSource, HuggingFaceDataset)), name


def test_it_is_as_json_brings_it_back() -> None:
    for source in (Postgres(**POSTGRES), JsonLines(path="/in", id_column="id"), TextLines(files={"a": "/b"})):
        assert json.loads(json.dumps(source.identity())) == source.identity()
