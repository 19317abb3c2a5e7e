"""However a run is cut short, the next one finds out what became of it: no row is lost, none is there twice."""

from __future__ import annotations

import io
import json
import os
import random
import secrets
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyiceberg.catalog import Catalog, load_catalog

from connectors import (
    CsvSink,
    DeltaTableSink,
    IcebergTableSink,
    JsonLinesSink,
    LanceTableSink,
    ParquetSink,
    PostgresSink,
    Sink,
    SinkError,
    TextLines,
)
from connectors.files.directory import SinkDirectory, sink_directory
from connectors.object_store.storage import StorageOptions
from tests.connectors import postgres_server
from tests.connectors.object_store import ObjectStore, running
from tests.connectors.postgres_server import Server
from tests.pipelines.one_increment import HAPPENED, POINTS, save

SINKS: dict[str, type[Sink]] = {
    "parquet": ParquetSink,
    "json_lines": JsonLinesSink,
    "csv": CsvSink,
    "parquet_in_a_store": ParquetSink,
    "delta": DeltaTableSink,
    "delta_merge": DeltaTableSink,
    "iceberg": IcebergTableSink,
    "iceberg_merge": IcebergTableSink,
    "lance": LanceTableSink,
    "lance_merge": LanceTableSink,
    "postgres": PostgresSink,
    "postgres_merge": PostgresSink,
}
_NIGHTS = 3
_ROOT = Path(__file__).parents[2]
_TABLE = "nights.rows"


class Target(ABC):
    """Where a sink writes, as a reader sees it that knows nothing of Headrace."""

    @abstractmethod
    def texts(self) -> list[str]:
        """Return all texts that are there."""

    @abstractmethod
    def staged(self) -> list[str]:
        """Return the names of what is left of the staging."""


@dataclass
class Files(Target):
    directory: SinkDirectory
    kind: str

    def texts(self) -> list[str]:
        files = [self.directory.read(name) or b"" for name in self.directory.names() if name.startswith("part-")]
        if self.kind.startswith("parquet"):
            return [text for file in files for text in pq.read_table(pa.py_buffer(file))["text"].to_pylist()]
        if self.kind == "csv":
            return [text for file in files for text in pd.read_csv(io.BytesIO(file))["text"].tolist()]
        return [json.loads(line)["text"] for file in files for line in file.decode().splitlines()]

    def staged(self) -> list[str]:
        return list(self.directory.names("_staging"))


def staged_below(table: Path) -> list[Path]:
    """Return the files in the directories of commits; what a table names of them is no longer staged."""
    return [one for one in table.rglob("headrace-*/*") if one.is_file()]


@dataclass
class Delta(Target):
    path: Path

    def texts(self) -> list[str]:
        return list(DeltaTable(self.path).to_pyarrow_table()["text"].to_pylist())

    def staged(self) -> list[str]:
        named = {Path(uri.removeprefix("file://")).name for uri in DeltaTable(self.path).file_uris()}
        return [one.name for one in staged_below(self.path) if one.name not in named]


@dataclass
class Iceberg(Target):
    path: Path

    def texts(self) -> list[str]:
        catalog = self.catalog()
        try:
            return list(catalog.load_table(_TABLE).scan().to_arrow()["text"].to_pylist())
        finally:
            catalog.close()

    def staged(self) -> list[str]:
        catalog = self.catalog()
        try:
            named = {Path(task.file.file_path).name for task in catalog.load_table(_TABLE).scan().plan_files()}
        finally:
            catalog.close()
        return [one.name for one in staged_below(self.path) if one.name not in named]

    @property
    def properties(self) -> dict[str, str]:
        return {"type": "sql", "uri": f"sqlite:///{self.path}/catalog.db", "warehouse": str(self.path)}

    def catalog(self) -> Catalog:
        """The catalog of tables in the directory, which is made if it is not there."""
        self.path.mkdir(parents=True, exist_ok=True)
        catalog = load_catalog("default", **self.properties)
        catalog.create_namespace_if_not_exists(_TABLE.partition(".")[0])
        return catalog


