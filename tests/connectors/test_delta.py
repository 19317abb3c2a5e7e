"""Delta tables as a source and a sink, by the library that others write them with too."""

from __future__ import annotations

import json
import shutil
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable as Library
from deltalake import write_deltalake
from pydantic import ValidationError
from pyroaring import BitMap

from connectors import (
    BadRow,
    DeltaTable,
    DeltaTableSink,
    EmptySourceError,
    SinkError,
    SinkExistsError,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.sink import Sink
from connectors.source import PartitionedSource
from connectors.tables.staged_files import named
from pipelines.testing import SinkContract, SourceContract

ROWS = 300
SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Reviews in three versions, of which the last one is partitioned by topics with awkward names."""
    path = str(tmp_path / "re views é")
    for version in range(3):
        numbers = range(version * 100, version * 100 + 100)
        write_deltalake(path, _reviews(numbers), mode="append", partition_by=["topic"])
    return path


class TestDeltaTable(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, table: str) -> PartitionedSource:
        return DeltaTable(path=table, text_column="body", label_column="topic")


class TestDeltaTableWithKeys(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, table: str) -> PartitionedSource:
        return DeltaTable(path=table, text_column="body", id_column="key")


class TestDeltaTableSink(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Sink:
        return DeltaTableSink(path=str(tmp_path / "ta ble"))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, DeltaTableSink)
        if not Library.is_deltatable(sink.path):
            return []
        return Library(sink.path).to_pyarrow_table().to_pylist()


class TestReading:
    def test_rows_are_known_by_their_file_and_their_number_in_it(self, table: str) -> None:
        (first, *_) = _read(DeltaTable(path=table, text_column="body"))
        file, _, number = str(first["row_id"]).rpartition(":")
        assert number == "1"
        assert (Path(table) / file).is_file()

    def test_a_version_or_a_time_is_read_as_it_was(self, table: str) -> None:
        assert len(_read(DeltaTable(path=table, text_column="body", version=1))) == 200
        made = Library(table).history()[1]["timestamp"]
        at = datetime.fromtimestamp(made / 1000, timezone.utc)
        assert len(_read(DeltaTable(path=table, text_column="body", timestamp=at))) == 200
        for options, said in (
            ({"version": 9}, "has no such version"),
            ({"timestamp": datetime(2001, 1, 1)}, "no version as old as 2001-01-01"),
        ):
            with pytest.raises(SourceError, match=said):
                _read(DeltaTable(path=table, text_column="body", **options))
        with pytest.raises(ValidationError, match="not both"):
            DeltaTable(path=table, version=1, timestamp=at)

    def test_a_plan_holds_on_to_its_version(self, table: str) -> None:
        source = DeltaTable(path=table, text_column="body")
        with source.plan() as plan:
            Library(table).delete("key >= 10")
            assert len(_scan(source, plan.partitions)) == ROWS
        assert len(_read(source)) == 10

    def test_only_what_is_wanted_is_read(self, table: str) -> None:
        source = DeltaTable(path=table, text_column="body")
        with source.plan(columns=["key"]) as plan:
            assert set(_scan(source, plan.partitions)[0]) == {"row_id", "text", "key"}
        for predicate, rows in (
            (pc.field("key") < 100, 100),
            (pc.field("topic") == "x=y", 100),
            ((pc.field("key") >= 200) & (pc.field("topic") == "ü%/1"), 33),
            (pc.field("text") >= "review 9", ROWS),
        ):
            with source.plan(predicate=predicate) as plan:
                found = _scan(source, plan.partitions)
            assert len(found) == rows or rows == ROWS > len(found)
            wanted = pa.Table.from_pylist(_read(source)).filter(predicate)["row_id"].to_pylist()
            assert set(wanted) <= {row["row_id"] for row in found}

    def test_values_come_as_they_are(self, tmp_path: Path) -> None:
        rows = {
            "text": ["泉"],
            "n": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
            "small": pa.array([7], pa.int8()),
            "b": [b"\x00\xff"],
            "d": [date(2026, 2, 3)],
            "t": pa.array([datetime(2026, 2, 3, 4, 5, 6, 7)], pa.timestamp("us")),
            "z": pa.array([datetime(2026, 2, 3, 4, 5, 6, 7, timezone.utc)], pa.timestamp("us", "UTC")),
            "o": [True],
            "a": [["x", None]],
            "s": [{"page": 1, "name": None}],
        }
        write_deltalake(str(tmp_path / "t"), pa.table(rows).cast(_no_nulls_only(pa.table(rows).schema)))
        (row,) = _read(DeltaTable(path=str(tmp_path / "t")))
        del row["row_id"]
        assert row == {
            name: (value if isinstance(value, list) else value.to_pylist())[0] for name, value in rows.items()
        }

    def test_columns_that_came_later_are_null_before(self, table: str) -> None:
        extra = pa.table({"body": ["new"], "topic": ["a b"], "key": [900], "stars": [5]})
        write_deltalake(table, extra, mode="append", schema_mode="merge", partition_by=["topic"])
        rows = _read(DeltaTable(path=table, text_column="body"))
        assert Counter(row["stars"] for row in rows) == {None: ROWS, 5: 1}

    def test_a_row_without_a_text_is_a_bad_row(self, tmp_path: Path) -> None:
        write_deltalake(str(tmp_path / "t"), pa.table({"text": ["a", None]}))
        source = DeltaTable(path=str(tmp_path / "t"))
        with source.plan() as plan:
            bad = [item for one in plan.partitions for item in source.scan(one) if isinstance(item, BadRow)]
        assert [(row.rule, row.position) for row in bad] == [("null_text", 2)]


class TestReadingOn:
    def test_only_files_that_were_added_since_are_read(self, table: str) -> None:
        source = DeltaTable(path=table, text_column="body")
        with DeltaTable(path=table, text_column="body", version=0).plan() as plan:
            cursor = plan.cursor
        with source.plan(since=cursor) as plan:
            rows = _scan(source, plan.partitions)
            assert sorted(int(row["key"]) for row in rows) == list(range(100, ROWS))
            assert {row["topic"] for row in rows} == {"a b", "ü%/1", "x=y"}

    def test_compaction_adds_no_rows(self, table: str) -> None:
        source = DeltaTable(path=table, text_column="body")
        with source.plan() as plan:
            cursor = plan.cursor
        write_deltalake(table, _reviews(range(900, 903)), mode="append", partition_by=["topic"])
        Library(table).optimize.compact()
        assert Library(table).history(1)[0]["operation"] == "OPTIMIZE"
        with source.plan(since=cursor) as plan:
            assert sorted(int(row["key"]) for row in _scan(source, plan.partitions)) == [900, 901, 902]
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (list(plan.partitions), plan.cursor) == ([], later)

    @pytest.mark.parametrize("change", ["delete", "update", "overwrite"])
    def test_a_history_that_changes_rows_wants_a_full_refresh(self, change: str, table: str) -> None:
        source = DeltaTable(path=table, text_column="body")
        with source.plan() as plan:
            cursor = plan.cursor
        if change == "delete":
            Library(table).delete("key = 7")
        elif change == "update":
            Library(table).update(updates={"body": "'other'"}, predicate="key = 7")
        else:
            write_deltalake(table, _reviews(range(3)), mode="overwrite")
        with (
            pytest.raises(SourceError, match=r"version 3 .*changed or deleted rows.*--full-refresh"),
            source.plan(since=cursor),
        ):
            pass

    def test_a_history_that_is_no_longer_there_wants_a_full_refresh(self, table: str, tmp_path: Path) -> None:
        source = DeltaTable(path=table, text_column="body")
        with DeltaTable(path=table, text_column="body", version=0).plan() as plan:
            cursor = plan.cursor
        Library(table).create_checkpoint()
        (Path(table) / "_delta_log" / f"{1:020d}.json").unlink()
        with pytest.raises(SourceError, match=r"no longer has version 1.*--full-refresh"), source.plan(since=cursor):
            pass
        shutil.rmtree(table)
        write_deltalake(table, _reviews(range(3)))
        with pytest.raises(SourceError, match=r"not the one that was read.*--full-refresh"), source.plan(since=cursor):
            pass
        with pytest.raises(SourceError, match="not the cursor of a Delta table"), source.plan(since="7"):
            pass


class TestBadTables:
    def test_what_is_not_there_or_empty_is_told(self, table: str, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFoundError, match=f"no Delta table at {tmp_path}/nope"):
            _read(DeltaTable(path=str(tmp_path / "nope")))
        with pytest.raises(SourceNotFoundError, match="no Delta table"):
            _read(DeltaTable(path=str(tmp_path)))
        with pytest.raises(SourceSchemaError, match=r"no column 'text'.*'text_column'"):
            _read(DeltaTable(path=table))
        Library(table).delete()
        with pytest.raises(EmptySourceError, match="holds no rows at version 3"):
            _read(DeltaTable(path=table, text_column="body"))

    def test_a_file_that_was_vacuumed_is_told(self, table: str) -> None:
        Library(table).delete("key >= 100")
        Library(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        with pytest.raises(SourceError, match=r"of version 2 is not there; it was vacuumed"):
            _read(DeltaTable(path=table, text_column="body", version=2))

    def test_a_file_with_a_broken_footer_is_told(self, table: str) -> None:
        file = next(Path(table).glob("topic=a%20b/*.parquet"))
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(SourceError, match=rf"file topic=a%20b/{file.name}: .*[Pp]arquet"):
            _read(DeltaTable(path=table, text_column="body"))

    def test_deletion_vectors_are_honoured_and_leave_the_ids_as_they_were(self, tmp_path: Path) -> None:
        path = str(tmp_path / "t é")
        write_deltalake(path, pa.table({"text": [f"x{number}" for number in range(10)]}))
        source = DeltaTable(path=path)
        before = {row["text"]: row["row_id"] for row in _read(source)}
        with source.plan() as plan:
            cursor = plan.cursor
        _delete_by_vector(path, [1, 3, 9])
        after = {row["text"]: row["row_id"] for row in _read(source)}
        assert after == {text: before[text] for text in ("x0", "x2", "x4", "x5", "x6", "x7", "x8")}
        with pytest.raises(SourceError, match="--full-refresh"), source.plan(since=cursor):
            pass

    @pytest.mark.parametrize("feature", ["columnMapping", "variantType", "somethingNew"])
    def test_a_feature_that_is_not_known_is_refused_by_its_name(self, feature: str, tmp_path: Path) -> None:
        path = str(tmp_path / "t")
        write_deltalake(path, pa.table({"text": ["a"]}))
        _append(path, {"protocol": _protocol(feature)})
        with pytest.raises(SourceError, match=feature):
            _read(DeltaTable(path=path))

    def test_columns_that_are_mapped_without_the_feature_are_refused_too(self, tmp_path: Path) -> None:
        path = str(tmp_path / "t")
        write_deltalake(path, pa.table({"text": ["a"]}), configuration={"delta.columnMapping.mode": "none"})
        log = Path(path, "_delta_log", f"{0:020d}.json")
        text = log.read_text().replace('"delta.columnMapping.mode":"none"', '"delta.columnMapping.mode":"name"')
        log.write_text(text.replace('{"minReaderVersion":1,"minWriterVersion":2}', _OLD_MAPPING))
        with pytest.raises(SourceError, match="columnMapping"):
            _read(DeltaTable(path=path))

    def test_a_secret_is_given_by_reference_and_shown_by_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for options in (
            {"aws_secret_access_key": "hidden"},
            {"azure_storage_account_key": "hidden"},
            {"endpoint": "http://user:hidden@host"},
        ):
            with pytest.raises(ValidationError, match="by reference"):
                DeltaTable(path="s3://bucket/t", storage_options=options)
        monkeypatch.setenv("HEADRACE_TEST_KEY", "s3cret-key")
        monkeypatch.setenv("HEADRACE_TEST_PLACE", "http://127.0.0.1:1/s3cret-place")
        options = {
            "aws_endpoint": "${env:HEADRACE_TEST_PLACE}",
            "aws_secret_access_key": "${env:HEADRACE_TEST_KEY}",
            "aws_access_key_id": "${env:HEADRACE_TEST_KEY}",
            "aws_region": "eu-west-1",
            "allow_http": "true",
            "max_retries": "0",
        }
        source = DeltaTable(path="s3://bucket/t", storage_options=options)
        with pytest.raises(SourceError) as caught:
            _read(source)
        assert "s3://bucket/t" in str(caught.value)
        assert "s3cret" not in f"{caught.value} {source!r} {source.model_dump_json()}"


class TestWriting:
    def test_rows_are_merged_by_their_keys_and_leave_other_columns_alone(self, tmp_path: Path) -> None:
        path = str(tmp_path / "t")
        full = pa.table({"row_id": ["a", "b"], "text": ["1", "1"], "Stars!": [1, 2]})
        write_deltalake(path, full)
        sink = DeltaTableSink(path=path, mode="merge")
        _write(sink, "one", [("b", "2"), ("c", "2")])
        _write(sink, "two", [])
        assert sink.is_committed("two")
        rows = Library(path).to_pyarrow_table().sort_by("row_id").to_pylist()
        assert [tuple(row.values()) for row in rows] == [("a", "1", 1), ("b", "2", 2), ("c", "2", None)]
        assert Library(path).history(2)[1]["headrace.commit_id"] == "one"

    def test_keys_that_a_merge_cannot_go_by_are_told_and_nothing_is_merged(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"), mode="merge")
        with pytest.raises(SinkError, match=r"2 rows have the key b \(row_id\).*deduplicate"):
            _write(sink, "one", [("a", "1"), ("b", "1"), ("b", "2")])
        with pytest.raises(SinkError, match="no key"):
            _write(sink, "two", [(None, "1")])
        with pytest.raises(SinkError, match="no column 'id' to merge by"):
            DeltaTableSink(path=str(tmp_path / "t"), mode="merge", keys=("id",)).begin("three", SCHEMA)
        assert _rows(sink) == []
        for commit in ("one", "two"):
            sink.abort(commit)
        assert _parquet_files(sink) == []

    def test_modes_do_with_what_is_there_what_they_say(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        _write(sink, "one", [("a", "1")])
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.begin("two", SCHEMA)
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.check()
        appending = DeltaTableSink(path=sink.path, mode="append")
        _write(appending, "three", [("b", "2")])
        assert _rows(sink) == [("a", "1"), ("b", "2")]
        _write(appending.replacing(), "four", [("c", "3")])
        assert _rows(sink) == [("c", "3")]
        _write(appending.replacing(), "five", [])
        assert _rows(sink) == []
        assert Library(sink.path).version() == 4

    def test_the_commit_and_its_cursor_are_in_the_version_that_has_the_rows(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        sink.begin("one", SCHEMA)
        sink.commit("one", [sink.write("one", 0, 0, _batches([("a", "1")]))], "monday")
        said = Library(sink.path).history(1)[0]
        assert (said["headrace.commit_id"], said["headrace.cursor"]) == ("one", "monday")
        assert Library(sink.path).transaction_version("headrace/one") == 1

    def test_files_are_published_as_they_were_staged_and_others_cleared(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        sink.begin("one", SCHEMA)
        sink.write("one", 0, 0, _batches([("a", "1")]))
        chosen = sink.write("one", 0, 1, _batches([("a", "1")]))
        staged = {path: path.stat().st_ino for path in _parquet_files(sink)}
        sink.commit("one", [chosen])
        (left,) = _parquet_files(sink)
        assert left.stat().st_ino == staged[left]
        (add,) = pa.table(Library(sink.path).get_add_actions(flatten=True)).to_pylist()
        assert (add["num_records"], add["min.text"], add["max.text"], add["null_count.text"]) == (1, "1", "1", 0)

    def test_a_commit_that_is_begun_again_after_it_happened_keeps_its_files(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        _write(sink, "one", [("a", "1")])
        _write(sink, "one", [("a", "1")])
        assert _rows(sink) == [("a", "1")]

    @pytest.mark.parametrize("mode", ["append", "merge"])
    def test_a_table_that_is_partitioned_and_constrained_gets_its_rows_written_anew(
        self, mode: str, tmp_path: Path
    ) -> None:
        path = str(tmp_path / "t")
        sink = DeltaTableSink(path=path, mode=mode)
        write_deltalake(path, pa.table({"row_id": ["a"], "text": ["1"]}), partition_by=["text"])
        Library(path).alter.add_constraint({"good": "text != 'bad'"})
        _write(sink, "one", [("b", "1"), ("c", "2")])
        assert _rows(sink) == [("a", "1"), ("b", "1"), ("c", "2")]
        assert {path.parent.name for path in _parquet_files(sink)} == {"text=1", "text=2"}
        with pytest.raises(SinkError, match=r"failed validation check; .*mend the rows"):
            _write(sink, "two", [("d", "bad")])
        assert _rows(sink) == [("a", "1"), ("b", "1"), ("c", "2")]

    def test_columns_that_do_not_fit_are_told(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        sink.begin("one", pa.schema([("row_id", pa.string()), ("n", pa.int8())]))
        for column, said in (
            (("more", pa.string()), "has no column 'more'; it has: n, row_id"),
            (("n", pa.string()), "column 'n' holds int8, and the rows string"),
            (("n", pa.duration("s")), "column 'n', of duration.*convert the column"),
        ):
            with pytest.raises(SinkError, match=said):
                sink.begin("two", pa.schema([("row_id", pa.string()), column]))

    def test_a_commit_that_two_processes_make_at_once_happens_once(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"), mode="append")
        sink.begin("one", SCHEMA)
        receipt = sink.write("one", 0, 0, _batches([("a", "1")]))
        before = Library(sink.path)
        sink.commit("one", [receipt])
        with pytest.raises(SinkError, match="Concurrent"):
            sink._publish(before, "one", None, named([receipt]), SCHEMA)
        assert _rows(sink) == [("a", "1")]

    def test_commits_at_once_do_not_mix(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"), mode="append")
        _write(sink, "zero", [])
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda one: _write(sink, f"commit {one}", [(f"{one}", "x")] * 50), range(4)))
        assert Counter(row_id for row_id, _ in _rows(sink)) == dict.fromkeys("0123", 50)

    def test_what_ends_the_rows_is_raised_as_it_is(self, tmp_path: Path) -> None:
        sink = DeltaTableSink(path=str(tmp_path / "t"))
        sink.begin("one", SCHEMA)

        def batches() -> Iterator[pa.RecordBatch]:
            yield from _batches([("a", "1")])
            raise ZeroDivisionError("a step's own")

        with pytest.raises(ZeroDivisionError, match="a step's own"):
            sink.write("one", 0, 0, batches())
        assert _parquet_files(sink) == []


_OLD_MAPPING = '{"minReaderVersion":2,"minWriterVersion":5}'
_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def _reviews(numbers: Sequence[int]) -> pa.Table:
    rows = {
        "key": pa.array(numbers, pa.int64()),
        "body": [f"review {number} 泉" for number in numbers],
        "topic": [("a b", "ü%/1", "x=y")[number % 3] for number in numbers],
    }
    return pa.table(rows)


def _read(source: DeltaTable) -> list[dict[str, Any]]:
    with source.plan() as plan:
        return _scan(source, plan.partitions)


def _scan(source: DeltaTable, partitions: Any) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]


def _batches(rows: Sequence[tuple[str | None, str]]) -> list[pa.RecordBatch]:
    names = ("row_id", "text")
    return [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SCHEMA)]


def _write(sink: DeltaTableSink, commit_id: str, rows: Sequence[tuple[str | None, str]]) -> None:
    sink.begin(commit_id, SCHEMA)
    sink.commit(commit_id, [sink.write(commit_id, 0, 0, _batches(rows))])


def _rows(sink: DeltaTableSink) -> list[tuple[str, str]]:
    rows = Library(sink.path).to_pyarrow_table().to_pylist()
    return sorted((row["row_id"], row["text"]) for row in rows)


def _parquet_files(sink: DeltaTableSink) -> list[Path]:
    return [path for path in Path(sink.path).rglob("*.parquet") if "_delta_log" not in path.parts]


def _no_nulls_only(schema: pa.Schema) -> pa.Schema:
    """Return the schema with strings where nothing but nulls told a type."""
    fields = [
        field.with_type(pa.struct([("page", pa.int64()), ("name", pa.string())])) if field.name == "s" else field
        for field in schema
    ]
    return pa.schema(fields)


def _protocol(*features: str) -> dict[str, object]:
    listed = list(features)
    return {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": listed, "writerFeatures": listed}


def _append(path: str, *actions: dict[str, object]) -> None:
    """Write a version of a table as another engine does."""
    log = Path(path, "_delta_log")
    version = len(list(log.glob("*.json")))
    (log / f"{version:020d}.json").write_text("\n".join(map(json.dumps, actions)) + "\n")


def _delete_by_vector(path: str, positions: list[int]) -> None:
    """Delete rows of a table of one file as Spark does: by a deletion vector, which is kept in the log."""
    (add,) = pa.table(Library(path).get_add_actions(flatten=True)).to_pylist()
    data = struct.pack("<IQI", 1681511377, 1, 0) + BitMap(positions).serialize()
    data += b"\0" * (-len(data) % 4)
    text = ""
    for start in range(0, len(data), 4):
        value = int.from_bytes(data[start : start + 4], "big")
        text += "".join(_Z85[value // 85**place % 85] for place in reversed(range(5)))
    vector = {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(data), "cardinality": len(positions)}
    file = {"path": add["path"], "size": add["size_bytes"], "partitionValues": {}, "dataChange": True}
    stats = json.dumps({"numRecords": add["num_records"]})
    _append(
        path,
        {"protocol": _protocol("deletionVectors")},
        {"remove": {**file, "deletionTimestamp": 1, "extendedFileMetadata": True}},
        {"add": {**file, "modificationTime": 1, "stats": stats, "deletionVector": vector}},
    )
