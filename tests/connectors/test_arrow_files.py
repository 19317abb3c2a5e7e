"""Files of Arrow's formats and of ORC: the same rows from each, and damaged ones told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors import ArrowFiles, SourceError, SourceSchemaError
from connectors.files import arrow_files
from connectors.files import columns as file_columns
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.arrow_bytes import arrow_bytes
from tests.connectors.reading import faults, read

KINDS = ("file", "stream", "orc")
TABLE = pa.table({"body": ["a", None, "c \u6cc9"], "topic": ["x", "y", None], "n": pa.array([1, 2, 3], pa.int16())})


class TestArrowFiles(SourceContract):
    row_count = 9

    @pytest.fixture
    def source(self, tmp_path: Path) -> PartitionedSource:
        for kind in KINDS:
            (tmp_path / kind).write_bytes(arrow_bytes(TABLE, kind))
        return ArrowFiles(path=str(tmp_path), text_column="body", label_column="topic")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most_rows", [1, 100])
def test_each_format_gives_the_same_rows(
    kind: str, most_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_files, "MAX_BATCH_ROWS", most_rows)
    (tmp_path / "rows").write_bytes(arrow_bytes(TABLE, kind))
    source = ArrowFiles(path=str(tmp_path), text_column="body", label_column="topic")
    rows, _ = read(source)
    assert rows == [{"row_id": "rows:1", "text": "a", "label": "x", "n": 1}]
    assert faults(source) == [("null_text", 2), ("null_label", 3)]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_wanted_columns_are_read(kind: str, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(arrow_bytes(pa.table({"text": ["a"], "n": [1], "m": [2]}), kind))
    source = ArrowFiles(path=str(tmp_path))
    with source.plan(columns=["m"]) as plan:
        (batch,) = [item for partition in plan.partitions for item in source.scan(partition)]
    assert batch.to_pylist() == [{"row_id": "rows:1", "text": "a", "m": 2}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_is_an_error_that_names_it(kind: str, tmp_path: Path) -> None:
    whole = arrow_bytes(pa.table({"text": [str(number) for number in range(1_000)]}), kind)
    for size in (0, 5, len(whole) // 2):
        (tmp_path / "rows").write_bytes(whole[:size])
        with pytest.raises(SourceError, match="rows cannot be read as Arrow IPC or ORC"):
            read(ArrowFiles(path=str(tmp_path)))


def test_files_may_have_other_columns_as_far_as_they_were_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, changed: int, columns: dict[str, Any]) -> None:
        (tmp_path / name).write_bytes(arrow_bytes(pa.table(columns), "file"))
        os.utime(tmp_path / name, (changed, changed))

    write("a", 1, {"text": ["a"], "n": pa.array([1], pa.int32())})
    write("b", 2, {"text": ["b"], "more": [True]})
    write("c", 3, {"text": pa.array(["c"]).dictionary_encode(), "n": [2**40]})
    source = ArrowFiles(path=str(tmp_path))
    assert [(row["text"], row["n"], row["more"]) for row in read(source)[0]] == [
        ("a", 1, None), ("b", None, True), ("c", 2**40, None),
    ]  # fmt: skip
    monkeypatch.setattr(file_columns, "MOST_HEADS", 1)
    with pytest.raises(SourceSchemaError, match=r"b has a column 'more', which the files .* have not"):
        read(source)
    write("b", 2, {"n": [1]})
    with pytest.raises(SourceSchemaError, match="b has no column 'text'"):
        read(source)
