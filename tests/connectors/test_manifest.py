"""Commits of file sinks as readers see them, wherever they are cut short: on a disk and in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import EmptySourceError, ParquetSink, ParquetSource, Receipt, SinkError, SourceError
from connectors.files.directory import LocalDirectory, SinkDirectory, sink_directory
from connectors.files.manifest import Manifest
from connectors.object_store.directory import ObjectDirectory
from connectors.object_store.storage import StorageOptions
from tests.connectors.object_store import ObjectStore, running

SCHEMA = pa.schema([("text", pa.string())])


class _KilledError(BaseException):
    """Stands for the end of the process."""


@dataclass
class Place:
    """Where a sink writes, and its source reads.

    Attributes:
        path: of both.
        storage: of both.
    """

    path: str
    storage: dict[str, Any]

    def sink(self, mode: str = "append") -> ParquetSink:
        return ParquetSink.model_validate({"path": self.path, "storage": self.storage, "mode": mode})

    def source(self, glob: str = "") -> ParquetSource:
        return ParquetSource(path=f"{self.path}{glob}", storage=self.storage)

    @property
    def directory(self) -> SinkDirectory:
        return sink_directory(self.path, StorageOptions(**self.storage))

    def visible(self) -> list[str]:
        return [name for name in self.directory.names() if not name.startswith("_")]

    def staged(self) -> list[str]:
        return self.directory.names("_staging")


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture(params=["disk", "store"])
def place(request: pytest.FixtureRequest, store: ObjectStore, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "out"), {})
    return Place(f"{store.bucket()}/out", store.options())


def _stage(sink: ParquetSink, commit_id: str, *texts: str) -> list[Receipt]:
    sink.begin(commit_id, SCHEMA)
    batches = [pa.record_batch([[text]], schema=SCHEMA) for text in texts]
    return [sink.write(commit_id, number, 0, [batch]) for number, batch in enumerate(batches)]


def _put(sink: ParquetSink, commit_id: str, *texts: str) -> None:
    sink.commit(commit_id, _stage(sink, commit_id, *texts))


def _killed(monkeypatch: pytest.MonkeyPatch, step: str, sink: ParquetSink, commit_id: str, *texts: str) -> None:
    """Commit, and die at a step of it."""

    def die(*args: object) -> None:
        raise _KilledError

    receipts = _stage(sink, commit_id, *texts)
    with monkeypatch.context() as patched:
        for kind in (LocalDirectory, ObjectDirectory):
            patched.setattr(kind, step, die)
        with pytest.raises(_KilledError):
            sink.commit(commit_id, receipts)


def _read(source: ParquetSource, since: str | None = None) -> tuple[list[tuple[str, str]], str]:
    with source.plan(since=since) as plan:
        batches = [batch for one in plan.partitions for batch in source.scan(one)]
        assert plan.cursor is not None
        rows = [row for batch in batches if isinstance(batch, pa.RecordBatch) for row in batch.to_pylist()]
        return [(row["row_id"], row["text"]) for row in rows], plan.cursor


def _texts(place: Place) -> list[str]:
    return sorted(text for _, text in _read(place.source())[0])


def test_a_commit_that_is_killed_before_its_manifest_is_never_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(place.sink(), "zero", "old")
    _killed(monkeypatch, "create", place.sink(), "one", "a", "b")
    assert not place.sink().is_committed("one")
    assert _texts(place) == ["old"]
    place.sink().abort("one")
    assert (_texts(place), place.staged(), place.visible()) == (["old"], [], ["part-00000-zero.parquet"])


def test_a_commit_that_is_killed_after_its_manifest_is_seen_at_once_and_as_it_stays(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(place.sink(), "zero", "old")
    _killed(monkeypatch, "publish", place.sink(), "one", "a", "b")
    assert place.visible() == ["part-00000-zero.parquet"]
    rows, cursor = _read(place.source())
    assert rows == [
        ("part-00000-one.parquet:1", "a"),
        ("part-00000-zero.parquet:1", "old"),
        ("part-00001-one.parquet:1", "b"),
    ]
    assert _read(place.source("/part-00001-*"))[0] == rows[2:]
    assert place.sink().is_committed("one")
    assert len(place.visible()) == 3
    assert place.staged() == []
    assert _read(place.source()) == (rows, cursor)
    assert _read(place.source(), cursor)[0] == []


@pytest.mark.parametrize("next_step", ["begin of another", "abort", "commit again", "is_committed"])
def test_whatever_comes_next_finishes_a_commit_that_has_happened(
    place: Place, monkeypatch: pytest.MonkeyPatch, next_step: str
) -> None:
    sink = place.sink()
    _killed(monkeypatch, "remove_tree", sink, "one", "a")
    {
        "begin of another": lambda: sink.begin("two", SCHEMA),
        "abort": lambda: sink.abort("one"),
        "commit again": lambda: sink.commit("one", []),
        "is_committed": lambda: sink.is_committed("one"),
    }[next_step]()
    assert "one" not in place.staged()
    assert _texts(place) == ["a"]


@pytest.mark.parametrize("step", ["create", "remove", "publish", "remove_tree"])
def test_an_overwrite_is_seen_as_a_whole_wherever_it_is_killed(
    place: Place, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    _put(place.sink(), "zero", "old", "older")
    _put(place.sink(), "one", "newer")
    _killed(monkeypatch, step, place.sink("overwrite"), "two", "new")
    assert _texts(place) == (["newer", "old", "older"] if step == "create" else ["new"])
    _put(place.sink("overwrite"), "three", "newest")
    assert _texts(place) == ["newest"]
    assert place.visible() == ["part-00000-three.parquet"]
    assert place.directory.names("_commits") == ["three.json"]
    assert place.staged() == []


def test_files_of_no_commit_are_passed_over_and_those_of_others_are_not(place: Place) -> None:
    _put(place.sink(), "one", "a")
    whole = place.directory.read("part-00000-one.parquet")
    assert whole is not None
    place.directory.write("part-00000-stray.parquet", whole)
    assert _texts(place) == ["a"]
    place.directory.write("by-hand.parquet", whole)
    assert _texts(place) == ["a", "a"]
    with pytest.raises(SinkError, match=r"'part-00000-stray\.parquet', which belongs to no commit"):
        place.sink().begin("two", SCHEMA)
    with pytest.raises(SinkError, match="which no sink has written"):
        place.sink("overwrite").begin("two", SCHEMA)


def test_directories_of_commits_are_read_from_above(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Place(f"{place.path}/day=1", place.storage)
    _put(inner.sink(), "one", "a")
    _killed(monkeypatch, "publish", inner.sink(), "two", "b")
    rows = _read(place.source())[0]
    assert [row[0] for row in rows] == ["day=1/part-00000-one.parquet:1", "day=1/part-00000-two.parquet:1"]


def test_a_directory_with_nothing_but_attempts_is_empty(place: Place) -> None:
    _stage(place.sink(), "one", "a")
    with pytest.raises(EmptySourceError):
        _read(place.source())


def test_a_directory_that_is_called_like_ours_and_holds_no_manifest_hides_nothing(place: Place) -> None:
    _put(place.sink(), "one", "a")
    place.directory.remove(["_commits/one.json"])
    assert _texts(place) == ["a"]


@pytest.mark.parametrize("data", [b"{", b'{"version": 1}', b'{"version": 99}'])
def test_a_manifest_that_is_none_is_told_by_name(place: Place, data: bytes) -> None:
    _put(place.sink(), "one", "a")
    place.directory.write("_commits/one.json", data)
    with pytest.raises(SourceError, match=r"_commits/one\.json is (no manifest|of a later version)"):
        _read(place.source())
    with pytest.raises(SinkError, match=r"_commits/one\.json is (no manifest|of a later version)"):
        place.sink().is_committed("one")


def test_a_manifest_is_what_it_was_after_a_round_trip(place: Place) -> None:
    sink = place.sink()
    sink.commit("one", _stage(sink, "one", "ä"), cursor="泉")
    data = place.directory.read("_commits/one.json")
    assert data is not None
    manifest = Manifest.parse(data, "here")
    assert manifest.data() == data
    assert (manifest.cursor, manifest.rows, manifest.columns) == ("泉", 1, (("text", "string"),))
