"""Iceberg tables as a source and a sink, in a SQL catalog of the tests' own."""

from __future__ import annotations

import json
import struct
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.io.pyarrow import _dataframe_to_data_files
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestWriter,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _FastAppendFiles, _OverwriteFiles
from pyiceberg.typedef import Record
from pyiceberg.types import LongType, NestedField, StringType
from pyroaring import BitMap

from connectors import (
    BadRow,
    EmptySourceError,
    IcebergTable,
    IcebergTableSink,
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

Make = Callable[..., IcebergTable]
Writing = Callable[[str, str, Sequence[tuple[str | None, str]]], IcebergTableSink]

ROWS = 300
SCHEMA = pa.schema([("key", pa.int64()), ("body", pa.string()), ("topic", pa.string())])
ROW_SCHEMA = pa.schema([("row_id", pa.string()), ("text", pa.string())])


@pytest.fixture
def properties(tmp_path: Path) -> dict[str, str]:
    place = tmp_path / "ware house é"
    place.mkdir()
    return {"type": "sql", "uri": f"sqlite:///{tmp_path}/catalog.db", "warehouse": str(place)}


@pytest.fixture
def catalog(properties: dict[str, str]) -> Iterator[Catalog]:
    catalog = load_catalog("default", **properties)
    catalog.create_namespace("news")
    yield catalog
    catalog.close()


@pytest.fixture
def articles(catalog: Catalog) -> str:
    """Reviews in three snapshots."""
    table = catalog.create_table("news.articles", SCHEMA)
    for version in range(3):
        table.append(reviews(range(version * 100, version * 100 + 100)))
    return "news.articles"


@pytest.fixture
def make(properties: dict[str, str]) -> Make:
    """Make a source of the test's own catalog."""
    return lambda table, **options: IcebergTable(
        **{"table": table, "properties": properties, "text_column": "body", **options}
    )


@pytest.fixture
def write(catalog: Catalog, properties: dict[str, str]) -> Writing:
    """Write rows to the table ``news.out`` in one commit."""

    def run(mode: str, commit_id: str, rows: Sequence[tuple[str | None, str]]) -> IcebergTableSink:
        sink = IcebergTableSink(table="news.out", properties=properties, mode=mode)
        sink.begin(commit_id, ROW_SCHEMA)
        sink.commit(commit_id, [sink.write(commit_id, 0, 0, _batches(rows))])
        return sink

    return run


def reviews(numbers: Any) -> pa.Table:
    rows = [{"key": number, "body": f"review {number} 泉", "topic": f"t{number % 3}"} for number in numbers]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


class TestIcebergTable(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, articles: str, properties: dict[str, str]) -> PartitionedSource:
        return IcebergTable(table=articles, properties=properties, text_column="body", label_column="topic")


class TestIcebergTableWithKeys(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, articles: str, properties: dict[str, str]) -> PartitionedSource:
        return IcebergTable(table=articles, properties=properties, text_column="body", id_column="key")


class TestIcebergTableSink(SinkContract):
    @pytest.fixture
    def sink(self, catalog: Catalog, properties: dict[str, str]) -> Sink:
        return IcebergTableSink(table="news.out", properties=properties)

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, IcebergTableSink)
        catalog = load_catalog(sink.catalog, **dict(sink.properties))
        try:
            there = catalog.table_exists(sink.table)
            return catalog.load_table(sink.table).scan().to_arrow().to_pylist() if there else []
        finally:
            catalog.close()


