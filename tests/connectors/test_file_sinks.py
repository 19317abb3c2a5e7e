"""What the file sinks do beyond the contract: modes, crashes in the middle of a commit, and each format's limits."""

from __future__ import annotations

import datetime
import decimal
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import (
    Csv,
    CsvSink,
    JsonLines,
    JsonLinesSink,
    ParquetSink,
    ParquetSource,
    Sink,
    SinkError,
    SinkExistsError,
)
from connectors.sink import Receipt
from tests.connectors.reading import read

SCHEMA = pa.schema([("text", pa.string()), ("n", pa.int64())])


def _batch(*texts: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"text": text, "n": len(text)} for text in texts], schema=SCHEMA)


def _stage(sink: Sink, commit_id: str, *partitions: tuple[str, ...]) -> list[Receipt]:
    sink.begin(commit_id, SCHEMA)
    return [sink.write(commit_id, number, 0, [_batch(*texts)]) for number, texts in enumerate(partitions)]


def _put(sink: Sink, commit_id: str, *partitions: tuple[str, ...]) -> None:
    sink.commit(commit_id, _stage(sink, commit_id, *partitions))


def _texts(directory: Path) -> list[str]:
    return sorted(str(row["text"]) for row in read(ParquetSource(path=str(directory)))[0])


