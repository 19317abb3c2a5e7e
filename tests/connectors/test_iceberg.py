"""Iceberg tables as a source and a sink, in a SQL catalog of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog

from connectors.iceberg_sink import IcebergTableSink
from connectors.iceberg_source import IcebergTable
from connectors.sink import Sink
from connectors.source import PartitionedSource
from pipelines.testing import SinkContract, SourceContract

ROWS = 300
SCHEMA = pa.schema([("key", pa.int64()), ("body", pa.string()), ("topic", pa.string())])


@pytest.fixture
def properties(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "ware house é"
    place.mkdir()
    return {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": str(place)}


@pytest.fixture
def catalog(properties: dict[str, str]) -> Iterator[Catalog]:
    catalog = load_catalog("default", **properties)
    catalog.create_namespace("news")
    yield catalog
    catalog.close()


@pytest.fixture
def articles(catalog: Catalog) -> str:
    """Reviews in three snapshots."""
    table = catalog.create_table("news.articles", SCHEMA)
    for version in range(3):
        table.append(reviews(range(version * 100, version * 100 + 100)))
    return "news.articles"


def reviews(numbers: Any) -> pa.Table:
    rows = [{"key": number, "body": f"review {number} 泉", "topic": f"t{number % 3}"} for number in numbers]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class TestIcebergTable(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, articles: str, properties: dict[str, str]) -> PartitionedSource:
        return IcebergTable(table=articles, properties=properties, text_column="body", label_column="topic")


class TestIcebergTableWithKeys(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, articles: str, properties: dict[str, str]) -> PartitionedSource:
        return IcebergTable(table=articles, properties=properties, text_column="body", id_column="key")


class TestIcebergTableSink(SinkContract):
    @pytest.fixture
    def sink(self, catalog: Catalog, properties: dict[str, str]) -> Sink:
        return IcebergTableSink(table="news.out", properties=properties)

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, IcebergTableSink)
        catalog = load_catalog(sink.catalog, **dict(sink.properties))
        try:
            there = catalog.table_exists(sink.table)
            return catalog.load_table(sink.table).scan().to_arrow().to_pylist() if there else []
        finally:
            catalog.close()