class TestReading:
    def test_rows_are_known_by_their_file_and_their_number_in_it(self, articles: str, make: Make) -> None:
        rows = _read(make(articles))
        assert sorted(int(str(row["row_id"]).rpartition(":")[2]) for row in rows) == sorted([*range(1, 101)] * 3)
        assert str(rows[0]["row_id"]).startswith("data/")

    def test_a_snapshot_or_a_time_is_read_as_it_was(self, articles: str, catalog: Catalog, make: Make) -> None:
        first, second, _ = catalog.load_table(articles).snapshots()
        assert len(_read(make(articles, snapshot_id=second.snapshot_id))) == 200
        at = datetime.fromtimestamp(second.timestamp_ms / 1000, timezone.utc)
        assert len(_read(make(articles, as_of=at))) in (200, ROWS)
        assert len(_read(make(articles, as_of=at.replace(year=9999)))) == ROWS
        for options, said in (
            ({"snapshot_id": 9}, "has no snapshot 9: .*its history begins at"),
            ({"as_of": datetime(2001, 1, 1)}, "has no snapshot from 2001-01-01"),
        ):
            with pytest.raises(SourceError, match=said):
                _read(make(articles, **options))
        with pytest.raises(ValidationError, match="not both"):
            make(articles, snapshot_id=first.snapshot_id, as_of=at)

    def test_a_plan_holds_on_to_its_snapshot(self, articles: str, catalog: Catalog, make: Make) -> None:
        source = make(articles)
        with source.plan() as plan:
            catalog.load_table(articles).delete("key >= 10")
            assert len(_scan(source, plan.partitions)) == ROWS
        assert len(_read(source)) == 10

    def test_only_what_is_wanted_is_read(self, articles: str, make: Make) -> None:
        source = make(articles)
        with source.plan(columns=["key"]) as plan:
            assert set(_scan(source, plan.partitions)[0]) == {"row_id", "text", "key"}
        for predicate, rows in (
            (pc.field("key") < 100, 100),
            ((pc.field("key") >= 200) & (pc.field("topic") == "t1"), 100),
            (pc.field("topic") == "t7", 0),
            (pc.field("text") == "review 7 泉", ROWS),
        ):
            with source.plan(predicate=predicate) as plan:
                found = _scan(source, plan.partitions)
            assert len(found) <= rows
            wanted = pa.Table.from_pylist(_read(source)).filter(predicate)["row_id"].to_pylist()
            assert set(wanted) <= {row["row_id"] for row in found}

    def test_values_come_as_they_are(self, catalog: Catalog, make: Make) -> None:
        rows = {
            "text": pa.array(["泉"]),
            "n": pa.array([Decimal("12.50")], pa.decimal128(10, 2)),
            "b": pa.array([b"\x00\xff"]),
            "d": pa.array([date(2026, 2, 3)]),
            "t": pa.array([datetime(2026, 2, 3, 4, 5, 6, 7)], pa.timestamp("us")),
            "z": pa.array([datetime(2026, 2, 3, 4, 5, 6, 7, timezone.utc)], pa.timestamp("us", "UTC")),
            "o": pa.array([True]),
            "a": pa.array([["x", None]]),
            "s": pa.array([{"page": 1, "name": "x"}]),
        }
        table = pa.table(rows)
        catalog.create_table("news.kinds", table.schema).append(table)
        (row,) = _read(make("news.kinds", text_column="text"))
        assert row | {"row_id": ""} == {name: value.to_pylist()[0] for name, value in rows.items()} | {"row_id": ""}

    def test_columns_that_were_added_or_renamed_since_are_read_by_what_they_are(
        self, articles: str, catalog: Catalog, make: Make
    ) -> None:
        table = catalog.load_table(articles)
        with table.update_schema() as change:
            change.rename_column("topic", "subject")
            change.add_column("stars", LongType())
        assert {(row["subject"], row["stars"]) for row in _read(make(articles))} == {
            (f"t{number}", None) for number in range(3)
        }
        before = make(articles, snapshot_id=table.snapshots()[0].snapshot_id)
        assert {row["topic"] for row in _read(before)} == {"t0", "t1", "t2"}

    def test_a_row_without_a_text_is_a_bad_row(self, catalog: Catalog, make: Make) -> None:
        rows = pa.table({"text": ["a", None]})
        catalog.create_table("news.gaps", rows.schema).append(rows)
        source = make("news.gaps", text_column="text")
        with source.plan() as plan:
            bad = [item for one in plan.partitions for item in source.scan(one) if isinstance(item, BadRow)]
        assert [(row.rule, row.position) for row in bad] == [("null_text", 2)]


