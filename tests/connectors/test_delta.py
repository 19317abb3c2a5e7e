"""Delta tables as a source and a sink, by the library that others write them with too."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable as Library
from deltalake import write_deltalake

from connectors.delta_sink import DeltaTableSink
from connectors.delta_source import DeltaTable
from connectors.sink import Sink
from connectors.source import PartitionedSource
from pipelines.testing import SinkContract, SourceContract

ROWS = 300


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Reviews in three versions, of which the last one is partitioned by topics with awkward names."""
    path = str(tmp_path / "re views é")
    for version in range(3):
        numbers = range(version * 100, version * 100 + 100)
        rows = {
            "key": pa.array(numbers, pa.int64()),
            "body": [f"review {number} 泉" for number in numbers],
            "topic": [("a b", "ü%/1", "x=y")[number % 3] for number in numbers],
        }
        write_deltalake(path, pa.table(rows), mode="append", partition_by=["topic"])
    return path


class TestDeltaTable(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, table: str) -> PartitionedSource:
        return DeltaTable(path=table, text_column="body", label_column="topic")


class TestDeltaTableWithKeys(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, table: str) -> PartitionedSource:
        return DeltaTable(path=table, text_column="body", id_column="key")


class TestDeltaTableSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return DeltaTableSink(path=str(tmp_path / "ta ble"))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, DeltaTableSink)
        if not Library.is_deltatable(sink.path):
            return []
        return Library(sink.path).to_pyarrow_table().to_pylist()
