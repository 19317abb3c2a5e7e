"""Sources and sinks in Ray Data itself, as read tasks and write tasks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import ray

from connectors import JsonLines, Memory, ParquetSink, Receipt, SinkError, SourceError
from connectors.sink import Sink
from pipelines.ray_data import REJECTED, read_source, write_sink
from tests.connectors.broken import Shelf
from tests.planted import plant, sources

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_running")]


def test_every_planted_row_is_read_as_good_or_as_rejected_with_its_place(tmp_path: Path) -> None:
    planted = [one for one in plant(tmp_path, seed=11) if ".jsonl" in one.file]
    with read_source(sources(tmp_path)["json"]) as rows:
        found = rows.take_all()
    rejected = [row for row in found if row[REJECTED]]
    places = {(Path(row[REJECTED]["origin"]).name, row[REJECTED]["position"]) for row in rejected}
    assert places == {(Path(one.file).name, one.position) for one in planted}
    assert all(row["text"] is None and row["row_id"] for row in rejected)
    assert len({row["row_id"] for row in found}) == len(found)


def test_columns_and_a_predicate_narrow_what_is_read_but_keep_rejected_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "n": 1}\n{"text": "b", "n": 2}\n{"text": \n')
    with read_source(JsonLines(path=str(tmp_path)), columns=["text"], predicate=pc.field("n") > 1) as rows:
        found = sorted(rows.take_all(), key=lambda row: row["row_id"])
    assert [(row["text"], row[REJECTED] and row[REJECTED]["rule"]) for row in found] == [
        ("b", None),
        (None, "malformed_json"),
    ]
    assert set(found[0]) == {"row_id", "text", REJECTED}


def test_only_what_is_new_is_read_since_a_cursor_and_nothing_new_is_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.txt").write_text("three\n")
    shelf = Shelf(directory=str(tmp_path))
    with read_source(shelf, since="a.txt") as rows:
        assert [row["text"] for row in rows.take_all()] == ["three"]
    with read_source(shelf, since="b.txt") as rows:
        assert rows.count() == 0
        assert rows.schema().names == ["row_id", "text", "size", REJECTED]
    with pytest.raises(SourceError, match="leave 'since' out"), read_source(Memory(rows=[{"text": "a"}]), since="x"):
        pass


def test_a_dataset_is_written_whole_with_its_cursor(tmp_path: Path) -> None:
    target = tmp_path / "out"
    rows = ray.data.range(1000, override_num_blocks=5).map_batches(_named, batch_format="pyarrow")
    receipts = write_sink(rows, ParquetSink(path=str(target)), cursor="yesterday")
    assert sorted(pq.read_table(target)["row_id"].to_pylist()) == sorted(f"row:{number}" for number in range(1000))
    assert sum(receipt.rows for receipt in receipts) == 1000
    (manifest,) = (target / "_commits").glob("*.json")
    assert json.loads(manifest.read_text())["cursor"] == "yesterday"
    assert [path.name for path in (target / "_staging").iterdir()] == []


def test_rows_of_no_block_make_a_sink_with_columns_and_no_rows(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_sink(ray.data.from_arrow(pa.table({"text": pa.array([], pa.string())})), ParquetSink(path=str(target)))
    assert pq.read_table(target).num_rows == 0
    assert pq.read_table(target).column_names == ["text"]


def test_a_write_that_fails_shows_nothing_and_clears_its_staging(tmp_path: Path) -> None:
    target = tmp_path / "out"
    rows = ray.data.range(100, override_num_blocks=4).map_batches(_named, batch_format="pyarrow")
    with pytest.raises(SinkError, match="the disk is full"):
        write_sink(rows, _FailsOnTheThird(path=str(target)))
    assert list(target.glob("part-*")) == []
    assert [path.name for path in (target / "_staging").iterdir()] == []


def test_a_target_that_holds_data_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    rows = ray.data.from_arrow(pa.table({"text": ["a"]}))
    sink: Sink = ParquetSink(path=str(tmp_path / "out"))
    write_sink(rows, sink)
    with pytest.raises(SinkError, match="holds data"):
        write_sink(rows, sink)
    assert pq.read_table(tmp_path / "out").num_rows == 1


class _FailsOnTheThird(ParquetSink):
    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        receipt = super().write(commit_id, partition, attempt, batches)
        if partition == 2:
            raise SinkError("the disk is full; free some of it and run again")
        return receipt


def _named(batch: pa.Table) -> pa.Table:
    return pa.table({"row_id": [f"row:{number}" for number in batch["id"].to_pylist()]})