class TestReadingOn:
    def test_only_files_that_were_appended_since_are_read(self, articles: str, catalog: Catalog, make: Make) -> None:
        first = catalog.load_table(articles).snapshots()[0]
        with make(articles, snapshot_id=first.snapshot_id).plan() as plan:
            cursor = plan.cursor
        source = make(articles)
        with source.plan(since=cursor) as plan:
            rows = _scan(source, plan.partitions)
            assert sorted(int(row["key"]) for row in rows) == list(range(100, ROWS))
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (list(plan.partitions), plan.cursor) == ([], later)

    def test_compaction_adds_no_rows(self, articles: str, catalog: Catalog, make: Make) -> None:
        source = make(articles)
        with source.plan() as plan:
            cursor = plan.cursor
        table = catalog.load_table(articles)
        table.append(reviews(range(900, 903)))
        _compact(table)
        assert len(list(catalog.load_table(articles).scan().plan_files())) == 1
        with source.plan(since=cursor) as plan:
            assert sorted(int(row["key"]) for row in _scan(source, plan.partitions)) == [900, 901, 902]

    @pytest.mark.parametrize("change", ["delete", "overwrite", "upsert"])
    def test_a_history_that_changes_rows_wants_a_full_refresh(
        self, change: str, articles: str, catalog: Catalog, make: Make
    ) -> None:
        source = make(articles)
        with source.plan() as plan:
            cursor = plan.cursor
        table = catalog.load_table(articles)
        if change == "delete":
            table.delete("key = 7")
        elif change == "overwrite":
            table.overwrite(reviews(range(3)))
        else:
            table.upsert(reviews([7]).set_column(1, "body", pa.array(["other"])), ["key"])
        with pytest.raises(SourceError, match=r"changed or deleted rows.*--full-refresh"), source.plan(since=cursor):
            pass

    def test_a_history_that_is_no_longer_there_wants_a_full_refresh(
        self, articles: str, catalog: Catalog, make: Make
    ) -> None:
        source = make(articles)
        with source.plan() as plan:
            cursor = plan.cursor
        table = catalog.load_table(articles)
        for number in range(2):
            table.append(reviews([900 + number]))
        table.maintenance.expire_snapshots().by_ids([one.snapshot_id for one in table.snapshots()[:-1]]).commit()
        with pytest.raises(SourceError, match=r"no longer has the history.*--full-refresh"), source.plan(since=cursor):
            pass
        catalog.drop_table(articles)
        catalog.create_table(articles, SCHEMA).append(reviews(range(3)))
        with pytest.raises(SourceError, match=r"made anew.*--full-refresh"), source.plan(since=cursor):
            pass
        with pytest.raises(SourceError, match="not the cursor of an Iceberg table"), source.plan(since="7"):
            pass


