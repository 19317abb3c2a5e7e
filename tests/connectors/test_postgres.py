"""PostgreSQL as a source and a sink, against a server of the tests' own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import (
    EmptySourceError,
    Postgres,
    PostgresSink,
    SinkError,
    SinkExistsError,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.sink import Sink
from connectors.source import BadRow, PartitionedSource
from pipelines.testing import SinkContract, SourceContract
from tests.connectors.postgres_server import PASSWORD, Server, execute, running

ROWS = 3000
SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def table(server: Server) -> Iterator[str]:
    """A schema of the test's own, with a table of `ROWS` reviews whose names want quotes."""
    execute(
        server,
        'CREATE SCHEMA "My shop"',
        'CREATE TABLE "My shop"."rev""iews" ("Key" bigint PRIMARY KEY, body text, stars int, at timestamptz)',
        'INSERT INTO "My shop"."rev""iews" SELECT n, '
        "(SELECT string_agg(md5((n * 100 + i)::text), '') FROM generate_series(1, 60) i), n % 5, "
        f"'2026-01-01 00:00Z'::timestamptz + n * interval '1 minute' FROM generate_series(1, {ROWS}) n",
    )
    yield 'My shop.rev"iews'
    execute(server, 'DROP SCHEMA "My shop" CASCADE')


class TestPostgres(SourceContract):
    secret_values = (PASSWORD,)
    row_count = ROWS

    @pytest.fixture
    def source(self, server: Server, table: str) -> PartitionedSource:
        return _source(server, table)


class TestPostgresWithACursor(SourceContract):
    secret_values = (PASSWORD,)
    row_count = ROWS

    @pytest.fixture
    def source(self, server: Server, table: str) -> PartitionedSource:
        return _source(server, table, cursor_column="Key", label_column="stars")


class TestPostgresSink(SinkContract):
    secret_values = (PASSWORD,)

    @pytest.fixture
    def sink(self, server: Server, table: str) -> Sink:
        return PostgresSink(**server.options(table='My shop.tar"get'))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, PostgresSink)
        with sink.connected(SinkError) as database:
            rows = database.rows('SELECT row_id, text, label FROM "My shop"."tar""get"')
        return [dict(zip(("row_id", "text", "label"), row, strict=True)) for row in rows]


