"""The sources of files over an object store: the same rows under the same ids as from a disk, whatever goes wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import (
    Archives,
    ArrowFiles,
    ConnectionCutError,
    Csv,
    EmptySourceError,
    JsonLines,
    ParquetSource,
    SourceError,
    SourceNotFoundError,
    TextFolder,
    TextLines,
)
from connectors.files import partition
from connectors.files.lines import open_file
from connectors.files.paths import find_files
from connectors.object_store import faults as storage_faults
from connectors.object_store.storage import StorageOptions
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.archive_files import http, page, record, tar_bytes, warc_gz, zip_file
from tests.connectors.arrow_bytes import arrow_bytes
from tests.connectors.object_store import OWNER, READER, SECRET, Fault, ObjectStore, running
from tests.connectors.reading import read
from tests.planted import plant, sources


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    with running() as store:
        yield store


@pytest.fixture
def bucket(store: ObjectStore) -> Iterator[str]:
    yield store.bucket()
    store.faults.clear()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries are short."""
    monkeypatch.setattr(storage_faults, "WAITS", (0.01,))


class _Contract(SourceContract):
    secret_values = (SECRET,)


class TestTextFolderInAStore(_Contract):
    row_count = 3

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str) -> PartitionedSource:
        for name, text in (("sport/a b#1.txt", "one"), ("sport/2.txt", "zwei ö"), ("tech/%20.txt", "bad \0")):
            store.put(f"{bucket}/news/{name}", text)
        return TextFolder(path=f"{bucket}/news", storage=store.options())


class TestArrowFilesInAStore(_Contract):
    row_count = 5

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str) -> PartitionedSource:
        for kind in ("file", "stream", "orc"):
            store.put(f"{bucket}/a/{kind}", arrow_bytes(pa.table({"text": [kind], "n": [1]}), kind))
        store.put(f"{bucket}/a/more", arrow_bytes(pa.table({"text": ["two", None], "more": [0.5, 1.5]}), "file"))
        return ArrowFiles(path=f"{bucket}/a", storage=store.options())


class TestArchivesInAStore(_Contract):
    row_count = 5

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str, tmp_path: Path) -> PartitionedSource:
        packed = (
            zip_file(tmp_path / "a.zip", {"one.txt": b"one", "bad.txt": b"\xff"}),
            warc_gz(tmp_path / "c.warc.gz", [record(http(page(f"page {n}"))) for n in range(2)]),
        )
        for path in packed:
            store.put(f"{bucket}/crawl/{path.name}", path.read_bytes())
        store.put(f"{bucket}/crawl/b.tar.gz", gzip.compress(tar_bytes({"zwei.txt": b"zwei"})))
        return Archives(path=f"{bucket}/crawl", storage=store.options())


class TestTextLinesInAStore(_Contract):
    row_count = 5

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str) -> PartitionedSource:
        store.put(f"{bucket}/pos.txt", "good\r\n\nvery good")
        store.put(f"{bucket}/neg.txt.gz", gzip.compress(b"bad\nvery bad\nbroken \xff\n"))
        files = {"pos": f"{bucket}/pos.txt", "neg": f"{bucket}/neg.txt.gz"}
        return TextLines(files=files, storage=store.options())


class TestCsvInAStore(_Contract):
    row_count = 3

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str) -> PartitionedSource:
        store.put(f"{bucket}/a.csv", 'text,label\n"one\ntwo",x\nthree\n')
        store.put(f"{bucket}/b.csv.gz", gzip.compress(b"text,label\nfour,y\n"))
        return Csv(path=bucket, storage=store.options())


class TestJsonLinesInAStore(_Contract):
    row_count = 3

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str) -> PartitionedSource:
        store.put(f"{bucket}/a.jsonl", '{"text": "one", "n": 1}\nno json\n{"text": "two"}\n')
        return JsonLines(path=f"{bucket}/*.jsonl", storage=store.options())


class TestParquetSourceInAStore(_Contract):
    row_count = 3

    @pytest.fixture
    def source(self, store: ObjectStore, bucket: str, tmp_path: Path) -> PartitionedSource:
        table = pa.table({"text": ["a", "b", None], "topic": ["x", "y", "y"]})
        pq.write_to_dataset(table, tmp_path / "rows", partition_cols=["topic"])
        store.put_tree(tmp_path / "rows", f"{bucket}/n=1/rows")
        return ParquetSource(path=f"{bucket}/n=1/rows", label_column="topic", storage=store.options())