class TestBadTables:
    def test_what_is_not_there_or_empty_is_told(self, articles: str, catalog: Catalog, make: Make) -> None:
        for name in ("news.nope", "nope.nope"):
            with pytest.raises(SourceNotFoundError, match=f"no Iceberg table {name} in the catalog 'default'"):
                _read(make(name))
        with pytest.raises(SourceSchemaError, match=r"no column 'text'.*'text_column'"):
            _read(make(articles, text_column="text"))
        with pytest.raises(ValidationError, match="with its namespace"):
            make("articles")
        catalog.create_table("news.empty", SCHEMA)
        with pytest.raises(EmptySourceError, match="has no snapshot"):
            _read(make("news.empty"))
        catalog.load_table(articles).delete("key >= 0")
        with pytest.raises(EmptySourceError, match="holds no rows"):
            _read(make(articles))

    def test_a_file_that_was_deleted_or_has_a_broken_footer_is_told(
        self, articles: str, catalog: Catalog, make: Make
    ) -> None:
        file = Path(next(iter(catalog.load_table(articles).scan().plan_files())).file.file_path)
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(SourceError, match=rf"file .*{file.name}: .*[Pp]arquet"):
            _read(make(articles))
        file.unlink()
        with pytest.raises(SourceError, match=rf"{file.name} is not there; its snapshot was expired"):
            _read(make(articles))

    @pytest.mark.parametrize("by", ["position deletes", "a deletion vector"])
    def test_rows_that_are_deleted_are_left_out_and_the_ids_of_others_stay(
        self, by: str, catalog: Catalog, make: Make
    ) -> None:
        # A vector belongs to a table of version 3, which PyIceberg reads and does not make; they are read alike.
        table = catalog.create_table("news.deleted", SCHEMA)
        table.append(reviews(range(10)))
        source = make("news.deleted")
        before = {row["key"]: row["row_id"] for row in _read(source)}
        _delete(table, [1, 3, 9], vector=by == "a deletion vector")
        after = {row["key"]: row["row_id"] for row in _read(source)}
        assert after == {key: before[key] for key in (0, 2, 4, 5, 6, 7, 8)}

    def test_equality_deletes_are_refused_by_their_name(self, articles: str, catalog: Catalog, make: Make) -> None:
        _delete(catalog.load_table(articles), [1], content=DataFileContent.EQUALITY_DELETES)
        with pytest.raises(SourceError, match=r"equality deletes.*; rewrite the table's data files"):
            _read(make(articles))

    def test_a_secret_is_given_by_reference_and_shown_by_none(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for properties in (
            {"uri": "postgresql://user:hidden@host/catalog"},
            {"s3.secret-access-key": "hidden"},
            {"token": "hidden"},
        ):
            with pytest.raises(ValidationError, match="by reference"):
                IcebergTable(table="news.articles", properties=properties)
        monkeypatch.setenv("HEADRACE_TEST_URI", f"sqlite:///{tmp_path}/nope/s3cret/catalog.db")
        properties = {"type": "sql", "uri": "${env:HEADRACE_TEST_URI}", "warehouse": "s3cret:bad"}
        source = IcebergTable(table="news.articles", properties={**properties, "warehouse": "x"})
        with pytest.raises(SourceError, match="unable to open database file") as caught:
            _read(source)
        assert "s3cret" not in f"{caught.value} {source!r} {source.model_dump_json()}"


class TestWriting:
    def test_rows_are_merged_by_their_keys(self, catalog: Catalog, write: Writing) -> None:
        sink = write("merge", "one", [("a", "1"), ("b", "1")])
        write("merge", "two", [("b", "2"), ("c", "2")])
        write("merge", "three", [("b", "2")])
        write("merge", "four", [])
        assert _rows(catalog) == [("a", "1"), ("b", "2"), ("c", "2")]
        assert all(sink.is_committed(commit) for commit in ("one", "two", "three", "four"))

    def test_keys_that_a_merge_cannot_go_by_are_told_and_nothing_is_merged(
        self, catalog: Catalog, write: Writing, properties: dict[str, str]
    ) -> None:
        with pytest.raises(SinkError, match=r"2 rows have the key b \(row_id\).*deduplicate"):
            write("merge", "one", [("a", "1"), ("b", "1"), ("b", "2")])
        with pytest.raises(SinkError, match="no key"):
            write("merge", "two", [(None, "1")])
        sink = IcebergTableSink(table="news.out", properties=properties, mode="merge", keys=("id",))
        with pytest.raises(SinkError, match="no column 'id' to merge by"):
            sink.begin("three", ROW_SCHEMA)
        assert _rows(catalog) == []
        for commit in ("one", "two"):
            sink.abort(commit)
        assert _parquet_files(catalog) == []

    def test_modes_do_with_what_is_there_what_they_say(self, catalog: Catalog, write: Writing) -> None:
        sink = write("error", "one", [("a", "1")])
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.begin("two", ROW_SCHEMA)
        with pytest.raises(SinkExistsError, match="mode: overwrite"):
            sink.check()
        write("append", "three", [("b", "2")])
        assert _rows(catalog) == [("a", "1"), ("b", "2")]
        write("overwrite", "four", [("c", "3")])
        assert _rows(catalog) == [("c", "3")]
        write("overwrite", "five", [])
        assert _rows(catalog) == []
        assert sink.replacing() == sink.model_copy(update={"mode": "overwrite"})

    def test_the_commit_and_its_cursor_are_in_the_snapshot(self, catalog: Catalog, properties: dict[str, str]) -> None:
        sink = IcebergTableSink(table="news.out", properties=properties)
        sink.begin("one", ROW_SCHEMA)
        sink.commit("one", [sink.write("one", 0, 0, _batches([("a", "1")]))], "monday")
        snapshot = catalog.load_table("news.out").current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        assert [snapshot.summary[f"headrace.{name}"] for name in ("commit-id", "cursor")] == ["one", "monday"]

    def test_files_are_published_as_they_were_staged_and_others_cleared(
        self, catalog: Catalog, properties: dict[str, str]
    ) -> None:
        sink = IcebergTableSink(table="news.out", properties=properties)
        sink.begin("one", ROW_SCHEMA)
        sink.write("one", 0, 0, _batches([("a", "1")]))
        chosen = sink.write("one", 0, 1, _batches([("a", "1")]))
        staged = {path: path.stat().st_ino for path in _parquet_files(catalog)}
        sink.commit("one", [chosen])
        (left,) = _parquet_files(catalog)
        assert left.stat().st_ino == staged[left]

    def test_a_commit_that_is_begun_again_after_it_happened_keeps_its_files(
        self, catalog: Catalog, write: Writing
    ) -> None:
        write("error", "one", [("a", "1")])
        write("error", "one", [("a", "1")])
        assert _rows(catalog) == [("a", "1")]

    @pytest.mark.parametrize("mode", ["append", "merge", "overwrite"])
    def test_a_table_that_is_partitioned_gets_its_rows_written_anew(
        self, mode: str, catalog: Catalog, write: Writing
    ) -> None:
        table = catalog.create_table("news.out", ROW_SCHEMA)
        with table.update_spec() as spec:
            spec.add_identity("text")
        table.append(pa.table({"row_id": ["a"], "text": ["1"]}))
        write(mode, "one", [("b", "1"), ("c", "2")])
        assert _rows(catalog) == [("a", "1")] * (mode != "overwrite") + [("b", "1"), ("c", "2")]
        assert {path.parent.name for path in _parquet_files(catalog)} == {"text=1", "text=2"}

    def test_columns_that_do_not_fit_are_told(self, catalog: Catalog, properties: dict[str, str]) -> None:
        sink = IcebergTableSink(table="news.out", properties=properties, mode="append")
        sink.begin("one", pa.schema([("row_id", pa.string()), ("n", pa.int8())]))
        sink.begin("two", pa.schema([("row_id", pa.string()), ("n", pa.int16())]))
        for column, said in (
            (("more", pa.string()), "has no column 'more'; it has: n, row_id"),
            (("n", pa.string()), "column 'n' holds int32, and the rows string"),
        ):
            with pytest.raises(SinkError, match=said):
                sink.begin("three", pa.schema([("row_id", pa.string()), column]))
        odd = IcebergTableSink(table="news.odd", properties=properties)
        with pytest.raises(SinkError, match=r"Column 'n' has an unsupported type: duration.*convert the column"):
            odd.begin("one", pa.schema([("n", pa.duration("s"))]))
        with pytest.raises(SinkError, match="create the namespace"):
            IcebergTableSink(table="nope.out", properties=properties).begin("one", ROW_SCHEMA)
        catalog.create_table("news.strict", Schema(NestedField(1, "row_id", StringType(), required=True)))
        strict = IcebergTableSink(table="news.strict", properties=properties)
        with pytest.raises(SinkError, match="wants a column 'row_id'"):
            strict.begin("one", pa.schema([]))
        strict.begin("one", ROW_SCHEMA.remove(1))
        with pytest.raises(SinkError, match="non-nullable"):
            strict.write("one", 0, 0, [pa.record_batch({"row_id": pa.array([None], pa.string())})])

    def test_a_commit_that_two_processes_make_at_once_happens_once(
        self, catalog: Catalog, properties: dict[str, str]
    ) -> None:
        sink = IcebergTableSink(table="news.out", properties=properties, mode="append")
        sink.begin("one", ROW_SCHEMA)
        receipt = sink.write("one", 0, 0, _batches([("a", "1")]))
        before = catalog.load_table("news.out")
        sink.commit("one", [receipt])
        with pytest.raises(SinkError, match="another writer changed"):
            sink._publish(before, "one", None, named([receipt]))
        assert _rows(catalog) == [("a", "1")]

    def test_commits_at_once_do_not_mix(self, catalog: Catalog, write: Writing) -> None:
        write("append", "zero", [])
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda one: write("append", f"commit {one}", [(f"{one}", "x")] * 50), range(3)))
        assert Counter(row_id for row_id, _ in _rows(catalog)) == dict.fromkeys("012", 50)


