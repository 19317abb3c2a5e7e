"""Sources that can leave columns unread do: here is one in each that cannot be read, which does no harm then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import lance
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from lance.file import LanceFileReader
from pyiceberg.catalog import load_catalog

from connectors import (
    ConnectorError,
    DeltaTable,
    HuggingFaceDataset,
    IcebergTable,
    LanceTable,
    ParquetSource,
    PartitionedSource,
    Postgres,
)
from tests.connectors.parquet_spoiling import spoil
from tests.connectors.postgres_server import running

ROWS = pa.table(
    {
        "text": [f"text {number}" for number in range(50)],
        "label": ["a", "b"] * 25,
        "stars": list(range(50)),
        "body": [f"long {number}" * 20 for number in range(50)],
    }
)
WANTED = ["text", "label", "stars"]


def parquet(directory: Path) -> PartitionedSource:
    pq.write_table(ROWS, directory / "rows.parquet")
    spoil(directory / "rows.parquet", "body")
    return ParquetSource(path=str(directory))


def delta(directory: Path) -> PartitionedSource:
    write_deltalake(directory, ROWS)
    for file in directory.glob("*.parquet"):
        spoil(file, "body")
    return DeltaTable(path=str(directory))


def lance_table(directory: Path) -> PartitionedSource:
    table = lance.write_dataset(ROWS, directory)
    (file,) = table.get_fragments()[0].data_files()
    place = directory / "data" / file.path
    data = bytearray(place.read_bytes())
    for page in LanceFileReader(str(place)).metadata().columns[ROWS.schema.get_field_index("body")].pages:
        for buffer in page.buffers:
            data[buffer.position : buffer.position + buffer.size] = b"\xff" * buffer.size
    place.write_bytes(data)
    return LanceTable(path=str(directory))


def iceberg(directory: Path) -> PartitionedSource:
    properties = {"type": "sql", "uri": f"sqlite:///{directory}/catalog.db", "warehouse": str(directory)}
    with closing(load_catalog("default", **properties)) as catalog:
        catalog.create_namespace("news")
        catalog.create_table("news.rows", ROWS.schema).append(ROWS)
    for file in directory.glob("**/*.parquet"):
        spoil(file, "body")
    return IcebergTable(table="news.rows", properties=properties)


@pytest.mark.parametrize("make", [parquet, delta, iceberg, lance_table])
def test_of_files_only_the_columns_that_are_wanted_are_read(make: object, tmp_path: Path) -> None:
    source = make(tmp_path)  # type: ignore[operator]
    assert read(source, WANTED) == ROWS.select(WANTED).to_pylist()
    with pytest.raises(ConnectorError):
        read(source, None)


@pytest.fixture(scope="module")
def failing_view() -> Iterator[PartitionedSource]:
    from adbc_driver_postgresql import dbapi

    with running() as server:
        source = Postgres(**server.options(table="rows", id_column="stars"))
        statement = (
            "CREATE VIEW rows AS SELECT 'text ' || n AS text, chr(97 + n % 2) AS label, n AS stars, "
            "n / (n - n) AS body FROM generate_series(0, 49) n"
        )
        with closing(dbapi.connect(source._uri(), autocommit=True)) as connection, closing(connection.cursor()) as one:
            one.execute(statement)
        yield source


def test_of_a_database_only_the_columns_that_are_wanted_are_computed(failing_view: PartitionedSource) -> None:
    rows = read(failing_view, ["text", "label"])
    assert sorted(rows, key=str) == sorted(ROWS.select(["text", "label"]).to_pylist(), key=str)
    with pytest.raises(ConnectorError, match="division by zero"):
        read(failing_view, None)


@pytest.mark.parametrize("streaming", [False, True])
def test_of_a_dataset_only_the_columns_that_are_wanted_are_converted(streaming: bool, tmp_path: Path) -> None:
    pq.write_table(ROWS, tmp_path / "train.parquet")
    source = HuggingFaceDataset(path=str(tmp_path / "train.parquet"), streaming=streaming)
    assert read(source, WANTED) == ROWS.select(WANTED).to_pylist()
    assert read(source, None) == ROWS.to_pylist()


def read(source: PartitionedSource, columns: list[str] | None) -> list[dict[str, object]]:
    """Return the rows, without their ids, in order."""
    with source.plan(columns=columns) as plan:
        batches = [item for one in plan.partitions for item in source.scan(one)]
    assert all(isinstance(batch, pa.RecordBatch) for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]  # type: ignore[union-attr]
    return [{name: value for name, value in row.items() if name != "row_id"} for row in rows]
