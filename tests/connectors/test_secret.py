"""A secret is a reference until it is used, and nothing but the reference is ever seen."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from connectors import SparkTable
from connectors.errors import SecretError
from connectors.files.paths import BASE_DIRECTORY
from connectors.secret import Secret, SettingValue, sounds_secret

SETTING: TypeAdapter[Secret | str] = TypeAdapter(SettingValue)


class Store(BaseModel):
    key: Secret


def test_a_variable_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("${env:KEY}")
    monkeypatch.setenv("KEY", "hunter2")
    assert secret.resolve().get_secret_value() == "hunter2"
    assert "hunter2" not in repr(secret) + str(secret) + secret.model_dump_json() + repr(secret.resolve())


def test_a_file_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2\n")
    assert Secret(f"${{file:{tmp_path}/key}}").resolve().get_secret_value() == "hunter2"


def test_a_relative_file_is_anchored_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Secret("${file:key}").root == f"${{file:{tmp_path}/key}}"
    store = Store.model_validate({"key": "${file:../key}"}, context={BASE_DIRECTORY: "/conf/nightly"})
    assert store.key.root == "${file:/conf/key}"


@pytest.mark.parametrize("value", ["hunter2", "", "${env:}", "${vault:x}", "x${env:A}", "${env:A}${env:B}"])
def test_a_value_in_place_of_a_reference_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ValidationError, match=r"given by reference: \$\{env:NAME\} or \$\{file:PATH\}") as raised:
        Secret(value)
    assert "hunter2" not in str(raised.value)


def test_what_cannot_be_resolved_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match="the environment variable NO_SUCH_KEY is not set; export it"):
        Secret("${env:NO_SUCH_KEY}").resolve()
    with pytest.raises(SecretError, match=r"cannot read .*: No such file"):
        Secret(f"${{file:{tmp_path}/none}}").resolve()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(SecretError, match="not UTF-8"):
        Secret(f"${{file:{tmp_path}/binary}}").resolve()


def test_secrets_are_equal_by_reference_and_survive_pickling() -> None:
    secret = Secret("${env:KEY}")
    assert secret == Secret("${env:KEY}")
    assert pickle.loads(pickle.dumps(secret)) == secret
    assert len({secret, Secret("${env:KEY}"), Secret("${env:OTHER}")}) == 2


def test_a_worker_without_the_variable_gets_the_value_that_the_driver_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "hunter2")
    sent = pickle.dumps(Store(key=Secret("${env:KEY}")))
    for elsewhere in (None, "of another day"):
        monkeypatch.delenv("KEY") if elsewhere is None else monkeypatch.setenv("KEY", elsewhere)
        store = pickle.loads(sent)
        assert store.key.resolve().get_secret_value() == "hunter2"
        assert pickle.loads(pickle.dumps(store)).key.resolve().get_secret_value() == "hunter2"
        assert store == Store(key=Secret("${env:KEY}"))
        assert "hunter2" not in repr(store) + str(store) + store.model_dump_json() + repr(vars(store))


def test_a_secret_that_led_nowhere_says_so_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY", raising=False)
    sent = pickle.dumps(Secret("${env:KEY}"))
    with pytest.raises(SecretError, match="KEY is not set"):
        pickle.loads(sent).resolve()


@pytest.mark.parametrize(
    ("written", "setting"),
    [
        ("${env:KEY}", Secret("${env:KEY}")),
        ("8", "8"),
        (8, "8"),
        (0.5, "0.5"),
        (True, "true"),
        ("${other}", "${other}"),
    ],
)
def test_a_setting_is_a_reference_where_it_reads_as_one(written: object, setting: Secret | str) -> None:
    assert SETTING.validate_python(written) == setting


def test_a_setting_is_no_list() -> None:
    with pytest.raises(ValidationError):
        SETTING.validate_python([8])


@pytest.mark.parametrize("name", ["password", "dbPassword", "spark.hadoop.fs.s3a.secret.key", "fs.s3a.access.key"])
def test_some_names_ask_for_a_secret(name: str) -> None:
    assert sounds_secret(name)
    assert not sounds_secret("spark.sql.shuffle.partitions")
    with pytest.raises(ValidationError, match="give it by reference"):
        SparkTable(format="jdbc", options={name: "hunter2"})  # type: ignore[arg-type]