def _read(source: IcebergTable) -> list[dict[str, Any]]:
    with source.plan() as plan:
        return _scan(source, plan.partitions)


def _scan(source: IcebergTable, partitions: Any) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]


def _batches(rows: Sequence[tuple[str | None, str]]) -> list[pa.RecordBatch]:
    names = ("row_id", "text")
    return [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=ROW_SCHEMA)]


def _rows(catalog: Catalog) -> list[tuple[str, str]]:
    rows = catalog.load_table("news.out").scan().to_arrow().to_pylist()
    return sorted((row["row_id"], row["text"]) for row in rows)


def _parquet_files(catalog: Catalog) -> list[Path]:
    return list(Path(catalog.load_table("news.out").location().removeprefix("file://")).rglob("*.parquet"))


def _compact(table: Table) -> None:
    """Put a table's files together as Spark's rewrite of data files does, which says that it replaces them."""
    rows, old = table.scan().to_arrow(), [task.file for task in table.scan().plan_files()]
    with table.transaction() as transaction:
        producer = _OverwriteFiles(Operation.REPLACE, transaction, table.io)
        for file in old:
            producer.delete_data_file(file)
        for file in _dataframe_to_data_files(table.metadata, rows, table.io):
            producer.append_data_file(file)
        producer._summary = lambda properties: Summary(operation=Operation.REPLACE)  # type: ignore[method-assign]
        producer.commit()


