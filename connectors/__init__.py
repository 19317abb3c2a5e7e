"""Where rows come from and where they go to.

The contracts (`PartitionedSource`, `SparkSource`, `Sink`), their errors, and the sources and sinks that come with
Headrace. Importing this imports neither Spark nor Ray.
"""

from __future__ import annotations

from connectors.archives import Archives
from connectors.arrow_files import ArrowFiles
from connectors.csv_sink import CsvSink
from connectors.csv_source import Csv
from connectors.delta_sink import DeltaTableSink
from connectors.delta_source import DeltaTable
from connectors.errors import (
    BadRowError,
    ConnectionCutError,
    ConnectorError,
    EmptySourceError,
    SecretError,
    SinkError,
    SinkExistsError,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.hugging_face import HuggingFaceDataset
from connectors.iceberg_sink import IcebergTableSink
from connectors.iceberg_source import IcebergTable
from connectors.jdbc_source import Jdbc
from connectors.json_lines_sink import JsonLinesSink
from connectors.json_lines_source import JsonLines
from connectors.kafka_source import Kafka
from connectors.memory import Memory
from connectors.parquet_sink import ParquetSink
from connectors.parquet_source import ParquetSource
from connectors.postgres_sink import PostgresSink
from connectors.postgres_source import Postgres
from connectors.rest_source import Rest
from connectors.secret import Secret
from connectors.sink import Receipt, Sink
from connectors.source import BadRow, Partition, PartitionedSource, Plan, Source, SparkSource
from connectors.spark_table import SparkTable
from connectors.storage import StorageOptions
from connectors.text_folder import TextFolder
from connectors.text_lines import TextLines

__all__ = [
    "Archives",
    "ArrowFiles",
    "BadRow",
    "BadRowError",
    "ConnectionCutError",
    "ConnectorError",
    "Csv",
    "CsvSink",
    "DeltaTable",
    "DeltaTableSink",
    "EmptySourceError",
    "HuggingFaceDataset",
    "IcebergTable",
    "IcebergTableSink",
    "Jdbc",
    "JsonLines",
    "JsonLinesSink",
    "Kafka",
    "Memory",
    "ParquetSink",
    "ParquetSource",
    "Partition",
    "PartitionedSource",
    "Plan",
    "Postgres",
    "PostgresSink",
    "Receipt",
    "Rest",
    "Secret",
    "SecretError",
    "Sink",
    "SinkError",
    "SinkExistsError",
    "Source",
    "SourceError",
    "SourceNotFoundError",
    "SourceSchemaError",
    "SparkSource",
    "SparkTable",
    "StorageOptions",
    "TextFolder",
    "TextLines",
]
