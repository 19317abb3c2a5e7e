"""Sinks whose target gets the columns that rows bring and it has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import (
    Csv,
    CsvSink,
    DeltaTable,
    DeltaTableSink,
    IcebergTable,
    IcebergTableSink,
    JsonLines,
    JsonLinesSink,
    LanceTable,
    LanceTableSink,
    ParquetSink,
    ParquetSource,
    PartitionedSource,
    Postgres,
    PostgresSink,
    Sink,
    SinkError,
)
from connectors.modal_sink import ModalSink
from tests.connectors.postgres_server import Server, running
from tests.connectors.reading import read

Pair = tuple[Callable[..., ModalSink], PartitionedSource]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture(params=["csv", "json_lines", "parquet", "delta", "iceberg", "lance", "postgres"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Return what makes a sink of options, and a source of its target."""
    path = str(tmp_path / "out")
    catalog: dict[str, Any] = {
        "table": "news.out",
        "properties": {"uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": f"file://{tmp_path}"},
    }
    if request.param == "iceberg":
        from pyiceberg.catalog import load_catalog

        load_catalog("default", **catalog["properties"]).create_namespace("news")
    if request.param == "postgres":
        options = request.getfixturevalue("server").options(table="added")
        return lambda **more: PostgresSink(**options, **more), Postgres(**options, id_column="row_id")
    pairs: dict[str, Pair] = {
        "csv": (lambda **more: CsvSink(path=path, **more), Csv(path=path, id_column="row_id")),
        "json_lines": (lambda **more: JsonLinesSink(path=path, **more), JsonLines(path=path, id_column="row_id")),
        "parquet": (lambda **more: ParquetSink(path=path, **more), ParquetSource(path=path, id_column="row_id")),
        "delta": (lambda **more: DeltaTableSink(path=path, **more), DeltaTable(path=path, id_column="row_id")),
        "lance": (lambda **more: LanceTableSink(path=path, **more), LanceTable(path=path, id_column="row_id")),
        "iceberg": (lambda **more: IcebergTableSink(**catalog, **more), IcebergTable(**catalog, id_column="row_id")),
    }
    return pairs[request.param]


def put(sink: Sink, commit: str, **columns: list[object]) -> None:
    batch = pa.RecordBatch.from_pydict({"row_id": [commit], **columns})
    sink.begin(commit, batch.schema)
    sink.commit(commit, [sink.write(commit, 0, 0, [batch])])


def test_columns_that_rows_bring_are_refused_or_added(pair: Pair) -> None:
    make, source = pair
    put(make(mode="append"), "one", text=["a"])
    with pytest.raises(SinkError, match=r"stars.*new_columns: add"):
        put(make(mode="append"), "two", text=["b"], stars=[2])
    sink = make(mode="append").adding_columns()
    put(sink, "two", text=["b"], stars=[2])
    put(sink, "three", text=["c"], stars=[3])
    rows = [(row["text"], row.get("stars")) for row in read(source)[0]]
    assert sorted((str(text), stars and int(str(stars))) for text, stars in rows) == [("a", None), ("b", 2), ("c", 3)]


def test_a_type_that_differs_is_refused_all_the_same(pair: Pair) -> None:
    make, _ = pair
    put(make(mode="overwrite"), "four", text=["a"], stars=[1])
    with pytest.raises(SinkError, match="stars"):
        put(make(mode="append", new_columns="add"), "five", text=["b"], stars=["many"], more=[1])
