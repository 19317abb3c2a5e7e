"""However a run is cut short, the next one finds out what became of it: no row is lost, none is there twice."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog

from tests.pipelines.one_increment import POINTS, SINKS, TABLE, catalog_of
from connectors.sink_directory import SinkDirectory, sink_directory
from connectors.storage import StorageOptions
from tests.connectors.object_store import ObjectStore, running
from tests.pipelines.one_increment import HAPPENED, POINTS, SINKS

_NIGHTS = 3
_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", [kind for kind in SINKS if not kind.endswith("_merge")])
def test_a_run_that_is_killed_loses_and_doubles_nothing(kind: str, tmp_path: Path) -> None:
    _nights(tmp_path, kind, [("before the commit",), ("in the commit", "between commit and state")])
@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture
def target(kind: str, store: ObjectStore, tmp_path: Path) -> SinkDirectory:
    """Where the sink writes."""
    options: dict[str, Any] = {"path": str(tmp_path / "out")}
    if kind.endswith("in_a_store"):
        options = {"path": f"{store.bucket()}/out", "storage": store.options()}
    (tmp_path / "sink.json").write_text(json.dumps(options))
    return sink_directory(options["path"], StorageOptions(**options.get("storage", {})))


@pytest.mark.parametrize("kind", SINKS)
def test_a_run_that_is_killed_loses_and_doubles_nothing(kind: str, target: SinkDirectory, tmp_path: Path) -> None:
    _nights(tmp_path, target, kind, [("before the commit",), ("in the commit", "between commit and state")])


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", SINKS)
@pytest.mark.parametrize("run", range(20))
def test_twenty_runs_that_are_killed_lose_and_double_nothing(
    kind: str, run: int, target: SinkDirectory, tmp_path: Path
) -> None:
    choose = random.Random(f"{kind} {run}")
    _nights(tmp_path, target, kind, [tuple(choose.choices(POINTS, k=choose.randint(1, 3))) for _ in range(_NIGHTS)])


def _nights(directory: Path, target: SinkDirectory, kind: str, deaths: list[tuple[str, ...]]) -> None:
    """Let files come each night, and the run of that night be killed some times before it gets through."""
    expected: list[str] = []
    for night, points in enumerate(deaths):
        for part in range(2):
            lines = [f"night {night} part {part} line {line}" for line in range(50)]
            _write(directory / "in" / f"{night}-{part}.txt", lines, night)
            expected += lines
        for number, where in enumerate(points):
            # Where a run before may have committed, there may be nothing left to write.
            done = where == "while writing" and {"in the commit", "between commit and state"} & {*points[:number]}
            assert _run(directory, kind, where).returncode in ((-9, 0) if done else (-9,))
            # Once a commit has happened there is nothing left to write, so a run is not killed while it does.
            survives = where == "while writing" and not HAPPENED.isdisjoint(points[:number])
            assert _run(directory, kind, where).returncode == (0 if survives else -9)
        # What is seen meanwhile is the rows of whole commits.
        assert len(_seen(target, kind)) % 100 == 0 or "in the commit" in points
        ended = _run(directory, kind, "")
        assert ended.returncode == 0, ended.stderr
        assert sorted(_seen(directory / "out", kind)) == sorted(expected)
    assert list((directory / "out").glob("_staging/*")) == []
        assert sorted(_seen(target, kind)) == sorted(expected)
    assert target.names("_staging") == []
    assert json.loads((directory / "runs" / "nightly" / "state.json").read_text())["pending"] is None


def _run(directory: Path, kind: str, where: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.pipelines.one_increment", str(directory), kind, where]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120)


def _write(path: Path, lines: list[str], night: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    os.utime(path, (1_768_000_000 + night * 86_400,) * 2)


def _seen(target: Path, kind: str) -> list[str]:
    if kind.startswith("delta"):
        return list(DeltaTable(target).to_pyarrow_table()["text"].to_pylist())
    if kind.startswith("iceberg"):
        catalog = load_catalog("default", **catalog_of(target))
        try:
            return list(catalog.load_table(TABLE).scan().to_arrow()["text"].to_pylist())
        finally:
            catalog.close()
    if kind == "parquet":
        return [text for path in target.glob("*.parquet") for text in pq.read_table(path)["text"].to_pylist()]
def _seen(target: SinkDirectory, kind: str) -> list[str]:
    """Return what a reader sees that knows nothing of manifests."""
    files = [target.read(name) or b"" for name in target.names() if name.startswith("part-")]
    if kind.startswith("parquet"):
        return [text for file in files for text in pq.read_table(pa.py_buffer(file))["text"].to_pylist()]
    if kind == "csv":
        return [text for file in files for text in pd.read_csv(io.BytesIO(file))["text"].tolist()]
    return [json.loads(line)["text"] for file in files for line in file.decode().splitlines()]
