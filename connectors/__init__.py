"""Where rows come from and where they go to.

The contracts (`PartitionedSource`, `SparkSource`, `Sink`), their errors, and the sources and sinks that come with
Headrace. Importing this imports neither Spark nor Ray.
"""

from __future__ import annotations

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
from connectors.files.archives import Archives
from connectors.files.arrow_files import ArrowFiles
from connectors.files.csv_sink import CsvSink
from connectors.files.csv_source import Csv
from connectors.files.json_lines_sink import JsonLinesSink
from connectors.files.json_lines_source import JsonLines
from connectors.files.parquet_sink import ParquetSink
from connectors.files.parquet_source import ParquetSource
from connectors.files.text_folder import TextFolder
from connectors.files.text_lines import TextLines
from connectors.hugging_face.source import HuggingFaceDataset
from connectors.jdbc.source import Jdbc
from connectors.kafka.source import Kafka
from connectors.memory import Memory
from connectors.object_store.storage import StorageOptions
from connectors.postgres.sink import PostgresSink
from connectors.postgres.source import Postgres
from connectors.rest.source import Rest
from connectors.secret import Secret
from connectors.sink import Receipt, Sink
from connectors.source import BadRow, Partition, PartitionedSource, Plan, Source, SparkSource
from connectors.spark_table import SparkTable
from connectors.tables.delta_sink import DeltaTableSink
from connectors.tables.delta_source import DeltaTable
from connectors.tables.iceberg_sink import IcebergTableSink
from connectors.tables.iceberg_source import IcebergTable
from connectors.tables.lance_sink import LanceTableSink
from connectors.tables.lance_source import LanceTable

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
    "LanceTable",
    "LanceTableSink",
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
