"""The benchmark of PostgreSQL, on a few rows: that it measures what it says, not how fast anything is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from connectors import Postgres, SourceError
from tests.benchmarks.checksum import ChecksumError
from tests.benchmarks.postgres import make_source, record, table
from tests.benchmarks.postgres_work import FLOOR, MERGE, OURS, PEER, SERVER, SOURCE, TARGET, PostgresWork
from tests.benchmarks.reviews import require_written
from tests.benchmarks.turns import Turns, Worker, take_turns
from tests.connectors.jdbc_driver import PACKAGE, driver_jar
from tests.connectors.postgres_server import Server, execute, running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 300


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        make_source(server, ROWS)
        yield server


@pytest.mark.spark
@pytest.mark.skipif(driver_jar() is None, reason=f"the JDBC driver is not here: apt install {PACKAGE}")
class TestWork:
    def test_every_setting_reads_the_rows_and_writes_them(self, spark: SparkSession, server: Server) -> None:
        work = PostgresWork(spark, server, ROWS, 2)
        readers = take_turns(work.readers(), repeats=1, warm_ups=1)
        writers = take_turns(work.writers(), repeats=1, warm_ups=1)
        assert [one.name for one in readers] == [OURS, PEER, SERVER]
        assert [one.name for one in writers] == [OURS, PEER, MERGE, SERVER, FLOOR]
        assert len(readers[1].tried) == 6

    def test_rows_that_were_changed_while_they_were_read_are_told(self, spark: SparkSession, server: Server) -> None:
        readers = PostgresWork(spark, server, ROWS, 1).readers()
        execute(server, f"UPDATE {SOURCE} SET stars = stars + 1 WHERE id = 7")
        try:
            for reader in readers[:2]:
                with pytest.raises(ChecksumError, match="was read where there is"):
                    reader.verify(next(iter(reader.settings.values()))())
        finally:
            execute(server, f"UPDATE {SOURCE} SET stars = stars - 1 WHERE id = 7")


@pytest.mark.parametrize("change", ["DELETE FROM {} WHERE id = 7", "UPDATE {} SET text = text || 'x' WHERE id = 7"])
def test_rows_that_were_not_written_as_they_are_are_told(server: Server, change: str) -> None:
    columns = "id::text AS row_id, text, label, stars, score, at"
    execute(server, f"DROP TABLE IF EXISTS {TARGET}", f"CREATE TABLE {TARGET} AS SELECT {columns} FROM {SOURCE}")
    with Postgres(**server.options(table=SOURCE)).connected(SourceError) as database:
        require_written(database, TARGET, SOURCE, ROWS)
    execute(server, change.format(TARGET).replace("id = 7", "row_id = '7'"))
    with (
        Postgres(**server.options(table=SOURCE)).connected(SourceError) as database,
        pytest.raises(ChecksumError, match="wanted are 300"),
    ):
        require_written(database, TARGET, SOURCE, ROWS)


def test_each_round_begins_with_another_and_each_has_its_best_settings() -> None:
    order: list[str] = []
    slow = {"slow": lambda: sum(range(300_000)), "fast": lambda: None}
    workers = [
        Worker(name, slow if name == "b" else {"only": lambda: None}, prepare=lambda name=name: order.append(name))  # type: ignore[misc]
        for name in "abc"
    ]
    turns = take_turns(workers, repeats=3, warm_ups=1)
    assert "".join(order) == "aabbcc" + "abc" + "bca" + "cab"
    assert [one.settings for one in turns] == ["only", "fast", "only"]


def test_ratios_are_those_of_medians() -> None:
    turns = (Turns(OURS, "x", (1.0, 9.0, 2.0), {}), Turns(PEER, "y", (5.0, 4.0, 6.0), {}))
    assert [one["by_ours"] for one in record({"read": turns})["read"]] == [1.0, 2.5]
    assert f"| {PEER} | 5.00 (4.00–6.00) | 2.50 | y |" in table("title", turns)
