"""Addresses in object stores, and the options by which the stores are reached."""

from __future__ import annotations

from pathlib import Path
from pickle import dumps, loads

import pytest
from pydantic import SecretStr, ValidationError

from connectors import ParquetSink, SourceError, SourceNotFoundError, StorageOptions, TextLines
from connectors.errors import SecretError
from connectors.files.paths import find_files
from connectors.object_store.storage import Location

SECRET = "wJalr/planted+secret"


def _arguments(address: str, **options: object) -> dict[str, object]:
    return StorageOptions.model_validate(options).arguments(Location.parse(address), SourceError)


@pytest.mark.parametrize(
    ("address", "path", "scheme", "account"),
    [
        ("s3://bucket/a key#1/%20.txt", "bucket/a key#1/%20.txt", "s3", None),
        ("S3://bucket/", "bucket", "s3", None),
        ("gs://bucket/dir/", "bucket/dir", "gs", None),
        ("abfs://box@shop.dfs.core.windows.net/a/b", "box/a/b", "abfs", "shop"),
        ("abfss://box/a", "box/a", "abfs", None),
    ],
)
def test_an_address_is_taken_as_it_is_written(address: str, path: str, scheme: str, account: str | None) -> None:
    location = Location.parse(address)
    assert (location.path, location.scheme, location.account) == (path, scheme, account)
    assert Location.parse(location.address) == location


@pytest.mark.parametrize("address", ["s3://", "s3:///key", "s3://user:pass@host/key", "gs://host:80/x", "s3://b/a//c"])
def test_an_address_that_leads_nowhere_is_refused(address: str) -> None:
    with pytest.raises(SourceNotFoundError) as caught:
        find_files(address)
    assert "pass" not in str(caught.value)
    with pytest.raises(ValidationError):
        ParquetSink(path=address)


def test_without_options_the_environment_says_who_asks() -> None:
    for address in ("s3://b/k", "gs://b/k"):
        assert not {"access_key", "secret_key", "session_token", "anonymous", "access_token"} & set(_arguments(address))


def test_s3_is_reached_by_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", SECRET)
    given = _arguments(
        "s3://b/k",
        endpoint="http://127.0.0.1:9000/",
        region="eu-north-1",
        access_key_id="AKIA",
        secret_access_key="${env:KEY}",
        session_token="${env:KEY}",
    )
    assert given["endpoint_override"] == "127.0.0.1:9000"
    assert (given["scheme"], given["region"], given["access_key"]) == ("http", "eu-north-1", "AKIA")
    assert given["secret_key"] == given["session_token"] == SecretStr(SECRET)
    assert SECRET not in repr(given)
    assert _arguments("s3://b/k", anonymous=True)["anonymous"] is True


def test_google_is_reached_by_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    given = _arguments("gs://b/k", endpoint="https://storage.internal", access_token="${env:TOKEN}")
    assert (given["endpoint_override"], given["scheme"]) == ("storage.internal", "https")
    assert given["access_token"] == SecretStr(SECRET)


def test_azure_is_reached_by_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    assert _arguments("abfs://box@shop.dfs.core.windows.net/k") == {"account_name": "shop"}
    assert _arguments("abfs://box/k", account="shop", sas_token="${env:TOKEN}")["sas_token"] == SecretStr(SECRET)
    assert _arguments("abfs://box@shop.dfs.core.chinacloudapi.cn/k") == {
        "account_name": "shop",
        "blob_storage_authority": ".blob.core.chinacloudapi.cn",
        "dfs_storage_authority": ".dfs.core.chinacloudapi.cn",
    }
    local = _arguments("abfs://box/k", account="shop", account_key="${env:TOKEN}", endpoint="http://127.0.0.1:10000")
    assert local["blob_storage_authority"] == local["dfs_storage_authority"] == "127.0.0.1:10000"
    assert local["blob_storage_scheme"] == local["dfs_storage_scheme"] == "http"
    with pytest.raises(SourceError, match=r"does not say whose it is.*storage\.account"):
        _arguments("abfs://box/k")


def test_the_stores_are_opened_by_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "c2VjcmV0")
    made = {
        "gs://b/k": StorageOptions(access_token="${env:TOKEN}"),  # type: ignore[arg-type]
        "abfs://b@shop.dfs.core.windows.net/k": StorageOptions(account_key="${env:TOKEN}"),  # type: ignore[arg-type]
    }
    kinds = [options.filesystem(Location.parse(at), SourceError).type_name for at, options in made.items()]
    assert kinds == ["gcs", "abfs"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"access_key_id": "A"}, "give both, or neither"),
        ({"session_token": "${env:A}"}, "goes with 'access_key_id'"),
        ({"anonymous": True, "access_token": "${env:A}"}, "asks without credentials"),
        ({"account_key": "${env:A}", "sas_token": "${env:A}"}, "not both"),
        ({"endpoint": "127.0.0.1:9000"}, "http://host:port"),
        ({"endpoint": "https://host/path"}, "has no path"),
        ({"secret_access_key": SECRET, "access_key_id": "A"}, "given by reference"),
        ({"endpoint": f"https://user:{SECRET}@host"}, "without user and password"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        StorageOptions.model_validate(options)


def test_an_option_of_another_store_is_refused() -> None:
    with pytest.raises(SourceError, match=r"storage\.region is for s3://; leave it out"):
        _arguments("gs://b/k", region="x")


def test_a_secret_that_is_not_there_is_told() -> None:
    storage = {"access_key_id": "A", "secret_access_key": "${env:NO_SUCH_KEY}"}
    source = TextLines.model_validate({"path": "s3://b/k", "storage": storage})
    assert loads(dumps(source)) == source
    with pytest.raises(SecretError, match="NO_SUCH_KEY is not set"):
        source.list_files()


def test_file_addresses_are_paths(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text("one\n")
    (file,) = find_files(f"file://{tmp_path}/a%20b.txt")
    assert (file.name, file.size) == ("a b.txt", 4)
    sink = ParquetSink(path=f"file://{tmp_path}/out")
    assert not sink.is_committed("one")
