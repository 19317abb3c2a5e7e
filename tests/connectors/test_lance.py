"""Lance tables as a source and a sink, by the library that others write them with too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest
from lance.arrow import bfloat16_array
from lance.fragment import write_fragments
from pydantic import ValidationError

from connectors import (
    BadRow,
    EmptySourceError,
    LanceTable,
    LanceTableSink,
    SinkError,
    SinkExistsError,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.sink import Sink
from connectors.source import PartitionedSource
from pipelines.testing import SinkContract, SourceContract

ROWS = 300
SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Reviews in three versions, each of which adds a fragment."""
    path = str(tmp_path / "re views é.lance")
    for version in range(3):
        lance.write_dataset(_reviews(range(version * 100, version * 100 + 100)), path, mode="append")
    return path


class TestLanceTable(SourceContract):
    row_count = ROWS - 2  # two are deleted

    @pytest.fixture
    def source(self, path: str) -> PartitionedSource:
        lance.dataset(path).delete("key = 150 OR key = 0")
        return LanceTable(path=path, text_column="body", label_column="topic")


class TestLanceTableWithKeys(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, path: str) -> PartitionedSource:
        return LanceTable(path=path, text_column="body", id_column="key")


class TestLanceTableSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return LanceTableSink(path=str(tmp_path / "ta ble"))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, LanceTableSink)
        return lance.dataset(sink.path).to_table().to_pylist() if Path(sink.path).exists() else []


class TestReading:
    def test_rows_are_known_by_their_fragment_and_keep_their_numbers_where_others_are_deleted(self, path: str) -> None:
        source = LanceTable(path=path, text_column="body")
        before = {row["key"]: row["row_id"] for row in _read(source)}
        assert (before[0], before[99], before[100], before[299]) == ("0:1", "0:100", "1:1", "2:100")
        lance.dataset(path).delete("key < 7 OR key = 150")
        after = {row["key"]: row["row_id"] for row in _read(source)}
        assert after == {key: row_id for key, row_id in before.items() if key >= 7 and key != 150}

    def test_a_version_is_read_as_it_was_by_its_number_or_its_tag(self, path: str) -> None:
        lance.dataset(path).tags.create("first", 1)
        assert len(_read(LanceTable(path=path, text_column="body", version=2))) == 200
        assert len(_read(LanceTable(path=path, text_column="body", version="first"))) == 100
        for version in (9, "second"):
            with pytest.raises(SourceError, match=f"no version {version!r} of it"):
                _read(LanceTable(path=path, text_column="body", version=version))
        with pytest.raises(ValidationError):
            LanceTable(path=path, version=0)

    def test_a_plan_holds_on_to_its_version(self, path: str) -> None:
        source = LanceTable(path=path, text_column="body")
        with source.plan() as plan:
            lance.dataset(path).delete("key >= 10")
            assert len(_scan(source, plan.partitions)) == ROWS
        assert len(_read(source)) == 10

    def test_large_fragments_are_partitions_of_their_own(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        source = LanceTable(path=path, text_column="body")
        with source.plan() as plan:
            assert [part.key for part in plan.partitions] == ["0"]
        monkeypatch.setattr("connectors.tables.files.MIN_PARTITION_BYTES", 1)
        with source.plan() as plan:
            assert [part.key for part in plan.partitions] == ["0", "1", "2"]

    def test_types_that_spark_lacks_are_widened_and_those_that_lance_alone_has_undone(self, tmp_path: Path) -> None:
        blob = pa.field("blob", pa.large_binary(), metadata={"lance-encoding:blob": "true"})
        rows = pa.table(
            {
                "text": pa.array(["泉", "b"], pa.large_string()),
                "half": bfloat16_array([1.5, None]),
                "json": pa.array(['{"a":1}', None], pa.json_()),
                "vector": pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2)),
                "kind": pa.array(["x", None]).dictionary_encode(),
                "count": pa.array([7, None], pa.uint16()),
                "page": pa.array([{"n": 1, "tags": ["x"]}, None]),
                "at": pa.array([1, None], pa.timestamp("ns", "UTC")),
            }
        ).append_column(blob, pa.array([b"\x00\xff", None], pa.large_binary()))
        lance.write_dataset(rows, tmp_path / "t", data_storage_version="2.1")
        source = LanceTable(path=str(tmp_path / "t"))
        assert [str(field.type) for field in source.row_schema()] == [
            "string", "string", "float", "string", "list<item: float>", "string", "int32",
            "struct<n: int64, tags: list<item: string>>", "timestamp[us, tz=UTC]", "binary",
        ]  # fmt: skip
        first, second = (list(row.values())[2:] for row in _read(source))
        assert first[:6] == [1.5, '{"a":1}', [1.0, 2.0], "x", 7, {"n": 1, "tags": ["x"]}]
        assert first[7:] == [b"\x00\xff"]
        assert second == [None] * 8

    def test_processes_that_are_started_after_it_are_not_warned_of(self, path: str) -> None:
        program = (
            f"import subprocess; from connectors import LanceTable; LanceTable(path={path!r}, version=1).open_table("
            "Exception); subprocess.run(['true'], preexec_fn=lambda: None)"
        )
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert answer.stderr == ""

    def test_a_row_without_a_text_is_a_bad_row(self, tmp_path: Path) -> None:
        lance.write_dataset(pa.table({"text": ["a", None]}), tmp_path / "t")
        source = LanceTable(path=str(tmp_path / "t"))
        with source.plan() as plan:
            bad = [item for one in plan.partitions for item in source.scan(one) if isinstance(item, BadRow)]
        assert [(row.rule, row.origin, row.position) for row in bad] == [("null_text", f"{tmp_path}/t, fragment 0", 2)]