class TestReading:
    def test_a_table_is_divided_by_its_blocks(self, server: Server, table: str) -> None:
        source = _source(server, table)
        with source.plan() as plan:
            counts = [sum(batch.num_rows for batch in source.scan(one)) for one in plan.partitions]  # type: ignore[union-attr]
        assert len(counts) > 1
        assert sum(counts) == ROWS
        assert min(counts) > 0

    def test_all_partitions_see_the_table_at_one_moment(self, server: Server, table: str) -> None:
        source = _source(server, table)
        with source.plan() as plan:
            execute(
                server, 'DELETE FROM "My shop"."rev""iews" WHERE "Key" > 10', 'VACUUM (TRUNCATE) "My shop"."rev""iews"'
            )
            assert len(_scan(source, plan.partitions)) == ROWS
        assert len(_read(source)) == 10

    def test_values_come_as_they_are(self, server: Server, table: str) -> None:
        execute(
            server,
            """CREATE TABLE "My shop".kinds (text text, n numeric(10, 2), free numeric, j jsonb, u uuid, a int[],
            w text[], b bytea, d date, t timestamp, z timestamptz, o bool, f real, i interval, c char(3))""",
            """INSERT INTO "My shop".kinds VALUES ('泉', 12.50, 1e-20, '{"a": [1]}',
            'c0ffee00-0000-4000-8000-000000000000', '{1,NULL}', '{x,"y z"}', '\\x00ff', '2026-02-03',
            '2026-02-03 04:05:06.7', '2026-02-03 04:05:06.7+02', true,
            1.5, '1 day', 'ab')""",
            """INSERT INTO "My shop".kinds (text) VALUES ('nulls')""",
        )
        full, nulls = _read(Postgres(**server.options(table="My shop.kinds")))
        assert full | {"row_id": ""} == {
            "row_id": "",
            "text": "泉",
            "n": Decimal("12.50"),
            "free": "0.00000000000000000001",
            "j": '{"a": [1]}',
            "u": "c0ffee00-0000-4000-8000-000000000000",
            "a": [1, None],
            "w": ["x", "y z"],
            "b": b"\x00\xff",
            "d": date(2026, 2, 3),
            "t": datetime(2026, 2, 3, 4, 5, 6, 700_000),
            "z": datetime(2026, 2, 3, 2, 5, 6, 700_000, tzinfo=timezone.utc),
            "o": True,
            "f": 1.5,
            "i": "1 day",
            "c": "ab ",
        }
        assert {value for name, value in nulls.items() if name not in ("row_id", "text")} == {None}

    def test_a_row_without_a_text_is_a_bad_row(self, server: Server, table: str) -> None:
        execute(server, 'UPDATE "My shop"."rev""iews" SET body = NULL WHERE "Key" = 7')
        source = _source(server, table)
        with source.plan() as plan:
            bad = [item for one in plan.partitions for item in source.scan(one) if isinstance(item, BadRow)]
        assert [(row.rule, row.row_id) for row in bad] == [("null_text", "7")]

    def test_a_view_needs_a_key_and_is_read_whole(self, server: Server, table: str) -> None:
        execute(server, 'CREATE VIEW "My shop".some AS SELECT * FROM "My shop"."rev""iews" WHERE "Key" <= 30')
        with pytest.raises(SourceSchemaError, match="'id_column'"):
            _read(_source(server, "My shop.some"))
        assert len(_read(_source(server, "My shop.some", id_column="Key"))) == 30

    def test_only_the_columns_that_are_wanted_are_read(self, server: Server, table: str) -> None:
        source = _source(server, table)
        with source.plan(columns=["at"]) as plan:
            (item, *_) = source.scan(plan.partitions[0])
        assert isinstance(item, pa.RecordBatch)
        assert item.schema.names == ["row_id", "text", "at"]


