"""A pipeline that is run for ten nights, with late rows, a crash and a backfill: its target equals a full load."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from connectors import DeltaTableSink, JsonLines, ParquetSink, PartitionedSource, Postgres, PostgresSink, Sink
from pipelines.read_state import read_state, state_path
from tests.connectors.postgres_server import Server, running
from tests.pipelines.one_increment import NAME, run, save

NIGHTS = range(10)
CRASH, BACKFILL = 4, 7
LATE = tuple(night for night in NIGHTS if night % 3 == 2)

_ROOT = Path(__file__).parents[2]


@dataclass
class Nightly:
    """A pipeline between runs.

    Attributes:
        directory: where its state is.
        source: from where.
        sink: to where.
        cursors: how far it had come after each night.
    """

    directory: Path
    source: PartitionedSource
    sink: Sink
    cursors: list[str | None] = field(default_factory=list)

    def run(self, **options: Any) -> int:
        """Run it, and return how many rows it has read."""
        rows = run(self.directory, self.source, self.sink, **options)
        self.cursors.append(read_state(state_path(self.directory / "runs", NAME)).cursor)
        return rows

    def crash(self, where: str) -> None:
        """Run it in a process that is killed."""
        save(self.directory, self.source, self.sink)
        command = [sys.executable, "-m", "tests.pipelines.one_increment", str(self.directory), where]
        ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode == -9, ended.stderr


def digest(rows: Iterable[Mapping[str, object]]) -> str:
    """Return a hash of rows that says nothing of their order."""
    lines = sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


class TestPostgresToPostgres:
    """Rows come, are changed, and are committed late; they are merged by their keys."""

    FIRST = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(days=20)

    def test_ten_nights_equal_a_full_load(self, server: Server, tmp_path: Path) -> None:
        _sql(server, "CREATE TABLE reviews (key int PRIMARY KEY, text text, stars int, changed timestamptz)")
        day = timedelta(days=1).total_seconds()
        source = Postgres(**server.options(table="reviews", cursor_column="changed", late=2 * day))
        nightly = Nightly(tmp_path, source, PostgresSink(**server.options(table="nightly", mode="merge")))
        full = PostgresSink(**server.options(table="whole", mode="overwrite"))
        for night in NIGHTS:
            self._day(server, night)
            if night == CRASH:
                nightly.crash("between commit and state")
            old = nightly.cursors[1] if night == BACKFILL else None
            rows = nightly.run(since=old)
            assert rows >= 30 or night == CRASH
            assert night != BACKFILL or rows > 30 * 5
            if night in (CRASH, BACKFILL, NIGHTS[-1]):
                run(tmp_path / f"whole {night}", source, full)
                assert digest(_table(server, "nightly")) == digest(_table(server, "whole")), f"night {night}"
        assert len(_table(server, "nightly")) == 10 * 30 + len(LATE) * 4 + 3 + 1

    def _day(self, server: Server, night: int) -> None:
        """Thirty rows come and some of before change; and what does not come in time."""

        def insert(first: int, count: int, at: str) -> str:
            rows = f"SELECT n, 'row ' || n, n % 5, {at} FROM generate_series({first}, {first + count - 1}) n"
            return f"INSERT INTO reviews {rows}"

        def moment(days: float) -> str:
            return f"'{(self.FIRST + timedelta(days=days)).isoformat()}'::timestamptz"

        statements = [
            insert(night * 100, 30, f"{moment(night)} + n % 100 * interval '10 min'"),
            f"UPDATE reviews SET stars = stars + 10, changed = {moment(night + 0.3)} WHERE key % 100 = {night}",
        ]
        if night in LATE:
            statements.append(insert(night * 100 + 50, 4, moment(night - 1.5)))
        if night == BACKFILL:
            statements.append(insert(9000, 3, moment(2)))  # too late for the window
        if night == 3:
            statements.append(insert(9100, 1, "now() + interval '1 year'"))  # by a clock that is wrong
        if night == NIGHTS[-1]:
            statements.append(f"UPDATE reviews SET changed = {moment(night)} WHERE key = 9100")
        _sql(server, *statements)


@dataclass(frozen=True)
class Kind:
    """A sink for files' rows, and how a night's late file is made up for."""

    sink: Callable[[Path], Sink]
    rows: Callable[[Path], list[dict[str, object]]]
    crash: str
    backfill: Callable[[Nightly], dict[str, Any]]


KINDS = {
    "parquet_append": Kind(
        lambda path: ParquetSink(path=str(path), mode="append"),
        lambda path: pq.read_table(path).to_pylist(),
        "between commit and state",
        lambda nightly: {"full_refresh": True},
    ),
    "delta_merge": Kind(
        lambda path: DeltaTableSink(path=str(path), mode="merge"),
        lambda path: DeltaTable(path).to_pyarrow_table().to_pylist(),
        "before the commit",
        lambda nightly: {"since": nightly.cursors[0]},
    ),
}


class TestFiles:
    """Files come, some of them late; read again, rows are known by their keys."""

    @pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
    def test_ten_nights_equal_a_full_load(self, kind: Kind, tmp_path: Path) -> None:
        source = JsonLines(path=str(tmp_path / "in"), id_column="key", late_days=2)
        nightly = Nightly(tmp_path, source, kind.sink(tmp_path / "out"))
        for night in NIGHTS:
            self._day(tmp_path / "in", night)
            if night == CRASH:
                nightly.crash(kind.crash)
            rows = nightly.run(**(kind.backfill(nightly) if night == BACKFILL else {}))
            if night == BACKFILL:
                assert rows > 30 * 5
            else:
                committed = night == CRASH and kind.crash == "between commit and state"
                assert rows == (0 if committed else 37 if night in LATE else 30)
            whole = tmp_path / f"whole {night}"
            run(whole, source, ParquetSink(path=str(whole / "out")))
            assert digest(kind.rows(tmp_path / "out")) == digest(pq.read_table(whole / "out").to_pylist())
        assert len(kind.rows(tmp_path / "out")) == 10 * 30 + len(LATE) * 7 + 3

    def _day(self, corpus: Path, night: int) -> None:
        self._file(corpus, f"{night}", night, 30)
        if night in LATE:
            self._file(corpus, f"{night}-late", night - 1.5, 7)
        if night == BACKFILL:
            self._file(corpus, "forgotten", 1.5, 3)
        if night == 3:
            # Written by a machine whose clock is wrong; what comes after it is older.
            os.utime(corpus / "3.jsonl", (4_000_000_000,) * 2)

    def _file(self, corpus: Path, name: str, day: float, rows: int) -> None:
        corpus.mkdir(exist_ok=True)
        lines = [json.dumps({"key": f"{name} {row}", "text": f"row {row} of {name}"}) for row in range(rows)]
        path = corpus / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.utime(path, (1_768_000_000 + day * 86_400,) * 2)


def _table(server: Server, name: str) -> list[dict[str, object]]:
    return [json.loads(row) for (row,) in _sql(server, f"SELECT row_to_json(t)::text FROM {name} t")]


def _sql(server: Server, *statements: str) -> list[tuple[Any, ...]]:
    from adbc_driver_postgresql import dbapi

    uri = Postgres(**server.options(table="x"))._uri()
    with closing(dbapi.connect(uri, autocommit=True)) as connection, closing(connection.cursor()) as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if statements[-1].startswith("SELECT") else []