class TestReadingOn:
    def test_only_fragments_that_were_added_since_are_read(self, path: str) -> None:
        source = LanceTable(path=path, text_column="body")
        with source.plan(since=_cursor(path, 1)) as plan:
            rows = _scan(source, plan.partitions)
            assert sorted(row["key"] for row in rows) == list(range(100, ROWS))
            assert {row["row_id"] for row in rows} == {f"{one}:{row}" for one in (1, 2) for row in range(1, 101)}
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (list(plan.partitions), plan.cursor) == ([], later)

    def test_compaction_indices_and_settings_add_no_rows(self, path: str) -> None:
        source, cursor = LanceTable(path=path, text_column="body"), _cursor(path, 3)
        lance.write_dataset(_reviews(range(900, 903)), path, mode="append")
        table = lance.dataset(path)
        assert table.optimize.compact_files().fragments_removed == 4
        table.create_scalar_index("key", "BTREE")
        table.update_config({"a": "b"})
        with source.plan(since=cursor) as plan:
            rows = {row["row_id"]: row["key"] for row in _scan(source, plan.partitions)}
            assert rows == {"3:1": 900, "3:2": 901, "3:3": 902}
            assert plan.cursor == _cursor(path, table.version)

    @pytest.mark.parametrize(
        ("operation", "change"),
        [
            ("Delete", lambda table: table.delete("key = 7")),
            ("Update", lambda table: table.update({"body": "'other'"}, where="key = 7")),
            ("Overwrite", lambda table: lance.write_dataset(_reviews(range(3)), table.uri, mode="overwrite")),
            ("Merge", lambda table: table.add_columns({"stars": "1"})),
            ("Restore", lambda table: table.checkout_version(1).restore()),
        ],
    )
    def test_a_history_that_changes_rows_wants_a_full_refresh(
        self, operation: str, change: Callable[[lance.LanceDataset], object], path: str
    ) -> None:
        source, cursor = LanceTable(path=path, text_column="body"), _cursor(path, 3)
        change(lance.dataset(path))
        with (
            pytest.raises(SourceError, match=rf"version 4 .*\({operation}\) changed or deleted rows.*--full-refresh"),
            source.plan(since=cursor),
        ):
            pass

    def test_a_history_that_is_no_longer_there_wants_a_full_refresh(self, path: str) -> None:
        source, cursor = LanceTable(path=path, text_column="body"), _cursor(path, 1)
        lance.dataset(path).cleanup_old_versions(older_than=timedelta(0))
        with pytest.raises(SourceError, match=r"no longer has version 1.*--full-refresh"), source.plan(since=cursor):
            pass
        shutil.rmtree(path)
        lance.write_dataset(_reviews(range(3)), path)
        with pytest.raises(SourceError, match=r"not the one that was read.*--full-refresh"), source.plan(since=cursor):
            pass
        with pytest.raises(SourceError, match="not the cursor of a Lance table"), source.plan(since="7"):
            pass


