"""What ``import connectors`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import connectors


def test_the_public_names_are_these_and_all_there() -> None:
    assert connectors.__all__ == sorted(connectors.__all__)
    assert set(connectors.__all__) == {
        "Archives", "ArrowFiles", "BadRow", "BadRowError", "ConnectionCutError", "ConnectorError", "Csv", "CsvSink",
        "DeltaTable", "DeltaTableSink", "EmptySourceError", "HuggingFaceDataset", "IcebergTable",
        "IcebergTableSink", "Jdbc", "JsonLines", "JsonLinesSink", "Kafka", "LanceTable", "LanceTableSink", "Memory",
        "ParquetSink", "ParquetSource", "Partition",
        "PartitionedSource", "Plan", "Postgres", "PostgresSink", "Receipt", "Rest", "Secret", "SecretError", "Sink",
        "SinkError", "SinkExistsError", "Source", "SourceError", "SourceNotFoundError", "SourceSchemaError",
        "SparkSource", "SparkTable", "StorageOptions", "TextFolder", "TextLines",
    }  # fmt: skip
    assert [name for name in connectors.__all__ if not hasattr(connectors, name)] == []


def test_importing_brings_in_none_of_the_heavy_packages() -> None:
    heavy = {
        "pyspark", "ray", "torch", "pandas", "botocore", "confluent_kafka", "datasets", "deltalake", "lance",
        "pyiceberg",
    }  # fmt: skip
    program = f"import sys, connectors; print(sorted({heavy!r} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
