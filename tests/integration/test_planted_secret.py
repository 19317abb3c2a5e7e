"""A planted password, and everywhere that a run leaves something: it is found nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from pyspark.sql import SparkSession

from connectors import ConnectorError, Postgres, PostgresSink, SinkError
from pipelines import Pipeline, Session
from pipelines.errors import PipelineError
from pipelines.steps import NormalizeText, WordCount
from tests.connectors.postgres_server import PASSWORD, Server, running
from tests.planted_secret import PlantedSecret, command_lines, told

pytestmark = [pytest.mark.spark, pytest.mark.ray]

PLANTED = PlantedSecret(PASSWORD)
WRONG = PlantedSecret("wr0ng: b@d/passphrase")

TABLES = (
    "CREATE TABLE reviews (id bigint PRIMARY KEY, text text)",
    "INSERT INTO reviews SELECT n, CASE WHEN n % 9 = 0 THEN NULL WHEN n % 7 = 0 THEN 'short' "
    "ELSE 'a review of ' || n || ' words' END FROM generate_series(1, 100) n",
    # What breaks while it is read, in an executor, and not yet when it is planned.
    "CREATE VIEW breaking AS SELECT id, text || (1 / (id - 50))::text AS text FROM reviews",
)


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as server:
        with PostgresSink(**server.options(table="x")).connected(SinkError) as database:
            for statement in TABLES:
                database.run(statement)
            database.connection.commit()
        yield server


def test_a_planted_password_is_found_nowhere(
    session: Session,
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "wrong").write_text(WRONG.value)
    # The session's workers were started before it was set.
    monkeypatch.setenv("HEADRACE_TEST_PLANTED", PLANTED.value)
    login: dict[str, Any] = {"password": "${env:HEADRACE_TEST_PLANTED}"}
    wrong: dict[str, Any] = {"password": f"${{file:{tmp_path / 'wrong'}}}"}
    source = Postgres(**server.options(table="reviews", cursor_column="id", **login))
    sink = PostgresSink(**server.options(table="copy", mode="append", **login))
    steps = [NormalizeText(), WordCount(min=2)]
    changes: dict[str, dict[str, object]] = {
        "source-password": {"source": Postgres(**server.options(table="reviews", **wrong))},
        "sink-password": {"sink": PostgresSink(**server.options(table="copy", **wrong))},
        "source-down": {"source": source.model_copy(update={"port": 1})},
        "sink-down": {"sink": sink.model_copy(update={"port": 1})},
        "table-missing": {"source": source.model_copy(update={"table": "nope"})},
        "schema-missing": {"sink": sink.model_copy(update={"table": "nope.copy"})},
        "breaking": {"source": source.model_copy(update={"table": "breaking", "id_column": "id"})},
    }
    runs = tmp_path / "runs"
    errors: dict[str, str] = {}

    with command_lines() as lines:
        good = Pipeline(name="good", source=source, steps=steps, sink=sink, incremental=True)
        result = good.run(session, runs=runs)
        for name, changed in changes.items():
            parts: dict[str, Any] = {"source": source, "sink": sink, **changed}
            with pytest.raises((ConnectorError, PipelineError)) as caught:
                Pipeline(name=name, steps=steps, **parts).run(session, runs=runs)
            errors[name] = told(caught.value)

    assert (result.accounts[0].rows_in, result.accounts[-1].rows_out) == (100, 76)
    assert "division by zero" in errors["breaking"]
    printed = capfd.readouterr()
    spark = session.spark
    settings = [
        spark.sparkContext.getConf().getAll(),
        spark.sql("SET").collect(),
        spark.sparkContext._jvm.java.lang.System.getProperties().toString(),  # type: ignore[union-attr]
        _hadoop_settings(spark),
    ]
    for secret in (PLANTED, WRONG):
        assert {name: found for name, said in errors.items() if (found := secret.found_in(said))} == {}
        assert secret.files_in(runs) == []
        assert secret.files_in(_logs_of_ray()) == []
        assert secret.found_in(session.log.read_text(encoding="utf-8", errors="replace")) == []
        assert secret.found_in(f"{printed.out} {printed.err}") == []
        assert secret.found_in(f"{settings}") == []
        assert secret.found_in("\n".join(lines)) == []
        assert secret.found_in(f"{result!r} {good!r}") == []
    # These are the places that were meant to be looked in.
    assert "fs.defaultFS" in settings[-1]
    assert {"raylet", "java"} <= {Path(word).name for line in lines for word in line.split()[:1]}
    assert len(list(runs.glob("*/*/run.json"))) == len(errors) + 1
    assert {path.name for path in PlantedSecret("HEADRACE_TEST_PLANTED").files_in(runs)} >= {"spec.yaml", "report.html"}
    assert (runs / "good" / "state.json").is_file()
    assert "null_text" in (result.directory / "quarantine.jsonl").read_text()


def _hadoop_settings(spark: SparkSession) -> str:
    jvm: Any = spark._jvm
    written = jvm.java.io.StringWriter()
    jvm.org.apache.hadoop.conf.Configuration.dumpConfiguration(
        spark.sparkContext._jsc.hadoopConfiguration(),  # type: ignore[attr-defined]
        written,
    )
    return str(written.toString())


def _logs_of_ray() -> Path:
    node: Any = ray._private.worker._global_node
    return Path(node.get_session_dir_path(), "logs")