class TestReading:
    def test_rows_and_faults_are_those_that_a_disk_gives(self, store: ObjectStore, bucket: str, tmp_path: Path) -> None:
        plant(tmp_path, seed=3)
        for name in ("lines", "csv", "json", "parquet"):
            store.put_tree(tmp_path / name, f"{bucket}/{name}")
        local_ones = sources(tmp_path)
        del local_ones["folder"]
        for name, local in local_ones.items():
            options: dict[str, Any] = local.model_dump(exclude_unset=True) | {"storage": store.options()}
            options |= {"path": f"{bucket}/{name}"} if "path" in options else {}
            if "files" in options:
                options["files"] = {label: f"{bucket}/lines/{label}.txt" for label in ("sport", "tech")}
            rows, bad = read(type(local).model_validate(options))
            expected_rows, expected_bad = read(local)
            assert rows == expected_rows
            assert [replace(row, origin="") for row in bad] == [replace(row, origin="") for row in expected_bad]
            assert all(row.origin.startswith(f"{bucket}/{name}/") for row in bad)

    @pytest.mark.parametrize(
        "glob", ["", "/*", "/**/*.txt", "/a*/*", "/**", "/*/b", "/a[!2]/**/?.txt", "/a1/b/*.txt", "/a1", "/*/x.[ab]"]
    )
    def test_globs_find_what_they_find_on_a_disk(
        self, store: ObjectStore, bucket: str, tmp_path: Path, glob: str
    ) -> None:
        names = ("a1/b/c.txt", "a1/b.txt", "a2/b/c.txt", "a2/x.a", "b", "a-/c.txt", "_h/a.txt", "a1/.h/b.txt", "a1/_b")
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        store.put_tree(tmp_path, f"{bucket}/in")
        found = find_files(f"{bucket}/in{glob}", storage=StorageOptions(**store.options()))
        expected = find_files(f"{tmp_path}{glob}")
        assert [(file.name, file.size) for file in found] == [(file.name, file.size) for file in expected]

    def test_an_object_with_a_star_in_its_name_can_be_named(self, store: ObjectStore, bucket: str) -> None:
        for name in ("a*.txt", "ab.txt"):
            store.put(f"{bucket}/{name}", name)
        (file,) = find_files(f"{bucket}/a*.txt", storage=StorageOptions(**store.options()))
        assert file.name == "a*.txt"

    def test_a_large_object_is_split_between_lines_and_read_by_ranges(
        self, store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(partition, "MIN_PARTITION_BYTES", 1000)
        lines = [f"line {number} " + "x" * (number % 50) for number in range(2000)]
        store.put(f"{bucket}/big.txt", "\n".join(lines))
        source = TextLines(path=f"{bucket}/big.txt", storage=store.options())
        with source.plan() as plan:
            assert len(plan.partitions) > 5
        assert [(row["row_id"], row["text"]) for row in read(source)[0]] == [
            (f"big.txt:{number}", line) for number, line in enumerate(lines, 1)
        ]

    def test_objects_are_read_once_each_as_they_come(self, store: ObjectStore, bucket: str) -> None:
        source = TextLines(path=bucket, storage=store.options())
        store.put(f"{bucket}/a.txt", "one\n")
        with source.plan() as plan:
            cursor = plan.cursor
        store.put(f"{bucket}/b.txt", "two\n")
        with source.plan(since=cursor) as plan:
            batches = [batch for one in plan.partitions for batch in source.scan(one)]
        assert [text for batch in batches for text in batch.column("text").to_pylist()] == ["two"]  # type: ignore[union-attr]

    def test_row_groups_that_a_predicate_excludes_are_not_read(self, store: ObjectStore, bucket: str) -> None:
        import pyarrow.compute as pc

        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), sink, row_group_size=1)
        store.put(f"{bucket}/a.parquet", sink.getvalue().to_pybytes())
        source = ParquetSource(path=bucket, storage=store.options())
        with source.plan(predicate=pc.field("n") == 2) as plan:
            batches = [batch for one in plan.partitions for batch in source.scan(one)]
        assert [batch.to_pylist() for batch in batches] == [[{"row_id": "a.parquet:2", "text": "b", "n": 2}]]  # type: ignore[union-attr]