class TestBadTables:
    def test_what_is_not_there_or_empty_is_told(self, path: str, tmp_path: Path) -> None:
        for nothing in (tmp_path / "nope", tmp_path):
            with pytest.raises(SourceNotFoundError, match=f"no Lance table at {nothing}"):
                _read(LanceTable(path=str(nothing)))
        with pytest.raises(SourceSchemaError, match=r"no column 'text'.*'text_column'"):
            _read(LanceTable(path=path))
        lance.dataset(path).delete("true")
        with pytest.raises(EmptySourceError, match="holds no rows at version 4"):
            _read(LanceTable(path=path, text_column="body"))

    def test_a_data_file_that_is_missing_or_damaged_is_told(self, path: str) -> None:
        fragment = lance.dataset(path).get_fragments()[1]
        file = Path(path, "data", fragment.data_files()[0].path)
        whole = file.read_bytes()
        for data, said in (
            (whole[:-20], "cut short"),
            (b"\xff" * (len(whole) - 300) + whole[-300:], "damaged"),
            (b"\0" * len(whole), "not appear to be a Lance file"),
        ):
            file.write_bytes(data)
            with pytest.raises(SourceError, match=rf"version 3, fragment 1: .*{said}"):
                _read(LanceTable(path=path, text_column="body"))
        file.unlink()
        with pytest.raises(SourceError, match=rf"fragment 1: .*{file.name}; it was cleaned up, or deleted by hand"):
            _read(LanceTable(path=path, text_column="body"))

    def test_a_manifest_that_is_damaged_is_told(self, path: str, capfd: pytest.CaptureFixture[str]) -> None:
        manifest = min(Path(path, "_versions").glob("*.manifest"))
        whole = manifest.read_bytes()
        for data, said in ((b"", "cut short"), (whole[:50], "cut short"), (whole[:200] + whole[-16:], "damaged")):
            manifest.write_bytes(data)
            with pytest.raises(SourceError, match=rf"the Lance table .*views é\.lance.*{said}; restore it"):
                _read(LanceTable(path=path, text_column="body"))
        with pytest.raises(SinkError, match="damaged"):
            LanceTableSink(path=path, mode="append").begin("one", SCHEMA)
        capfd.readouterr()

    def test_a_missing_library_is_told_with_the_cure(self, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "lance", None)
        with pytest.raises(SourceError, match=r"pylance is missing .*pip install 'headrace\[lance\]'"):
            LanceTable(path=path).row_schema()
        with pytest.raises(SinkError, match=r"headrace\[lance\]"):
            LanceTableSink(path=path).begin("one", SCHEMA)

    def test_a_secret_is_given_by_reference_and_shown_by_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValidationError, match="by reference"):
            LanceTable(path="s3://bucket/t", storage_options={"aws_secret_access_key": "hidden"})
        monkeypatch.setenv("HEADRACE_TEST_KEY", "s3cret-key")
        monkeypatch.setenv("HEADRACE_TEST_PLACE", "http://127.0.0.1:1/s3cret-place")
        options = {
            "aws_endpoint": "${env:HEADRACE_TEST_PLACE}",
            "aws_secret_access_key": "${env:HEADRACE_TEST_KEY}",
            "aws_access_key_id": "${env:HEADRACE_TEST_KEY}",
            "aws_region": "eu-west-1",
            "allow_http": "true",
            "client_max_retries": "0",
            "client_retry_timeout": "1",
        }
        source = LanceTable(path="s3://bucket/t", storage_options=options)
        with pytest.raises(SourceError) as caught:
            _read(source)
        assert "s3://bucket/t" in str(caught.value)
        assert "s3cret" not in f"{caught.value} {source!r} {source.model_dump_json()}"