class TestReadingOn:
    def test_only_what_came_since_is_read(self, server: Server, table: str) -> None:
        source = _source(server, table, cursor_column="at")
        with source.plan() as plan:
            cursor = plan.cursor
        execute(server, """INSERT INTO "My shop"."rev""iews" VALUES (9001, 'new', 1, '2026-01-20 00:00Z')""")
        with source.plan(since=cursor) as plan:
            assert [row["text"] for row in _scan(source, plan.partitions)] == ["new"]
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (_scan(source, plan.partitions), plan.cursor) == ([], later)

    def test_rows_that_are_committed_late_are_found_within_the_window(self, server: Server, table: str) -> None:
        cursors = {}
        for late in (0, 3600):
            with _source(server, table, cursor_column="at", late=late).plan() as plan:
                cursors[late] = plan.cursor
        execute(
            server,
            """INSERT INTO "My shop"."rev""iews" SELECT 9001, 'late', 1, max(at) - interval '30 min'
            FROM "My shop"."rev""iews" """,
        )
        found = {}
        for late, cursor in cursors.items():
            source = _source(server, table, cursor_column="at", late=late)
            with source.plan(since=cursor) as plan:
                found[late] = [row["text"] for row in _scan(source, plan.partitions)]
        assert "late" not in found[0]
        assert "late" in found[3600]

    def test_a_clock_that_is_ahead_does_not_hide_what_comes_after(self, server: Server, table: str) -> None:
        execute(
            server, """INSERT INTO "My shop"."rev""iews" VALUES (9001, 'from the future', 1, now() + interval '2 s')"""
        )
        source = _source(server, table, cursor_column="at")
        with source.plan() as plan:
            assert "from the future" not in [row["text"] for row in _scan(source, plan.partitions)]
            cursor = plan.cursor
        execute(server, """INSERT INTO "My shop"."rev""iews" VALUES (9002, 'today', 1, now())""")
        time.sleep(2.2)
        with source.plan(since=cursor) as plan:
            assert {row["text"] for row in _scan(source, plan.partitions)} == {"from the future", "today"}

    def test_a_row_from_the_future_does_not_hide_rows_that_are_loaded_after_it(
        self, server: Server, table: str
    ) -> None:
        execute(server, """INSERT INTO "My shop"."rev""iews" VALUES (9001, 'from the future', 1, now() + '1 year')""")
        source = _source(server, table, cursor_column="at")
        with source.plan() as plan:
            cursor = plan.cursor
        # Stamped behind all that was there, and long before now.
        execute(server, """INSERT INTO "My shop"."rev""iews" VALUES (9002, 'loaded', 1, '2026-01-20 00:00Z')""")
        with source.plan(since=cursor) as plan:
            assert [row["text"] for row in _scan(source, plan.partitions)] == ["loaded"]

    def test_rows_that_all_are_from_the_future_are_read_once_they_are_past(self, server: Server, table: str) -> None:
        execute(server, """UPDATE "My shop"."rev""iews" SET at = now() + '1 year' """)
        source = _source(server, table, cursor_column="at")
        with source.plan() as plan:
            assert _scan(source, plan.partitions) == []
            cursor = plan.cursor
        execute(server, """UPDATE "My shop"."rev""iews" SET at = now() - interval '1 day' WHERE "Key" = 7""")
        with source.plan(since=cursor) as plan:
            assert [row["row_id"] for row in _scan(source, plan.partitions)] == ["7"]

    def test_a_day_is_read_once_it_is_over(self, server: Server, table: str) -> None:
        execute(
            server,
            'CREATE TABLE "My shop".days (text text, day date)',
            """INSERT INTO "My shop".days VALUES ('yesterday', now()::date - 1), ('this morning', now()::date)""",
        )
        source = Postgres(**server.options(table="My shop.days", cursor_column="day"))
        with source.plan() as plan:
            assert [row["text"] for row in _scan(source, plan.partitions)] == ["yesterday"]
        execute(
            server,
            """INSERT INTO "My shop".days VALUES ('this evening', now()::date)""",
            'UPDATE "My shop".days SET day = day - 1',  # the day is over
        )
        with source.plan(since=str(date.fromisoformat(str(plan.cursor)) - timedelta(days=1))) as plan:
            found = {row["text"] for row in _scan(source, plan.partitions)}
        assert found == {"this morning", "this evening"}

    def test_what_is_no_number_does_not_move_the_cursor(self, server: Server, table: str) -> None:
        execute(
            server,
            'CREATE TABLE "My shop".marks (text text, f float8, n numeric)',
            """INSERT INTO "My shop".marks VALUES ('one', 1, 1), ('odd', 'NaN', 'NaN'), ('high', 'Infinity', 0)""",
        )
        for column, reached in (("f", "1"), ("n", "1")):
            source = Postgres(**server.options(table="My shop.marks", cursor_column=column))
            with source.plan() as plan:
                assert len(_scan(source, plan.partitions)) == 3
                assert plan.cursor == reached
        execute(server, """INSERT INTO "My shop".marks VALUES ('two', 2, 2)""")
        for column in ("f", "n"):
            source = Postgres(**server.options(table="My shop.marks", cursor_column=column))
            with source.plan(since="1") as plan:
                assert [row["text"] for row in _scan(source, plan.partitions)] == ["two"]

    def test_rows_of_the_window_are_merged_and_not_doubled(self, server: Server, table: str) -> None:
        source = _source(server, table, cursor_column="at", late=3600)
        sink = PostgresSink(**server.options(table="My shop.out", mode="merge"))
        cursor = None
        for commit in ("one", "two"):
            sink.begin(commit, source.row_schema())
            with source.plan(since=cursor) as plan:
                batches = (item for one in plan.partitions for item in source.scan(one))
                receipt = sink.write(commit, 0, 0, batches)  # type: ignore[arg-type]
                cursor = plan.cursor
            sink.commit(commit, [receipt], cursor)
        assert receipt.rows == 60
        assert len(_table(server, "out")) == ROWS

    def test_rows_without_a_cursor_come_with_full_plans(self, server: Server, table: str) -> None:
        execute(server, """INSERT INTO "My shop"."rev""iews" VALUES (9001, 'when?', 1, NULL)""")
        assert "when?" in [row["text"] for row in _read(_source(server, table, cursor_column="at"))]

    def test_a_cursor_column_must_be_one_of_numbers_or_times(self, server: Server, table: str) -> None:
        for column in ("body", "nope"):
            with pytest.raises(SourceSchemaError, match="'cursor_column'"):
                _read(_source(server, table, cursor_column=column))


