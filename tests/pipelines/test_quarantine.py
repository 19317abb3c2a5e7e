from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.accounting import Rejection
from pipelines.quarantine import QuarantineWriter, partial_path, read_quarantine

SHORT = Rejection("a:0", "word_count", "too_few_words", "坏了")
BROKEN = Rejection("a:1", "json_lines", "malformed_json", '{"text": ', "no value at 9", "a.jsonl", 2)


def test_every_rejection_is_one_json_object_on_a_line(tmp_path: Path) -> None:
    with QuarantineWriter(tmp_path / "quarantine.jsonl") as writer:
        writer.write([SHORT])
        writer.write([BROKEN])

    lines = (tmp_path / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [asdict(SHORT), asdict(BROKEN)]
    assert writer.rows == 2


def test_a_run_without_rejections_has_an_empty_quarantine(tmp_path: Path) -> None:
    with QuarantineWriter(tmp_path / "quarantine.jsonl"):
        pass

    assert list(read_quarantine(tmp_path / "quarantine.jsonl")) == []


def test_the_name_appears_only_when_all_rows_are_there(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    with QuarantineWriter(path) as writer:
        writer.write([SHORT])
        assert not path.exists()
        assert partial_path(path).exists()

    assert path.exists()
    assert not partial_path(path).exists()


def test_an_error_leaves_the_partial_file_as_evidence(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    writer = QuarantineWriter(path)

    def fail() -> None:
        with writer:
            writer.write([SHORT])
            raise RuntimeError("the run failed")

    with pytest.raises(RuntimeError):
        fail()

    assert not path.exists()
    assert json.loads(partial_path(path).read_text(encoding="utf-8")) == asdict(SHORT)


def test_writing_outside_the_context_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not open for writing"):
        QuarantineWriter(tmp_path / "quarantine.jsonl").write([SHORT])


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.jsonl"
    path.write_text(json.dumps(asdict(SHORT)) + '\n{"row_id": "a:\n', encoding="utf-8")

    with pytest.raises(ValueError, match=r"quarantine\.jsonl, line 2"):
        list(read_quarantine(path))


@given(values=st.lists(st.text(st.characters(exclude_categories=()), max_size=20), max_size=5))
def test_any_value_comes_back_as_it_went_in(values: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("quarantine") / "quarantine.jsonl"
    rejections = [Rejection(f"a:{number}", "step", "rule", value) for number, value in enumerate(values)]

    with QuarantineWriter(path) as writer:
        writer.write(rejections)

    assert list(read_quarantine(path)) == rejections