@pytest.mark.usefixtures("impatient")
class TestFaultsThatPass:
    @pytest.mark.parametrize(
        ("kind", "code"), [("lines", "cut"), ("lines", "InternalError"), ("gzip", "SlowDown"), ("parquet", "cut")]
    )
    def test_reading_goes_on_where_it_was(self, store: ObjectStore, bucket: str, code: str, kind: str) -> None:
        source, texts = _planted(store, bucket, kind)
        with source.plan() as plan:
            store.faults.append(Fault("GET", "/rows", code, times=1))
            items = [item for one in plan.partitions for item in source.scan(one)]
        assert [text for item in items for text in item.column("text").to_pylist()] == texts  # type: ignore[union-attr]
        assert store.faults[0].times == 0

    def test_listing_is_tried_again(self, store: ObjectStore, bucket: str) -> None:
        source, texts = _planted(store, bucket, "lines")
        store.faults.append(Fault("GET", bucket[5:], "SlowDown", times=3))
        assert [row["text"] for row in read(source)[0]] == texts

    def test_tries_have_an_end(self, store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(storage_faults, "WAITS", ())
        source, _ = _planted(store, bucket, "lines")
        with source.plan() as plan:
            store.faults.append(Fault("GET", "/rows", "SlowDown", times=1000))
            with pytest.raises(ConnectionCutError, match="run again later"):
                list(source.scan(plan.partitions[0]))
        assert 1000 - store.faults[0].times <= 20


class TestFaultsThatDoNot:
    def test_what_is_missing_is_told_with_what_is_there(self, store: ObjectStore, bucket: str) -> None:
        store.put(f"{bucket}/reviews/a.txt", "one")
        with pytest.raises(SourceNotFoundError, match=r"'review' does not exist at http.*did you mean 'reviews'"):
            read(TextLines(path=f"{bucket}/review/a.txt", storage=store.options()))
        with pytest.raises(SourceNotFoundError, match=r"there is no bucket 'no-such-bucket' at http.*create it"):
            read(TextLines(path="s3://no-such-bucket/a.txt", storage=store.options()))
        with pytest.raises(EmptySourceError, match=r"no file that matches '\*\.csv'; there is: reviews/a\.txt"):
            read(TextLines(path=f"{bucket}/*.csv", storage=store.options()))

    @pytest.mark.parametrize("key", ["AKIAWRONG", ""])
    def test_keys_that_are_not_known_are_told_without_the_secret(
        self, store: ObjectStore, bucket: str, key: str
    ) -> None:
        options = (
            store.options(access_key_id=key) if key else {"endpoint": store.options()["endpoint"], "anonymous": True}
        )
        with pytest.raises(
            SourceError, match=r"s3://.* at http://127\.0\.0\.1.*(ACCESS_DENIED|INVALID_ACCESS_KEY_ID).*credentials"
        ) as caught:
            read(TextLines(path=bucket, storage=options))
        assert SECRET not in _chain(caught.value)
        assert store.requests.count(f"GET /{bucket[5:]}") < 4

    def test_a_store_that_is_down_is_told_soon(self, store: ObjectStore) -> None:
        source = TextLines(path="s3://b/k", storage=store.options(endpoint="http://127.0.0.1:1"))
        with pytest.raises(SourceError, match=r"s3://b/k at http://127\.0\.0\.1:1: .*check the endpoint") as caught:
            read(source)
        assert SECRET not in _chain(caught.value)

    def test_truncated_gzip_names_the_object(self, store: ObjectStore, bucket: str) -> None:
        store.put(f"{bucket}/a.txt.gz", gzip.compress(b"line\n" * 10_000)[:-10])
        with pytest.raises(SourceError, match=rf"{bucket}/a\.txt\.gz cannot be read: .*whole gzip data"):
            read(TextLines(path=bucket, storage=store.options()))

    def test_parquet_with_a_broken_footer_names_the_object(self, store: ObjectStore, bucket: str) -> None:
        store.put(f"{bucket}/a.parquet", b"PAR1" + b"x" * 100)
        with pytest.raises(SourceError, match=rf"{bucket} cannot be read as Parquet: .*a\.parquet.*footer"):
            read(ParquetSource(path=bucket, storage=store.options()))

    def test_an_object_that_was_replaced_since_it_was_listed_is_told(self, store: ObjectStore, bucket: str) -> None:
        store.put(f"{bucket}/a.txt", "one\n")
        (file,) = find_files(bucket, storage=StorageOptions(**store.options()))
        store.put(f"{bucket}/a.txt", "one and two\n")
        with pytest.raises(SourceError, match="has 12 bytes, and had 4"), open_file(file) as stream:
            stream.read()
        store.filesystem.delete_file(f"{bucket[5:]}/a.txt")
        with pytest.raises(SourceNotFoundError, match="not there any more"), open_file(file) as stream:
            stream.read()

    def test_a_reader_needs_no_right_to_write(self, store: ObjectStore, bucket: str) -> None:
        store.put(f"{bucket}/a.txt", "one\n")
        rows, _ = read(TextLines(path=bucket, storage=store.options(access_key_id=READER)))
        assert [row["text"] for row in rows] == ["one"]

    def test_the_environment_gives_the_keys(
        self, store: ObjectStore, bucket: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.put(f"{bucket}/a.txt", "one\n")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        endpoint = store.options()["endpoint"].replace("127.0.0.1", "localhost")
        rows, _ = read(TextLines(path=bucket, storage={"endpoint": endpoint, "region": "us-east-1"}))
        assert len(rows) == 1


def _planted(store: ObjectStore, bucket: str, kind: str) -> tuple[PartitionedSource, list[str]]:
    texts = [f"text {number}" for number in range(2000)]
    if kind == "parquet":
        out = pa.BufferOutputStream()
        pq.write_table(pa.table({"text": texts}), out)
        store.put(f"{bucket}/rows.parquet", out.getvalue().to_pybytes())
        return ParquetSource(path=f"{bucket}/rows.parquet", storage=store.options()), texts
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    name = f"{bucket}/rows.jsonl" + (".gz" if kind == "gzip" else "")
    store.put(name, gzip.compress(lines) if kind == "gzip" else lines)
    return JsonLines(path=name, types={"text": "string"}, storage=store.options()), texts


def _chain(error: BaseException | None) -> str:
    said = ""
    while error is not None:
        said += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    return said
