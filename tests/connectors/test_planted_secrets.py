"""Secrets of connectors that work, and of such that fail: none is told, logged, printed or recorded."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from connectors import ConnectorError, JsonLinesSink, Postgres, PostgresSink, Rest, TextLines
from connectors.rest import client as client_module
from connectors.sink import Sink
from connectors.source import PartitionedSource
from pipelines import Pipeline
from pipelines.ray_cluster import wait_until
from tests.connectors import kafka_broker, object_store, postgres_server
from tests.connectors.json_server import Asked, Reply, serving
from tests.connectors.reading import read
from tests.planted_secret import PlantedSecret, command_lines, told

SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])
Tries = Mapping[str, Callable[[], object]]


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a check that tries which fail, and all that was logged and printed up to then, tell no secret."""
    caplog.set_level(logging.DEBUG)

    def check(secret: PlantedSecret, fails: Tries) -> None:
        for name, fail in fails.items():
            with pytest.raises(ConnectorError) as caught:
                fail()
            assert (name, secret.found_in(told(caught.value))) == (name, [])
        printed = capfd.readouterr()
        assert secret.found_in(caplog.text) == []
        assert secret.found_in(printed.out + printed.err) == []

    return check


def test_postgres(quiet: Callable[..., None], tmp_path: Path) -> None:
    secret, wrong = PlantedSecret(postgres_server.PASSWORD), PlantedSecret("wr0ng: b@d/passphrase")
    (tmp_path / "wrong").write_text(wrong.value)
    with postgres_server.running() as server:

        def source(**more: object) -> Postgres:
            return Postgres(**server.options(**{"table": "reviews", **more}))

        def sink(**more: object) -> PostgresSink:
            return PostgresSink(**server.options(**{"table": "copy", **more}))

        written(PostgresSink(**server.options(table="reviews")))
        assert len(read(source(id_column="row_id"))[0]) == 2
        changes: dict[str, dict[str, object]] = {
            "wrong password": {"password": f"${{file:{tmp_path / 'wrong'}}}"},
            "no password": {"password": "${env:HEADRACE_NO_SUCH_VARIABLE}"},
            "server down": {"port": 1},
            "host unknown": {"host": "no such host"},
            "database missing": {"database": "no such database"},
        }
        reading: Tries = {name: lambda more=more: read(source(**more)) for name, more in changes.items()}  # type: ignore[misc]
        writing: Tries = {name: lambda more=more: written(sink(**more)) for name, more in changes.items()}  # type: ignore[misc]
        missing: Tries = {
            "table missing": lambda: read(source(table="nope")),
            "schema missing": lambda: written(sink(table="nope.copy")),
        }
        for one in (secret, wrong):
            for tries in (reading, writing, missing):
                quiet(one, tries)
        assert recorded(source(), sink(), secret) == []
        assert secret.found_in((server.directory / "log").read_text()) == []


def test_keys_of_s3(quiet: Callable[..., None]) -> None:
    secret = PlantedSecret(object_store.SECRET)
    with object_store.running() as store:
        bucket = store.bucket()

        def source(path: str = f"{bucket}/in", **more: object) -> TextLines:
            return TextLines(path=path, storage=store.options(**more))

        def sink(path: str = f"{bucket}/out", **more: object) -> JsonLinesSink:
            return JsonLinesSink(path=path, storage=store.options(**more))

        store.put(f"{bucket}/in/a.txt", "one\ntwo\n")
        written(sink())
        assert len(read(source())[0]) == 2
        changes: dict[str, dict[str, object]] = {
            "key unknown": {"access_key_id": "AKIAWRONG"},
            "no secret": {"secret_access_key": "${env:HEADRACE_NO_SUCH_VARIABLE}"},
            "store down": {"endpoint": "http://127.0.0.1:1"},
        }
        quiet(secret, {name: lambda more=more: read(source(**more)) for name, more in changes.items()})  # type: ignore[misc]
        quiet(secret, {name: lambda more=more: written(sink(**more)) for name, more in changes.items()})  # type: ignore[misc]
        nowhere = "s3://no-such-bucket/a"
        quiet(secret, {"source": lambda: read(source(nowhere)), "sink": lambda: written(sink(nowhere))})
        quiet(secret, {"read only": lambda: written(sink(f"{bucket}/more", access_key_id=object_store.READER))})
        assert recorded(source(), sink(), secret) == []