def _files(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "out"


class TestModes:
    def test_error_refuses_a_directory_with_data(self, directory: Path) -> None:
        _put(ParquetSink(path=str(directory)), "one", ("a",))
        with pytest.raises(SinkExistsError, match=r"holds data.*mode: overwrite.*mode: append"):
            ParquetSink(path=str(directory)).begin("two", SCHEMA)
        with pytest.raises(SinkExistsError, match=r"holds data"):
            ParquetSink(path=str(directory)).check()
        assert _texts(directory) == ["a"]

    def test_error_accepts_the_commit_that_it_already_has(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        _put(sink, "one", ("a",))
        _put(sink, "one", ("a",))
        assert _texts(directory) == ["a"]

    def test_overwrite_replaces_what_sinks_have_written(self, directory: Path) -> None:
        _put(JsonLinesSink(path=str(directory)), "one", ("old",), ("older",))
        _put(ParquetSink(path=str(directory), mode="overwrite"), "two", ("new",))
        assert _files(directory) == ["_commits/two.json", "part-00000-two.parquet"]

    def test_overwrite_leaves_what_no_sink_has_written(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "thesis.docx").write_text("years of work")
        with pytest.raises(SinkError, match=r"'thesis\.docx', which no sink has written"):
            ParquetSink(path=str(directory), mode="overwrite").begin("one", SCHEMA)
        assert _files(directory) == ["thesis.docx"]

    def test_append_adds(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory), mode="append")
        _put(sink, "one", ("a",))
        _put(sink, "two", ("b",), ("c",))
        assert _texts(directory) == ["a", "b", "c"]

    def test_append_refuses_other_columns_and_other_formats(self, directory: Path) -> None:
        _put(ParquetSink(path=str(directory)), "one", ("a",))
        with pytest.raises(SinkError, match=r"holds rows of text \(string\), n \(int64\)"):
            ParquetSink(path=str(directory), mode="append").begin("two", pa.schema([("text", pa.string())]))
        with pytest.raises(SinkError, match=r"so \.csv files cannot be appended"):
            CsvSink(path=str(directory), mode="append").begin("two", SCHEMA)


class TestCommits:
    def test_the_manifest_says_what_was_committed(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        receipts = _stage(sink, "one", ("a", "b"), ("c",))
        sink.commit("one", receipts, cursor="offset 7")
        manifest = json.loads((directory / "_commits" / "one.json").read_text())
        sizes = {path.name: path.stat().st_size for path in directory.glob("*.parquet")}
        committed = datetime.datetime.fromisoformat(manifest.pop("committed"))
        assert datetime.timedelta() <= datetime.datetime.now(datetime.timezone.utc) - committed < datetime.timedelta(1)
        assert manifest.pop("made_by")
        assert manifest == {
            "version": 1,
            "commit_id": "one",
            "cursor": "offset 7",
            "rows": 3,
            "size": sum(sizes.values()),
            "files": [
                {"name": f"part-0000{number}-one.parquet", "staged": receipts[number].staged[0], "size": size}
                for number, size in enumerate(sizes[name] for name in sorted(sizes))
            ],
            "columns": [["text", "string"], ["n", "int64"]],
            "replaces": [],
        }

    def test_no_rows_still_make_a_file_that_shows_the_columns(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        sink.begin("one", SCHEMA)
        sink.commit("one", [sink.write("one", number, 0, []) for number in range(3)])
        assert _files(directory) == ["_commits/one.json", "part-00000-one.parquet"]
        assert ParquetSource(path=str(directory)).read_schema().names == ["row_id", "text", "n"]

    def test_two_receipts_for_one_partition_are_refused(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        sink.begin("one", SCHEMA)
        receipts = [sink.write("one", 0, attempt, [_batch("a")]) for attempt in (0, 1)]
        with pytest.raises(SinkError, match="two receipts for one partition"):
            sink.commit("one", receipts)

    def test_a_machine_that_does_not_see_the_directory_is_told_so(self, directory: Path) -> None:
        with pytest.raises(SinkError, match="on storage that all machines share"):
            ParquetSink(path=str(directory)).write("one", 0, 0, [_batch("a")])

    def test_batches_of_other_columns_are_refused(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        sink.begin("one", SCHEMA)
        with pytest.raises(SinkError, match="a batch has the columns x"):
            sink.write("one", 0, 0, [pa.RecordBatch.from_pydict({"x": [1]})])

    def test_values_that_the_columns_cannot_hold_are_refused_by_name(self, directory: Path) -> None:
        sink = ParquetSink(path=str(directory))
        sink.begin("one", pa.schema([("n", pa.int8())]))
        with pytest.raises(SinkError, match="cannot be stored as the sink's columns: Integer value 300 not in range"):
            sink.write("one", 0, 0, [pa.record_batch({"n": [1, 300]})])
        assert not [name for name in _files(directory) if name.endswith(".parquet")]

    def test_a_directory_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(SinkError, match="cannot be written"):
            ParquetSink(path=str(tmp_path / "file" / "out")).begin("one", SCHEMA)

    @pytest.mark.parametrize("commit_id", ["../one", "", "a b", "_one"])
    def test_a_commit_id_must_fit_into_a_file_name(self, directory: Path, commit_id: str) -> None:
        with pytest.raises(SinkError, match="cannot be part of a file name"):
            ParquetSink(path=str(directory)).begin(commit_id, SCHEMA)

    @pytest.mark.parametrize("path", ["package:snownlp/out", "http://bucket/out", "hdfs://bucket/out"])
    def test_a_sink_writes_to_directories_only(self, path: str) -> None:
        with pytest.raises(ValidationError, match="a sink writes to a directory"):
            ParquetSink(path=path)


class TestFormats:
    @pytest.mark.parametrize(
        ("sink", "source"),
        [
            (lambda path: CsvSink(path=path, compression="zstd"), lambda path: Csv(path=path)),
            (lambda path: JsonLinesSink(path=path, compression="gzip"), lambda path: JsonLines(path=path)),
            (lambda path: ParquetSink(path=path), lambda path: ParquetSource(path=path)),
        ],
    )
    def test_our_sources_read_what_our_sinks_write(
        self, directory: Path, sink: Callable[[str], Sink], source: Callable[[str], ParquetSource]
    ) -> None:
        texts = ('comma, "quote"', "two\nlines", "泉", "back\\slash")
        _put(sink(str(directory)), "one", texts[:2], texts[2:])
        rows, bad = read(source(str(directory)))
        assert sorted((str(row["text"]), str(row["n"])) for row in rows) == sorted(
            (text, str(len(text))) for text in texts
        )
        assert bad == []

    @pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.struct([("a", pa.int64())]), pa.binary()])
    def test_csv_refuses_what_it_cannot_hold(self, directory: Path, kind: pa.DataType) -> None:
        with pytest.raises(SinkError, match=r"'x' holds .*which CSV cannot hold; use JsonLinesSink or ParquetSink"):
            CsvSink(path=str(directory)).begin("one", pa.schema([("x", kind)]))
        assert not directory.exists()

    def test_json_refuses_bytes_however_deep(self, directory: Path) -> None:
        with pytest.raises(SinkError, match="which JSON cannot hold"):
            JsonLinesSink(path=str(directory)).begin("one", pa.schema([("x", pa.list_(pa.binary()))]))

    def test_json_writes_what_json_has_words_for(self, directory: Path) -> None:
        row = {
            "when": datetime.datetime(2024, 1, 2, 3, 4, 5),
            "price": decimal.Decimal("1.50"),
            "scores": [1.0, float("nan"), float("inf")],
            "tags": ["a", None],
        }
        batch = pa.RecordBatch.from_pylist([row])
        sink = JsonLinesSink(path=str(directory))
        sink.begin("one", batch.schema)
        sink.commit("one", [sink.write("one", 0, 0, [batch])])
        (file,) = directory.glob("*.jsonl")
        assert json.loads(file.read_text()) == {
            "when": "2024-01-02T03:04:05",
            "price": "1.50",
            "scores": [1.0, None, None],
            "tags": ["a", None],
        }