@dataclass
class Lance(Target):
    path: Path
    merges: bool

    def texts(self) -> list[str]:
        return list(lance.dataset(self.path).to_table()["text"].to_pylist())

    def staged(self) -> list[str]:
        table = lance.dataset(self.path)
        if self.merges:
            # What a merge leaves that is killed once it has happened is for the table's own cleanup.
            table.cleanup_old_versions(timedelta(days=1), delete_unverified=True)
        named = {file.path for fragment in table.get_fragments() for file in fragment.data_files()}
        return [one.name for one in self.path.glob("data/headrace-*") if one.name not in named]


@dataclass
class Postgres(Target):
    server: Server
    table: str

    def texts(self) -> list[str]:
        return [text for (text,) in self._rows(f'SELECT text FROM "{self.table}"')]

    def staged(self) -> list[str]:
        return [
            name for (name,) in self._rows("SELECT tablename::text FROM pg_tables WHERE tablename LIKE '%staging%'")
        ]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with PostgresSink(**self.server.options(table=self.table)).connected(SinkError) as database:
            return database.rows(query)


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres_server.running() as server:
        yield server


@pytest.fixture
def target(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """Where the sink of the kind writes; source and sink are written down for the program."""
    out = tmp_path / "out"
    options: dict[str, Any] = {"mode": "merge" if kind.endswith("_merge") else "append"}
    target: Target
    if kind.startswith("postgres"):
        target = Postgres(request.getfixturevalue("server"), f"nights_{secrets.token_hex(4)}")
        options |= target.server.options(table=target.table)
    elif kind.startswith("iceberg"):
        target = Iceberg(out)
        target.catalog().close()
        options |= {"table": _TABLE, "properties": target.properties}
    elif kind.startswith(("delta", "lance")):
        target = Delta(out) if kind.startswith("delta") else Lance(out, kind.endswith("_merge"))
        options |= {"path": str(out)}
    else:
        options |= {"path": str(out)}
        if kind.endswith("in_a_store"):
            store: ObjectStore = request.getfixturevalue("store")
            options |= {"path": f"{store.bucket()}/out", "storage": store.options()}
        target = Files(sink_directory(options["path"], StorageOptions(**options.get("storage", {}))), kind)
    save(tmp_path, TextLines(path=str(tmp_path / "in")), SINKS[kind](**options))
    return target


@pytest.mark.parametrize("kind", [kind for kind in SINKS if not kind.endswith("_merge")])
def test_a_run_that_is_killed_loses_and_doubles_nothing(kind: str, target: Target, tmp_path: Path) -> None:
    written = _nights(tmp_path, target, [("before the commit",), ("in the commit", "between commit and state")])
    _assert_settled(tmp_path, target, written)


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("run", range(20))
def test_twenty_runs_that_are_killed_lose_and_double_nothing(
    kind: str, run: int, target: Target, tmp_path: Path
) -> None:
    choose = random.Random(f"{kind} {run}")
    deaths = [tuple(choose.choices(POINTS, k=choose.randint(1, 3))) for _ in range(_NIGHTS)]
    _assert_settled(tmp_path, target, _nights(tmp_path, target, deaths))


def _nights(directory: Path, target: Target, deaths: list[tuple[str, ...]]) -> list[str]:
    """Let files come each night, and that night's run be killed some times before it gets through; return all texts."""
    expected: list[str] = []
    for night, points in enumerate(deaths):
        for part in range(2):
            lines = [f"night {night} part {part} line {line}" for line in range(50)]
            _write(directory / "in" / f"{night}-{part}.txt", lines, night)
            expected += lines
        for number, where in enumerate(points):
            # Where a commit may have happened, there may be nothing left to write, so that a run is not killed in it.
            survives = where == "while writing" and not HAPPENED.isdisjoint(points[:number])
            assert _run(directory, where).returncode in ((-9, 0) if survives else (-9,))
        ended = _run(directory, "")
        assert ended.returncode == 0, ended.stderr
        assert sorted(target.texts()) == sorted(expected)
    return expected


def _assert_settled(directory: Path, target: Target, expected: list[str]) -> None:
    """The target holds the texts once each, and neither it nor the state knows of anything half done."""
    assert sorted(target.texts()) == sorted(expected)
    assert target.staged() == []
    assert json.loads((directory / "runs" / "nightly" / "state.json").read_text())["pending"] is None


def _run(directory: Path, where: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.pipelines.one_increment", str(directory), where]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120)


def _write(path: Path, lines: list[str], night: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.utime(path, (1_768_000_000 + night * 86_400,) * 2)
