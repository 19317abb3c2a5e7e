"""Delta, Iceberg and Lance tables in an object store, which moto's server plays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from connectors import (
    DeltaTable,
    DeltaTableSink,
    IcebergTable,
    IcebergTableSink,
    LanceTable,
    LanceTableSink,
    SinkError,
    SourceError,
)
from connectors.sink import Sink
from connectors.source import PartitionedSource
from tests.connectors import s3_server

SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("moto")
    with s3_server.running() as address:
        yield address


@pytest.fixture
def object_store(address: str, tmp_path: Path) -> dict[str, object]:
    options = {
        "aws_endpoint": address,
        "aws_region": "us-east-1",
        "aws_access_key_id": "${env:HEADRACE_TEST_S3_KEY}",
        "aws_secret_access_key": "${env:HEADRACE_TEST_S3_SECRET}",
        "allow_http": "true",
    }
    return {"path": f"s3://{s3_server.BUCKET}/{tmp_path.name}/a table", "storage_options": options}


@pytest.fixture
def iceberg(address: str, tmp_path: Path) -> dict[str, object]:
    properties = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db",
        "warehouse": f"s3://{s3_server.BUCKET}/{tmp_path.name}",
        "s3.endpoint": address,
        "s3.region": "us-east-1",
        "s3.access-key-id": "${env:HEADRACE_TEST_S3_KEY}",
        "s3.secret-access-key": "${env:HEADRACE_TEST_S3_SECRET}",
    }
    source = IcebergTable(table="news.articles", properties=properties)
    with source.opened(SourceError) as catalog:
        catalog.create_namespace("news")
    return {"table": "news.articles", "properties": properties}


@pytest.mark.parametrize(
    ("sink_class", "source_class"), [(DeltaTableSink, DeltaTable), (LanceTableSink, LanceTable)], ids=["delta", "lance"]
)
def test_a_delta_or_lance_table_is_written_merged_and_read(
    sink_class: type[Sink], source_class: type[PartitionedSource], object_store: dict[str, object]
) -> None:
    sink, source = sink_class(**object_store), source_class(**object_store, id_column="row_id")
    _write(sink, "one", 0)
    _write(sink.model_copy(update={"mode": "merge"}), "two", 20)
    _give_up(sink, "three")
    assert _ids(source) == set(map(str, range(50)))
    shown = f"{sink!r} {source!r} {source.model_dump_json()}"
    assert not [secret for secret in (s3_server.KEY, s3_server.SECRET) if secret in shown]


def test_an_iceberg_table_is_written_merged_and_read(iceberg: dict[str, object]) -> None:
    sink, source = IcebergTableSink(**iceberg), IcebergTable(**iceberg, id_column="row_id")
    _write(sink, "one", 0)
    _write(sink.model_copy(update={"mode": "merge"}), "two", 20)
    _give_up(sink, "three")
    assert _ids(source) == set(map(str, range(50)))
    shown = f"{sink!r} {source!r} {source.model_dump_json()}"
    assert not [secret for secret in (s3_server.KEY, s3_server.SECRET) if secret in shown]


def _write(sink: Sink, commit_id: str, first: int) -> None:
    sink.begin(commit_id, SCHEMA)
    receipts = [sink.write(commit_id, 0, attempt, _batches(first)) for attempt in range(2)]
    for _ in range(2):
        sink.commit(commit_id, receipts[1:], "cursor")
    assert sink.is_committed(commit_id)


def _give_up(sink: Sink, commit_id: str) -> None:
    sink = sink.replacing()
    sink.begin(commit_id, SCHEMA)
    receipt = sink.write(commit_id, 0, 0, _batches(0))
    sink.abort(commit_id)
    with pytest.raises(SinkError, match="given up"):
        sink.commit(commit_id, [receipt])
    assert not sink.is_committed(commit_id)


def _batches(first: int) -> list[pa.RecordBatch]:
    rows = [{"row_id": str(number), "text": f"text {number}"} for number in range(first, first + 30)]
    return [pa.RecordBatch.from_pylist(rows, schema=SCHEMA)]


def _ids(source: PartitionedSource) -> set[str]:
    with source.plan() as plan:
        items = [item for one in plan.partitions for item in source.scan(one)]
    return {row["row_id"] for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()}
