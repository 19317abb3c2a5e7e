"""The sinks of files over an object store: whole files, commits that happen once, and no more said than is wise."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import threading
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import pytest

from connectors import CsvSink, JsonLinesSink, ParquetSink, ParquetSource, SinkError, SinkExistsError
from connectors.object_store import faults as storage_faults
from connectors.object_store.directory import ObjectDirectory
from connectors.object_store.storage import Location, StorageOptions
from connectors.sink import Receipt, Sink
from pipelines.testing import SinkContract
from tests.connectors.object_store import READER, SECRET, Fault, ObjectStore, running
from tests.connectors.reading import read

SCHEMA = pa.schema([("text", pa.string())])


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture
def bucket(store: ObjectStore) -> Iterator[str]:
    yield store.bucket()
    store.faults.clear()


class _Contract(SinkContract):
    secret_values = (SECRET,)

    @pytest.fixture(autouse=True)
    def _keep(self, store: ObjectStore) -> None:
        self.store = store

    def contents(self, path: str) -> list[bytes]:
        """Return what the objects hold that a reader sees who knows nothing of manifests."""
        names = [name for name in self.store.names(path) if not name.startswith(("_", "."))]
        return [self.store.read(f"{path}/{name}") for name in names]


class TestParquetSinkInAStore(_Contract):
    @pytest.fixture
    def sink(self, store: ObjectStore, bucket: str) -> Sink:
        return ParquetSink(path=f"{bucket}/a b/out", storage=store.options())

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, ParquetSink)
        return [row for data in self.contents(sink.path) for row in pq.read_table(pa.py_buffer(data)).to_pylist()]


class TestJsonLinesSinkInAStore(_Contract):
    @pytest.fixture
    def sink(self, store: ObjectStore, bucket: str) -> Sink:
        return JsonLinesSink(path=bucket, storage=store.options(), compression="gzip")

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, JsonLinesSink)
        return [json.loads(line) for data in self.contents(sink.path) for line in gzip.decompress(data).splitlines()]


class TestCsvSinkInAStore(_Contract):
    @pytest.fixture
    def sink(self, store: ObjectStore, bucket: str) -> Sink:
        return CsvSink(path=f"{bucket}/out", storage=store.options())

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, CsvSink)
        texts = [data.decode() for data in self.contents(sink.path)]
        return [dict(row) for text in texts for row in csv.DictReader(io.StringIO(text, newline=""))]


class TestWriting:
    def test_readers_that_know_nothing_of_manifests_see_committed_rows(self, store: ObjectStore, bucket: str) -> None:
        sink = ParquetSink(path=f"{bucket}/out", storage=store.options(), mode="append")
        _put(sink, "one", "a")
        _stage(sink, "two", "b")
        table = pds.dataset(f"{bucket[5:]}/out", filesystem=store.filesystem, format="parquet").to_table()
        assert table.to_pylist() == [{"text": "a"}]

    def test_modes_do_with_what_is_there_what_they_say(self, store: ObjectStore, bucket: str) -> None:
        options = {"path": f"{bucket}/out", "storage": store.options()}
        _put(ParquetSink(**options), "one", "a", "b")
        with pytest.raises(SinkExistsError, match=r"s3://.*/out holds data"):
            ParquetSink(**options).begin("two", SCHEMA)
        _put(ParquetSink(**options, mode="append"), "three", "c")
        assert _texts(store, bucket) == ["a", "b", "c"]
        _put(ParquetSink(**options, mode="append").replacing(), "four", "d")
        assert _texts(store, bucket) == ["d"]
        assert store.names(f"{bucket}/out") == ["_commits/four.json", "part-00000-four.parquet"]

    def test_a_large_file_goes_up_in_parts_and_is_seen_when_it_is_whole(self, store: ObjectStore, bucket: str) -> None:
        sink = JsonLinesSink(path=f"{bucket}/out", storage=store.options())
        sink.begin("one", SCHEMA)
        store.requests.clear()
        seen: list[list[str]] = []

        def batches() -> Iterator[pa.RecordBatch]:
            for number in range(14):
                yield pa.record_batch([[f"{number}" + "x" * 1_000_000]], schema=SCHEMA)
                seen.append([name for name in store.names(f"{bucket}/out") if name.endswith(".jsonl")])

        receipt = sink.write("one", 0, 0, batches())
        assert sum("PUT" in request and ".jsonl" in request for request in store.requests) >= 2
        assert not any(seen)
        assert receipt.bytes > 14_000_000
        sink.commit("one", [receipt])
        assert len(store.read(f"{bucket}/out/part-00000-one.jsonl")) == receipt.bytes

    def test_of_two_that_commit_the_same_at_once_one_has_committed(self, store: ObjectStore, bucket: str) -> None:
        sink = ParquetSink(path=f"{bucket}/out", storage=store.options())
        sink.begin("one", SCHEMA)
        tries = [
            [sink.write("one", number, attempt, _rows(f"{attempt}-{number}")) for number in range(3 - attempt)]
            for attempt in range(2)
        ]
        threads = [threading.Thread(target=sink.commit, args=("one", receipts)) for receipts in tries]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sink.is_committed("one")
        assert _texts(store, bucket) in (["0-0", "0-1", "0-2"], ["1-0", "1-1"])

    def test_creating_an_object_tells_the_first_from_the_second(self, store: ObjectStore, bucket: str) -> None:
        directory = ObjectDirectory(Location.parse(f"{bucket}/d"), StorageOptions(**store.options()))
        assert directory.create("x", b"1")
        assert not directory.create("x", b"2")
        assert directory.create("x", b"1"), "an answer that was lost does not make it another's"
        assert directory.read("x") == b"1"


class TestFaults:
    def test_faults_that_pass_are_waited_out(
        self, store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage_faults, "WAITS", (0.01,))
        sink = ParquetSink(path=f"{bucket}/out", storage=store.options())
        store.faults += [
            Fault("PUT", "schema.arrow", "InternalError", 500),
            Fault("PUT", "_commits/one.json", "SlowDown"),
            Fault("PUT", "part-", "SlowDown"),
            Fault("HEAD", "part-", "SlowDown"),
        ]
        _put(sink, "one", "a")
        assert _texts(store, bucket) == ["a"]
        assert [fault.times for fault in store.faults[:3]] == [0, 0, 0]

    def test_an_upload_that_fails_leaves_nothing_to_see(self, store: ObjectStore, bucket: str) -> None:
        sink = ParquetSink(path=f"{bucket}/out", storage=store.options())
        sink.begin("one", SCHEMA)
        store.faults.append(Fault("PUT", ".parquet", "AccessDenied", 403, times=100))
        with pytest.raises(SinkError, match=r"s3://.*/out at http.*ACCESS_DENIED"):
            sink.write("one", 0, 0, _rows("a"))
        assert store.names(f"{bucket}/out") == ["_staging/one/schema.arrow"]

    def test_what_the_store_refuses_is_told_without_the_secret(self, store: ObjectStore, bucket: str) -> None:
        with pytest.raises(SinkError, match=r"no bucket 'nowhere-at-all' at http.*create it"):
            ParquetSink(path="s3://nowhere-at-all/out", storage=store.options()).begin("one", SCHEMA)
        sink = ParquetSink(path=f"{bucket}/out", storage=store.options(access_key_id=READER))
        with pytest.raises(SinkError, match=r"ACCESS_DENIED.*a sink putting and deleting") as caught:
            sink.begin("one", SCHEMA)
        assert SECRET not in f"{caught.value} {caught.value.__context__!r}"

    def test_a_client_that_is_missing_is_told_before_anything_is_written(
        self, store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "botocore.session", None)
        with pytest.raises(SinkError, match=r"pip install 'headrace\[s3\]'"):
            ParquetSink(path=f"{bucket}/out", storage=store.options()).begin("one", SCHEMA)
        assert store.names(bucket) == []


def _rows(*texts: str) -> list[pa.RecordBatch]:
    return [pa.record_batch([list(texts)], schema=SCHEMA)]


def _stage(sink: Sink, commit_id: str, *texts: str) -> list[Receipt]:
    sink.begin(commit_id, SCHEMA)
    return [sink.write(commit_id, number, 0, _rows(text)) for number, text in enumerate(texts)]


def _put(sink: Sink, commit_id: str, *texts: str) -> None:
    sink.commit(commit_id, _stage(sink, commit_id, *texts))


def _texts(store: ObjectStore, bucket: str) -> list[str]:
    rows, _ = read(ParquetSource(path=f"{bucket}/out", storage=store.options()))
    return sorted(str(row["text"]) for row in rows)
