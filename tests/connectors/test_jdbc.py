"""A source of whatever a JDBC driver reads: PostgreSQL's official one, against a server of the tests' own."""

from __future__ import annotations

import logging
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from connectors import Jdbc, JsonLinesSink, SecretError, SourceError, SourceNotFoundError, SourceSchemaError
from pipelines import Pipeline
from tests.connectors.jdbc_driver import DRIVER, PACKAGE, driver_jar
from tests.connectors.postgres_server import PASSWORD, USER, Server, execute, running

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from pipelines.session import Session

ROWS = 400
TABLE = "My shop.Reviews"
SECRET = "${env:HEADRACE_TEST_PASSWORD}"
NO_PLACE = {"url": "jdbc:x://host/news", "driver": "org.x.Driver"}

needs_driver = pytest.mark.skipif(driver_jar() is None, reason=f"the JDBC driver is not here: apt install {PACKAGE}")


class TestOptions:
    def test_a_table_or_a_query_is_wanted(self) -> None:
        for options in ({}, {"table": "a", "query": "SELECT 1"}):
            with pytest.raises(ValidationError, match="exactly one of 'table' and 'query'"):
                Jdbc(**NO_PLACE, **options)  # type: ignore[arg-type]
        with pytest.raises(ValidationError, match="one of its names is empty"):
            Jdbc(**NO_PLACE, table="shop.")

    @pytest.mark.parametrize(
        "url",
        [
            "jdbc:postgresql://db/news?user=me&password=hunter2",
            "jdbc:sqlserver://db:1433;databaseName=news;password=hunter2",
            "jdbc:mysql://root:hunter2@db/news",
            "jdbc:mysql://root:hun/ter2@db/news",
            "jdbc:oracle:thin:scott/hunter2@//db:1521/news",
            "jdbc:mysql://db/news?useSSL=true&trustStorePassword=hunter2",
            "jdbc:db2://db:50000/news:user=me;password=hunter2;",
            "jdbc:x:PWD=hunter2",
        ],
    )
    def test_a_url_with_a_password_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(ValidationError, match="the option 'password' by reference") as caught:
            Jdbc(url=url, driver="org.x.Driver", table="a")
        assert "ter2" not in str(caught.value)

    @pytest.mark.parametrize(
        "url",
        [
            "jdbc:postgresql://db:5432/news?sslmode=require&ApplicationName=a@b",
            "jdbc:sqlserver://db:1433;databaseName=news;encrypt=true",
            "jdbc:oracle:thin:@//db:1521/news",
            "jdbc:mysql://root@db:3306/news",
        ],
    )
    def test_a_url_without_one_is_taken(self, url: str) -> None:
        assert Jdbc(url=url, driver="org.x.Driver", table="a").url == url

    def test_further_options_are_no_secrets_and_none_that_there_is_a_field_for(self) -> None:
        for name, message in (("sslpassword", "is a secret"), ("dbTable", "one of its own"), ("Password", "its own")):
            with pytest.raises(ValidationError, match=message) as caught:
                Jdbc(**NO_PLACE, table="a", options={name: "hunter2"})
            assert "hunter2" not in str(caught.value)

    def test_a_secret_stays_a_reference(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEADRACE_TEST_PASSWORD", "hunter2")
        source = Jdbc(**NO_PLACE, table="a", user=SECRET, password=SECRET, options={"sslpassword": SECRET})
        assert "hunter2" not in f"{source!r}{source}{source.model_dump_json()}"
        assert Jdbc.model_validate_json(source.model_dump_json()) == source


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        execute(
            server,
            'CREATE SCHEMA "My shop"',
            f"""CREATE TABLE "My shop"."Reviews" AS SELECT n AS "the key", 'text ' || n AS body, n % 5 AS stars,
            (n - 200) / 8.0 AS score, date '2026-01-01' + n AS day, timestamptz '2026-01-01Z' + n * interval '1 h' AS at
            FROM generate_series(1, {ROWS}) n""",
            'INSERT INTO "My shop"."Reviews" VALUES (NULL, \'without a key\', 1, NULL, NULL, NULL)',
        )
        yield server


@needs_driver
@pytest.mark.spark
class TestReading:
    def test_the_driver_comes_from_the_sessions_spark_jars_to_driver_and_executors(
        self, spark: SparkSession, server: Server
    ) -> None:
        rows = _source(server, label_column="stars", id_column="the key").load(spark).collect()
        assert len(rows) == ROWS + 1
        assert rows[0].asDict() | {"at": None, "day": None, "score": None} == {
            "row_id": "1", "text": "text 1", "label": "1", "score": None, "day": None, "at": None,
        }  # fmt: skip

    @pytest.mark.parametrize("column", ["the key", "score", "day", "at"])
    def test_parts_of_a_columns_range_are_the_whole_and_share_nothing(
        self, spark: SparkSession, server: Server, column: str
    ) -> None:
        frame = _source(server, partition_column=column, partitions=4).load(spark)
        sizes = frame.rdd.mapPartitions(lambda rows: [sum(1 for _ in rows)]).collect()
        assert sum(sizes) == ROWS + 1
        assert len(sizes) == 4
        assert min(sizes) > ROWS / 8
        assert len({row.text for row in frame.collect()}) == ROWS + 1

    def test_a_query_is_the_databases_own_and_can_be_divided_too(self, spark: SparkSession, server: Server) -> None:
        query = 'SELECT body AS text, "the key" AS k FROM "My shop"."Reviews" WHERE "the key" % 2 = 0; -- even ones'
        for ending in (query, query.split(";")[0] + ";"):
            if ending is query:
                ending = query.replace(";", "")
            frame = _source(server, table=None, query=ending, text_column="text", partition_column="k").load(spark)
            assert frame.rdd.getNumPartitions() == 8
            assert frame.count() == ROWS / 2

    def test_names_with_marks_in_them_are_quoted(self, spark: SparkSession, server: Server) -> None:
        execute(server, """CREATE TABLE "My shop"."re""v'iews; --" AS SELECT 'a' AS text""")
        source = _source(server, table="""My shop.re"v'iews; --""", text_column="text")
        assert [row.text for row in source.load(spark).collect()] == ["a"]

    def test_a_column_with_a_mark_in_its_name_is_refused_as_spark_does_not_quote_it(
        self, spark: SparkSession, server: Server
    ) -> None:
        execute(server, """CREATE TABLE odd AS SELECT 'a' AS text, 1 AS "re""view" """)
        with pytest.raises(SourceSchemaError, match=r"a column named 're\"view', .* give a 'query' that selects it"):
            _source(server, table="public.odd", text_column="text").load(spark)
        query = 'SELECT text, "re""view" AS review FROM odd'
        rows = _source(server, table=None, query=query, text_column="text").load(spark).collect()
        assert [(row.text, row.review) for row in rows] == [("a", 1)]

    def test_a_column_with_nothing_or_one_value_in_it_makes_one_part(self, spark: SparkSession, server: Server) -> None:
        for where in ("body = 'without a key'", '"the key" = 7'):
            query = f'SELECT body, "the key" AS k FROM "My shop"."Reviews" WHERE {where}'
            frame = _source(server, table=None, query=query, partition_column="k").load(spark)
            assert frame.rdd.getNumPartitions() == 1
            assert frame.count() == 1

    @pytest.mark.parametrize("column", ["body", "nope"])
    def test_a_column_that_cannot_divide_is_told(self, spark: SparkSession, server: Server, column: str) -> None:
        with pytest.raises(SourceSchemaError, match=f"no column '{column}' of numbers, .*it has: the key, body"):
            _source(server, partition_column=column).load(spark)


@needs_driver
@pytest.mark.spark
class TestFaults:
    @pytest.mark.parametrize(
        ("changed", "error", "said"),
        [
            ({"driver": "org.x.Driver"}, SourceError, r"org\.x\.Driver is not on .*class path; .*spark\.jars: "),
            ({"password": "${env:PATH}"}, SourceError, "password authentication failed.*; check user and password"),
            ({"table": "My shop.nope"}, SourceNotFoundError, r"My shop\.nope at jdbc.*does not exist.*'table'"),
            ({"table": None, "query": "SELECT body FROM nope"}, SourceNotFoundError, "the query at .*does not exist"),
            ({"table": None, "query": "SELCT 1"}, SourceError, "the query at .*syntax error"),
            ({"database": "nope"}, SourceError, "another one in the option 'url'"),
            ({"port": 1}, SourceError, "refused.*check host and port in the option 'url'"),
            ({"url": "jdbc:mysql://127.0.0.1/x"}, SourceError, "'url' is one of the kind that this driver takes"),
            ({"text_column": "nope"}, SourceSchemaError, "'text_column'"),
            ({"password": "${env:HEADRACE_NO_SUCH}"}, SecretError, "HEADRACE_NO_SUCH is not set"),
        ],
    )
    def test_what_cannot_be_read_is_one_error_with_its_cure(
        self, spark: SparkSession, server: Server, changed: dict[str, Any], error: type[Exception], said: str
    ) -> None:
        with pytest.raises(error, match=said) as caught:
            _source(server, **changed).load(spark)
        assert PASSWORD not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert len(str(caught.value)) < 700
        assert caught.value.__cause__ is None

    def test_what_an_executor_meets_is_told_as_shortly(self, spark: SparkSession, server: Server) -> None:
        query = """SELECT body, "the key" / ("the key" - 7) AS k FROM "My shop"."Reviews" """
        with pytest.raises(SourceError, match=r"the query at .*cannot be read: .*division by zero") as caught:
            _source(server, table=None, query=query, partition_column="k").load(spark)
        assert len(str(caught.value).splitlines()) == 1

    def test_a_server_that_says_nothing_is_waited_for_until_a_deadline(self, spark: SparkSession) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            begun = time.monotonic()
            source = Jdbc(
                url=f"jdbc:postgresql://127.0.0.1:{silent.getsockname()[1]}/x", driver=DRIVER, table="a", user="me",
                connect_timeout=0.5, options={"loginTimeout": "5"},
            )  # fmt: skip
            with pytest.raises(SourceError, match=r"has not answered within 0\.5 s \(connect_timeout\)"):
                source.load(spark)
            assert time.monotonic() - begun < 5

    def test_a_secret_in_a_drivers_words_is_not_shown(
        self, spark: SparkSession, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("WHO", "planted-hunter2")
        with pytest.raises(SourceError, match=r'failed for user "\*\*\*"'):
            _source(server, user="${env:WHO}").load(spark)


@needs_driver
@pytest.mark.spark
class TestThePassword:
    def test_is_not_in_plans_in_sparks_conf_or_on_a_command_line(self, spark: SparkSession, server: Server) -> None:
        source = _source(server, partition_column="the key", partitions=2)
        frame = source.load(spark)
        frame.count()
        shown = StringIO()
        with redirect_stdout(shown):
            frame.explain(mode="extended")
            frame.explain(mode="formatted")
        assert "JDBCRelation" in shown.getvalue()
        conf = [*spark.sparkContext.getConf().getAll(), *((row.key, row.value) for row in spark.sql("SET").collect())]
        processes = subprocess.run(["ps", "axwwe", "-o", "args"], capture_output=True, text=True, check=True).stdout
        arguments = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
        assert "java" in processes
        assert PASSWORD not in f"{shown.getvalue()}{_plan(frame)}{conf}{arguments}{frame!r}"

    def test_is_an_option_that_spark_redacts(self, spark: SparkSession) -> None:
        jvm: Any = spark._jvm
        options = jvm.PythonUtils.toScalaMap({"password": "planted-hunter2", "fetchsize": "9"})
        shown = str(spark._jsparkSession.sessionState().conf().redactOptions(options))
        assert "planted-hunter2" not in shown
        assert "fetchsize" in shown

    def test_is_not_in_what_a_run_leaves_behind(
        self, session: Session, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        sink = JsonLinesSink(path=str(tmp_path / "out"))
        pipeline = Pipeline(name="jdbc", source=_source(server, partition_column="the key"), sink=sink)
        with caplog.at_level(logging.DEBUG):
            result = pipeline.run(session, runs=tmp_path / "runs")
        assert result.accounts[0].rows_out == ROWS + 1
        files = [*(path for path in tmp_path.rglob("*") if path.is_file()), session.log]
        assert len(files) > 3
        needles = (PASSWORD.encode(), b"p@ss/word", b"p%40ss%2Fword")
        assert [path for path in files if any(needle in path.read_bytes() for needle in needles)] == []
        assert PASSWORD not in caplog.text


def _source(server: Server, **changed: Any) -> Jdbc:
    """Return a source of the reviews, with changed options; an option that is None is left out."""
    port, database = changed.pop("port", server.port), changed.pop("database", "postgres")
    options: dict[str, Any] = {
        "url": f"jdbc:postgresql://127.0.0.1:{port}/{database}",
        "driver": DRIVER,
        "user": USER,
        "password": server.options()["password"],
        "table": TABLE,
        "text_column": "body",
        **changed,
    }
    return Jdbc(**{name: value for name, value in options.items() if value is not None})


def _plan(frame: DataFrame) -> str:
    execution: Any = frame._jdf.queryExecution()
    return "".join(str(one.toJSON()) for one in (execution.logical(), execution.optimizedPlan()))
