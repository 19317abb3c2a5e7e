"""Which files a source of files finds new."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest

from connectors import Csv, JsonLines, ParquetSource, SourceError, TextFolder, TextLines
from connectors.source import PartitionedSource

DAY = 24 * 60 * 60


def _write(path: Path, text: str, *, days: float = 0.0) -> None:
    """Write a file that was last changed so many days after 2026-01-10."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (1_768_000_000 + days * DAY,) * 2)


def _read(source: PartitionedSource, since: str | None = None) -> tuple[list[str], str]:
    with source.plan(since=since) as plan:
        batches = [item for partition in plan.partitions for item in source.scan(partition)]
        assert plan.cursor is not None
        return [text for batch in batches for text in batch.column("text").to_pylist()], plan.cursor


def test_files_are_read_once_each_as_they_come(tmp_path: Path) -> None:
    source = TextLines(path=str(tmp_path))
    _write(tmp_path / "a.txt", "one\ntwo\n")
    first, cursor = _read(source)
    assert first == ["one", "two"]
    assert _read(source, cursor) == ([], cursor)
    _write(tmp_path / "b.txt", "three\n", days=1)
    second, cursor = _read(source, cursor)
    assert second == ["three"]
    assert _read(source, cursor) == ([], cursor)


def test_a_file_that_turns_up_late_is_found_within_the_window_only(tmp_path: Path) -> None:
    source = TextLines(path=str(tmp_path), late_days=3)
    _write(tmp_path / "today.txt", "today\n", days=10)
    _, cursor = _read(source)
    _write(tmp_path / "late.txt", "late\n", days=8)
    _write(tmp_path / "too-late.txt", "too late\n", days=6)
    assert _read(source, cursor)[0] == ["late"]


def test_a_file_from_the_future_does_not_make_others_too_late(tmp_path: Path) -> None:
    source = TextLines(path=str(tmp_path), late_days=3)
    _write(tmp_path / "today.txt", "today\n")
    _write(tmp_path / "future.txt", "future\n", days=30_000)
    first, cursor = _read(source)
    assert sorted(first) == ["future", "today"]
    _write(tmp_path / "tomorrow.txt", "tomorrow\n", days=1)
    assert _read(source, cursor)[0] == ["tomorrow"]


def test_files_of_the_very_same_time_are_told_apart_by_name(tmp_path: Path) -> None:
    source = TextLines(path=str(tmp_path), late_days=0)
    _write(tmp_path / "a.txt", "one\n")
    _, cursor = _read(source)
    _write(tmp_path / "b.txt", "two\n")
    assert _read(source, cursor)[0] == ["two"]


def test_a_file_that_has_changed_is_new_as_a_whole(tmp_path: Path) -> None:
    source = TextFolder(path=str(tmp_path))
    _write(tmp_path / "sport" / "1.txt", "one")
    _write(tmp_path / "sport" / "2.txt", "two")
    _, cursor = _read(source)
    _write(tmp_path / "sport" / "1.txt", "one, and more", days=1)
    assert _read(source, cursor)[0] == ["one, and more"]


def test_the_cursor_forgets_names_that_the_window_has_passed(tmp_path: Path) -> None:
    for day in range(30):
        _write(tmp_path / f"{day:02d}.txt", f"{day}\n", days=day)
    _, cursor = _read(TextLines(path=str(tmp_path), late_days=7))
    assert sorted(json.loads(cursor)["files"]) == [f"{day:02d}.txt" for day in range(22, 30)]


def test_columns_are_those_of_all_files_not_of_the_new_ones(tmp_path: Path) -> None:
    source = JsonLines(path=str(tmp_path))
    _write(tmp_path / "a.jsonl", '{"text": "one", "stars": 1}\n')
    _, cursor = _read(source)
    _write(tmp_path / "b.jsonl", '{"text": "two"}\n', days=1)
    with source.plan(since=cursor) as plan:
        (batch,) = [item for partition in plan.partitions for item in source.scan(partition)]
    assert batch.to_pylist() == [{"row_id": "b.jsonl:1", "text": "two", "stars": None}]


@pytest.mark.parametrize("kind", [Csv, ParquetSource])
def test_a_plan_says_which_columns_no_new_file_has(kind: type[Csv | ParquetSource], tmp_path: Path) -> None:
    source = kind(path=str(tmp_path), text_column="body", label_column="topic")

    def write(name: str, columns: dict[str, list[str]], day: int) -> None:
        path, table = tmp_path / name, pa.table(columns)
        pcsv.write_csv(table, path) if kind is Csv else pq.write_table(table, path)
        os.utime(path, (1_768_000_000 + day * DAY,) * 2)

    write("a", {"body": ["one"], "topic": ["x"], "stars": ["1"], "lang": ["en"]}, 0)
    with source.plan() as plan:
        assert plan.absent == ()
    for day, name in enumerate(("b", "c"), 1):
        write(name, {"body": [name], "topic": ["y"], "lang" if name == "c" else "more": ["de"]}, day)
    with source.plan(since=plan.cursor) as both:
        assert both.absent == ("stars",)
    (tmp_path / "c").unlink()
    with source.plan(since=plan.cursor) as later:
        assert later.absent == ("stars", "lang")
        (batch,) = [item for partition in later.partitions for item in source.scan(partition)]
    row = {"row_id": batch.column(0)[0].as_py(), "text": "b", "label": "y", "stars": None, "lang": None, "more": "de"}
    assert batch.to_pylist() == [row]
    with source.plan(since=both.cursor) as nothing:
        assert (nothing.partitions, nothing.absent) == ((), ())


def test_a_key_that_comes_with_a_later_file_is_a_column(tmp_path: Path) -> None:
    _write(tmp_path / "a.jsonl", '{"text": "one"}\n' * 2_000)
    _write(tmp_path / "b.jsonl", '{"text": "two", "stars": 1}\n', days=1)
    assert JsonLines(path=str(tmp_path)).read_schema().names == ["row_id", "text", "stars"]


def test_row_ids_are_those_of_a_full_read(tmp_path: Path) -> None:
    source = ParquetSource(path=str(tmp_path))
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "a.parquet")
    _, cursor = _read(source)
    pq.write_table(pa.table({"text": ["two", "three"]}), tmp_path / "b.parquet")
    with source.plan(since=cursor) as some, source.plan() as all_of_it:
        new = [row for one in some.partitions for batch in source.scan(one) for row in batch.to_pylist()]
        rows = [row for one in all_of_it.partitions for batch in source.scan(one) for row in batch.to_pylist()]
    assert new == rows[1:]


@pytest.mark.parametrize("text", ["yesterday", "{}", '{"horizon": 1, "files": {"a": 3}}', "[]"])
def test_what_is_no_cursor_is_refused(text: str, tmp_path: Path) -> None:
    _write(tmp_path / "a.txt", "one\n")
    with pytest.raises(SourceError, match="reset the pipeline's state"):
        _read(TextLines(path=str(tmp_path)), text)