def test_a_token_of_rest(quiet: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    secret = PlantedSecret("t0ken~planted+by/tests==")
    monkeypatch.setenv("HEADRACE_TEST_TOKEN", secret.value)
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.0)
    with serving() as server:

        def source(**more: object) -> Rest:
            options = {"url": f"{server.url}/reviews", "allow_private": True, "retries": 1, "id_column": "id"}
            auth = {"type": "bearer", "token": "${env:HEADRACE_TEST_TOKEN}"}
            return Rest.model_validate({**options, "auth": auth, **more})

        def guarded(asked: Asked) -> Reply:
            if asked.headers.get("authorization") != f"Bearer {secret.value}":
                return Reply(status=401)
            status = {"/gone": 404, "/denied": 403, "/broken": 500}.get(asked.path, 200)
            said = f"you sent {asked.headers}"  # as some servers do
            return Reply([{"id": 1, "text": "one"}] if status == 200 else {"error": said}, status=status)

        server.answer = guarded
        assert len(read(source())[0]) == 1
        changes: dict[str, dict[str, object]] = {
            "missing": {"url": f"{server.url}/gone"},
            "denied": {"url": f"{server.url}/denied"},
            "broken": {"url": f"{server.url}/broken"},
            "wrong token": {"auth": {"type": "basic", "user": "ann", "password": "${env:HEADRACE_TEST_TOKEN}"}},
            "server down": {"url": "http://127.0.0.1:1/reviews"},
        }
        quiet(secret, {name: lambda more=more: read(source(**more)) for name, more in changes.items()})  # type: ignore[misc]
        assert recorded(source(), None, secret) == []


def test_a_password_of_kafka(quiet: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    # The mock cluster takes no logins, so that no run with a password goes well; see the tests of Kafka.
    secret = PlantedSecret("s3same: 0pen/kafka'%")
    monkeypatch.setenv("HEADRACE_TEST_TOKEN", secret.value)
    login = {"user": "me", "password": "${env:HEADRACE_TEST_TOKEN}", "security_protocol": "SASL_PLAINTEXT"}
    with kafka_broker.running() as broker:
        topic = broker.create()
        broker.produce(topic, b'{"text": "one"}')
        source = broker.source(topic, **login)
        down = source.model_copy(update={"bootstrap_servers": "127.0.0.1:1", "timeout": 1.0})
        scrambled = source.model_copy(update={"sasl_mechanism": "SCRAM-SHA-512"})
        refused = broker.source(topic, options={"sasl.mechanisms": "${env:HEADRACE_TEST_TOKEN}"})
        tries = {"login": source, "scrambled": scrambled, "broker down": down, "setting refused": refused}
        quiet(secret, {name: lambda one=one: read(one) for name, one in tries.items()})  # type: ignore[misc]
        assert recorded(source, None, secret) == []


def test_a_secret_that_comes_to_light_is_found(tmp_path: Path) -> None:
    secret = PlantedSecret("pl@nted: to/be'found")
    waiting = [sys.executable, "-c", "input()", secret.value]
    with command_lines() as lines, subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
        assert wait_until(lambda: bool(secret.found_in("\n".join(tuple(lines)))), 20)
        process.communicate(b"\n")
    for shown in (secret.value, quote(secret.value, safe=""), json.dumps(secret.value), f"cut: {secret.value[:12]}"):
        assert secret.found_in(f"<{shown}>"), shown
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "run.log").write_text(f"login me:{secret.value}@host")
    assert secret.files_in(tmp_path) == [tmp_path / "deep" / "run.log"]
    with pytest.raises(ConnectorError) as caught:
        _hide(secret)
    assert secret.found_in(told(caught.value))


def _hide(secret: PlantedSecret) -> None:
    try:
        raise OSError(secret.value)
    except OSError:
        raise ConnectorError("no") from None


def written(sink: Sink) -> None:
    """Write two rows to a sink and commit them."""
    sink.begin("one", SCHEMA)
    rows = [{"row_id": "1", "text": "one"}, {"row_id": "2", "text": "two"}]
    sink.commit("one", [sink.write("one", 0, 0, [pa.RecordBatch.from_pylist(rows, schema=SCHEMA)])])


def recorded(source: PartitionedSource, sink: Sink | None, secret: PlantedSecret) -> list[str]:
    """Return the forms of a secret in what a run with this source and sink would record of its options."""
    pipeline = Pipeline(name="planted", source=source, sink=sink)
    shown = f"{pipeline!r} {pipeline} {pipeline.describe()} {pipeline.to_yaml()} {pipeline.model_dump_json()}"
    assert "${" in shown  # its reference is there, so this is the place to look in
    return secret.found_in(shown)
