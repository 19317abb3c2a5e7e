from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.durable_file import replace_file


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    replace_file(tmp_path / "note.txt", "第一行\nsecond\n")

    assert (tmp_path / "note.txt").read_bytes() == "第一行\nsecond\n".encode()


def test_writing_again_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    replace_file(tmp_path / "note.txt", "a longer first text")
    replace_file(tmp_path / "note.txt", "second")

    assert (tmp_path / "note.txt").read_text() == "second"
    assert [one.name for one in tmp_path.iterdir()] == ["note.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    (tmp_path / "note.txt").mkdir()
    (tmp_path / "note.txt" / "inside").touch()

    with pytest.raises(OSError, match=r"note\.txt"):
        replace_file(tmp_path / "note.txt", "new")

    assert [one.name for one in tmp_path.iterdir()] == ["note.txt"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_file(tmp_path / "absent" / "note.txt", "new")


def test_lone_surrogates_come_back_out_of_json(tmp_path: Path) -> None:
    replace_file(tmp_path / "note.json", json.dumps("caf\udce9", ensure_ascii=False))

    assert json.loads((tmp_path / "note.json").read_text(encoding="utf-8")) == "caf\udce9"