class TestFaults:
    def test_a_connection_that_is_cut_is_taken_up_where_it_was(self, server: Server, table: str) -> None:
        source = _source(server, table, partitions_wanted=1)
        with source.plan() as plan:
            reading = source.scan(plan.partitions[0])
            first = next(reading)
            assert isinstance(first, pa.RecordBatch)
            execute(
                server,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%COPY%' "
                "AND pid <> pg_backend_pid()",
            )
            rows = first.to_pylist() + [row for batch in reading for row in batch.to_pylist()]  # type: ignore[union-attr]
        assert len(rows) == ROWS
        assert len({row["row_id"] for row in rows}) == ROWS

    def test_what_the_server_refuses_is_told_with_its_place_and_a_cure(self, server: Server, table: str) -> None:
        execute(server, "CREATE ROLE weak LOGIN PASSWORD 'weak'")
        try:
            for changed, error, said in (
                ({"password": "${env:PATH}"}, SourceError, "check user and password"),
                ({"database": "nope"}, SourceError, "name another one in the option 'database'"),
                ({"port": 1}, SourceError, "check host and port"),
                ({"table": "My shop.nope"}, SourceNotFoundError, "no table My shop.nope at 127.0.0.1"),
                ({"text_column": "nope"}, SourceSchemaError, "'text_column'"),
            ):
                with pytest.raises(error, match=said) as caught:
                    _read(_source(server, **{"table": table, **changed}))
                assert "127.0.0.1" in str(caught.value) or error is SourceSchemaError
                assert PASSWORD not in str(caught.value)
        finally:
            execute(server, "DROP ROLE weak")

    def test_permission_that_is_lacking_is_told(self, server: Server, table: str, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("weak")
        execute(server, "CREATE ROLE weak LOGIN PASSWORD 'weak'", 'GRANT USAGE ON SCHEMA "My shop" TO weak')
        try:
            login = {"user": "weak", "password": f"${{file:{tmp_path / 'password'}}}"}
            with pytest.raises(SourceError, match=r"permission denied.*have the table's owner grant"):
                _read(_source(server, table, **login))
            with pytest.raises(SinkError, match=r"permission denied.*grant"):
                PostgresSink(**server.options(table="My shop.out", **login)).begin("one", SCHEMA)
        finally:
            execute(server, 'REVOKE ALL ON SCHEMA "My shop" FROM weak', "DROP ROLE weak")

    def test_an_empty_table_is_told(self, server: Server, table: str) -> None:
        execute(server, 'DELETE FROM "My shop"."rev""iews"')
        with pytest.raises(EmptySourceError, match="holds no rows"):
            _read(_source(server, table))


class TestWriting:
    def test_rows_are_merged_by_their_keys(self, server: Server, table: str) -> None:
        sink = PostgresSink(**server.options(table="My shop.merged", mode="merge"))
        _write(sink, "one", [("a", "1"), ("b", "1")])
        _write(sink, "two", [("b", "2"), ("c", "2")])
        assert _table(server, "merged") == [("a", "1"), ("b", "2"), ("c", "2")]

    def test_a_key_that_comes_twice_in_a_merge_is_told_and_nothing_is_merged(self, server: Server, table: str) -> None:
        sink = PostgresSink(**server.options(table="My shop.merged", mode="merge"))
        with pytest.raises(SinkError, match=r"2 rows have the key b \(row_id\).*deduplicate"):
            _write(sink, "one", [("a", "1"), ("b", "1"), ("b", "2")])
        assert _table(server, "merged") == []
        sink.abort("one")
        assert _tables(server) == ["_headrace_commits", "merged", 'rev"iews']

    def test_modes_do_with_what_is_there_what_they_say(self, server: Server, table: str) -> None:
        options = server.options(table="My shop.out")
        _write(PostgresSink(**options), "one", [("a", "1")])
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            PostgresSink(**options).begin("two", SCHEMA)
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            PostgresSink(**options).check()
        _write(PostgresSink(**options, mode="append"), "three", [("b", "2")])
        assert _table(server, "out") == [("a", "1"), ("b", "2")]
        _write(PostgresSink(**options, mode="append").replacing(), "four", [("c", "3")])
        assert _table(server, "out") == [("c", "3")]

    def test_the_commit_and_its_cursor_are_in_the_same_transaction(self, server: Server, table: str) -> None:
        sink = PostgresSink(**server.options(table="My shop.out"))
        sink.begin("one", SCHEMA)
        sink.commit("one", [sink.write("one", 0, 0, _batches([("a", "1")]))], "monday")
        rows = _query(server, 'SELECT commit_id, target, cursor, rows FROM "My shop"._headrace_commits')
        assert rows == [("one", "My shop.out", "monday", 1)]

    def test_columns_that_the_table_lacks_are_told(self, server: Server, table: str) -> None:
        execute(server, 'CREATE TABLE "My shop".out (row_id text)')
        with pytest.raises(SinkError, match="has no column 'text'; it has: row_id"):
            PostgresSink(**server.options(table="My shop.out")).begin("one", SCHEMA)

    def test_what_ends_the_rows_is_raised_as_it_is(self, server: Server, table: str) -> None:
        sink = PostgresSink(**server.options(table="My shop.out"))
        sink.begin("one", SCHEMA)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from _batches([("a", "1")])
            raise ZeroDivisionError("a step's own")

        with pytest.raises(ZeroDivisionError, match="a step's own"):
            sink.write("one", 0, 0, batches())
        assert "staging" not in " ".join(_tables(server))

    def test_two_commits_at_once_do_not_mix(self, server: Server, table: str) -> None:
        sink = PostgresSink(**server.options(table="My shop.out", mode="append"))
        _write(sink, "zero", [])
        threads = [
            threading.Thread(target=_write, args=(sink, f"commit {number}", [(f"{number}", "x")] * 50))
            for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(_table(server, "out")) == 200


def test_a_password_is_in_no_process_list(server: Server, table: str) -> None:
    program = (
        "import sys, time\nfrom connectors import Postgres\n"
        f"source = Postgres(**{server.options(table=table, text_column='body')!r})\n"
        "with source.plan():\n    print('planned', flush=True)\n    time.sleep(30)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "planned\n"
        shown = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert PASSWORD not in shown
    finally:
        process.kill()
        process.communicate()


def _source(server: Server, table: str, **options: object) -> Postgres:
    return Postgres(**server.options(**{"table": table, "text_column": "body", **options}))


def _read(source: Postgres) -> list[dict[str, Any]]:
    with source.plan() as plan:
        return _scan(source, plan.partitions)


def _scan(source: Postgres, partitions: Any) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]


def _batches(rows: list[tuple[str, str]]) -> list[pa.RecordBatch]:
    names = ("row_id", "text")
    return [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)]


def _write(sink: PostgresSink, commit_id: str, rows: list[tuple[str, str]]) -> None:
    sink.begin(commit_id, SCHEMA)
    sink.commit(commit_id, [sink.write(commit_id, 0, 0, _batches(rows))])


def _table(server: Server, name: str) -> list[tuple[Any, ...]]:
    return _query(server, f'SELECT row_id, text FROM "My shop".{name} ORDER BY row_id')


def _tables(server: Server) -> list[str]:
    rows = _query(server, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'My shop' ORDER BY tablename")
    return [name for (name,) in rows]


def _query(server: Server, query: str) -> list[tuple[Any, ...]]:
    with Postgres(**server.options(table="x")).connected(SourceError) as database:
        return database.rows(query)