class TestWriting:
    def test_rows_are_merged_by_their_keys_and_leave_other_columns_alone(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="merge")
        lance.write_dataset(pa.table({"row_id": ["a", "b"], "text": ["1", "1"], "Stars!": [1, 2]}), sink.path)
        _write(sink, "one", [("b", "2"), ("c", "2")])
        _write(sink, "two", [])
        assert sink.is_committed("one")
        assert sink.is_committed("two")
        rows = lance.dataset(sink.path).to_table().sort_by("row_id").to_pylist()
        assert [tuple(row.values()) for row in rows] == [("a", "1", 1), ("b", "2", 2), ("c", "2", None)]
        assert lance.dataset(sink.path).version == 3
        assert _staged(sink) == []

    def test_keys_that_a_merge_cannot_go_by_are_told_and_nothing_is_merged(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="merge")
        with pytest.raises(SinkError, match=r"2 rows have the key b \(row_id\).*deduplicate"):
            _write(sink, "one", [("a", "1"), ("b", "1"), ("b", "2")])
        with pytest.raises(SinkError, match="no key"):
            _write(sink, "two", [(None, "1")])
        with pytest.raises(SinkError, match="no column 'id' to merge by"):
            LanceTableSink(path=sink.path, mode="merge", keys=("id",)).begin("three", SCHEMA)
        for keys in ((), ("a", "a")):
            with pytest.raises(ValidationError, match="at least one column"):
                LanceTableSink(path=sink.path, keys=keys)
        for commit in ("one", "two"):
            sink.abort(commit)
        assert (_rows(sink), _staged(sink)) == ([], [])

    def test_modes_do_with_what_is_there_what_they_say(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"))
        _write(sink, "one", [("a", "1")])
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.begin("two", SCHEMA)
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.check()
        appending = LanceTableSink(path=sink.path, mode="append")
        _write(appending, "three", [("b", "2")])
        assert _rows(sink) == [("a", "1"), ("b", "2")]
        _write(appending.replacing(), "four", [("c", "3")])
        assert _rows(sink) == [("c", "3")]
        _write(appending.replacing(), "five", [])
        assert _rows(sink) == []
        assert lance.dataset(sink.path).version == 5

    def test_the_commit_and_its_cursor_are_in_the_transaction_that_has_the_rows(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"))
        sink.begin("one", SCHEMA)
        sink.commit("one", [sink.write("one", 0, 0, _batches([("a", "1")]))], "monday")
        table = lance.dataset(sink.path)
        said = table.read_transaction(table.version)
        assert said is not None
        assert said.transaction_properties == {"headrace.commit_id": "one", "headrace.cursor": "monday"}

    def test_files_are_published_as_they_were_staged_and_others_cleared(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="append")
        sink.begin("one", SCHEMA)
        sink.write("one", 0, 0, _batches([("a", "1")]))
        chosen = sink.write("one", 0, 1, _batches([("a", "1")]))
        (name,) = (json.loads(text)["name"] for text in chosen.staged)
        inode = Path(sink.path, "data", name).stat().st_ino
        assert len(_staged(sink)) == 2
        with pytest.raises(SinkError, match="two receipts for one partition"):
            sink.commit("one", [chosen, chosen])
        sink.commit("one", [chosen])
        (left,) = Path(sink.path, "data").iterdir()
        assert (left.name, left.stat().st_ino, _staged(sink)) == (name, inode, [])
        # Even where the history that knows of the commit is lost, what the table names stays.
        lance.dataset(sink.path).update_config({"a": "b"})
        lance.dataset(sink.path).cleanup_old_versions(retain_versions=1)
        sink.abort("one")
        assert _rows(sink) == [("a", "1")]

    @pytest.mark.parametrize("version", ["2.0", "2.1", "2.2"])
    def test_files_are_described_as_the_library_describes_its_own(self, version: str, tmp_path: Path) -> None:
        rows = pa.table(
            {
                "row_id": ["a"],
                "pages": [[{"n": 1, "tags": ["x", None]}]],
                "text": ["b"],
                "vector": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
                "kind": pa.array(["x"]).dictionary_encode(),
                "scores": pa.array([{"x": 0.5}]),
            }
        )
        table = lance.write_dataset(rows, tmp_path / "t", data_storage_version=version)
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="append")
        sink.begin("one", rows.schema)
        sink.commit("one", [sink.write("one", 0, 0, rows.to_batches())])
        (theirs,) = write_fragments(rows, table)
        ours = lance.dataset(sink.path).get_fragments()[1].metadata
        (file,) = ours.to_json()["files"]
        for kept in ("fields", "column_indices", "file_major_version", "file_minor_version"):
            assert file[kept] == theirs.to_json()["files"][0][kept], kept
        assert file["file_size_bytes"] == Path(sink.path, "data", file["path"]).stat().st_size
        lance.dataset(sink.path).validate()
        assert lance.dataset(sink.path).to_table().to_pylist() == rows.to_pylist() * 2

    def test_rows_may_lack_columns_that_can_be_null_and_have_them_in_another_order(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="append")
        lance.write_dataset(pa.table({"n": [1], "text": ["1"], "row_id": ["a"]}), sink.path)
        _write(sink, "one", [("b", "2")])
        assert lance.dataset(sink.path).to_table().to_pylist()[1] == {"n": None, "text": "2", "row_id": "b"}

    def test_columns_that_do_not_fit_are_told(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"))
        sink.begin("one", pa.schema([("row_id", pa.string()), ("n", pa.int8())]))
        for column, said in (
            (("more", pa.string()), "has no column 'more'; it has: n, row_id"),
            (("n", pa.string()), "column 'n' holds int8, and the rows string"),
        ):
            with pytest.raises(SinkError, match=said):
                sink.begin("two", pa.schema([("row_id", pa.string()), column]))
        with pytest.raises(SinkError, match=r"a\.b cannot.*rename the column"):
            LanceTableSink(path=str(tmp_path / "u")).begin("one", pa.schema([("a.b", pa.string())]))
        strict = pa.schema([("row_id", pa.string()), pa.field("n", pa.int64(), nullable=False)])
        lance.write_dataset(strict.empty_table(), tmp_path / "v")
        with pytest.raises(SinkError, match="wants a column 'n'"):
            LanceTableSink(path=str(tmp_path / "v")).begin("one", pa.schema([("row_id", pa.string())]))

    def test_another_writer_that_was_faster_is_told_in_a_merge(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"), mode="merge")
        _write(sink, "one", [("a", "1")])
        sink.begin("two", SCHEMA)
        files = sink._staged("two", [sink.write("two", 0, 0, _batches([("a", "2")]))])
        before = lance.dataset(sink.path)
        _write(sink, "three", [("a", "3")])
        with pytest.raises(SinkError, match=r"onflict.*run again"):
            sink._publish(before, "two", None, files)
        assert _rows(sink) == [("a", "3")]

    def test_commits_at_once_do_not_mix(self, tmp_path: Path) -> None:
        # Anew each time, as each of them makes the table if it is not there.
        for turn in range(20):
            sink = LanceTableSink(path=str(tmp_path / f"t{turn}"), mode="append")
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda one, sink=sink: _write(sink, f"{one}", [(f"{one}", "x")] * 50), range(4)))
            assert Counter(row_id for row_id, _ in _rows(sink)) == dict.fromkeys("0123", 50)

    def test_what_ends_the_rows_is_raised_as_it_is(self, tmp_path: Path) -> None:
        sink = LanceTableSink(path=str(tmp_path / "t"))
        sink.begin("one", SCHEMA)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from _batches([("a", "1")])
            raise ZeroDivisionError("a step's own")

        with pytest.raises(ZeroDivisionError, match="a step's own"):
            sink.write("one", 0, 0, batches())
        assert list(Path(sink.path, "data").glob("*")) == []

    def test_a_table_is_copied_to_another_one_in_one_pass(self, path: str, tmp_path: Path) -> None:
        source, sink = LanceTable(path=path, text_column="body"), LanceTableSink(path=str(tmp_path / "t"), mode="merge")
        sink.begin("one", source.row_schema())
        with source.plan() as plan:
            batches = (item for one in plan.partitions for item in source.scan(one) if not isinstance(item, BadRow))
            sink.commit("one", [sink.write("one", 0, 0, batches)])
        assert lance.dataset(sink.path).to_table().sort_by("key").to_pylist() == _read(source)


def _reviews(numbers: Sequence[int]) -> pa.Table:
    rows = {
        "key": pa.array(numbers, pa.int64()),
        "body": [f"review {number} 泉" for number in numbers],
        "topic": [("a b", "ü%/1", "x=y")[number % 3] for number in numbers],
    }
    return pa.table(rows)


def _cursor(path: str, version: int) -> str | None:
    with LanceTable(path=path, text_column="body", version=version).plan() as plan:
        return plan.cursor


def _read(source: LanceTable) -> list[dict[str, Any]]:
    with source.plan() as plan:
        return _scan(source, plan.partitions)


def _scan(source: LanceTable, partitions: Any) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]


def _batches(rows: Sequence[tuple[str | None, str]]) -> list[pa.RecordBatch]:
    names = ("row_id", "text")
    return [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)]


def _write(sink: LanceTableSink, commit_id: str, rows: Sequence[tuple[str | None, str]]) -> None:
    sink.begin(commit_id, SCHEMA)
    sink.commit(commit_id, [sink.write(commit_id, 0, 0, _batches(rows))])


def _rows(sink: LanceTableSink) -> list[tuple[str, str]]:
    return sorted((row["row_id"], row["text"]) for row in lance.dataset(sink.path).to_table().to_pylist())


def _staged(sink: LanceTableSink) -> list[str]:
    """Return the names of data files that the table does not name."""
    names = {file.path for fragment in lance.dataset(sink.path).get_fragments() for file in fragment.data_files()}
    return sorted(one.name for one in Path(sink.path, "data").glob("headrace-*") if one.name not in names)