class _DeletesWriter(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _RowDelta(_FastAppendFiles):
    """Adds files of deletes, which PyIceberg reads and does not write."""

    def new_manifest_writer(self, spec: PartitionSpec) -> ManifestWriter:
        output = self.new_manifest_output()
        return _DeletesWriter(spec, self.schema(), output, self.snapshot_id, self._compression)


def _delete(
    table: Table,
    positions: list[int],
    *,
    vector: bool = False,
    content: DataFileContent = DataFileContent.POSITION_DELETES,
) -> None:
    data = next(iter(table.scan().plan_files())).file
    path = f"{table.location()}/data/deletes-{uuid.uuid4()}"
    if vector:
        payload = _puffin(data.file_path, positions)
    else:
        sink = pa.BufferOutputStream()
        rows = {"file_path": [data.file_path] * len(positions), "pos": pa.array(positions, pa.int64())}
        pq.write_table(pa.table(rows), sink)
        payload = sink.getvalue().to_pybytes()
    with table.io.new_output(path).create() as stream:
        stream.write(payload)
    file = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=FileFormat.PUFFIN if vector else FileFormat.PARQUET,
        partition=Record(),
        record_count=len(positions),
        file_size_in_bytes=len(payload),
        referenced_data_file=data.file_path if vector else None,
        content_offset=4 if vector else None,
        content_size_in_bytes=len(payload) if vector else None,
        _table_format_version=table.format_version,
    )
    file.spec_id = table.spec().spec_id
    with table.transaction() as transaction:
        producer = _RowDelta(Operation.DELETE, transaction, table.io)
        producer.append_data_file(file)
        producer._summary = lambda properties: Summary(operation=Operation.DELETE)  # type: ignore[method-assign]
        producer.commit()


def _puffin(file: str, positions: list[int]) -> bytes:
    """Return a Puffin file with the deletion vector of a data file."""
    vector = b"\xd1\xd3\x39\x64" + struct.pack("<QI", 1, 0) + BitMap(positions).serialize()
    blob = struct.pack(">I", len(vector)) + vector + struct.pack(">I", zlib.crc32(vector))
    described = {
        "type": "deletion-vector-v1",
        "fields": [],
        "snapshot-id": -1,
        "sequence-number": -1,
        "offset": 4,
        "length": len(blob),
        "properties": {"referenced-data-file": file, "cardinality": str(len(positions))},
    }
    footer = json.dumps({"blobs": [described], "properties": {}}).encode()
    return b"PFA1" + blob + b"PFA1" + footer + struct.pack("<II", len(footer), 0) + b"PFA1"
