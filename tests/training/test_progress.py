from __future__ import annotations

from pathlib import Path

import pytest

from training.progress import Reporter, watching


def test_the_last_word_is_always_heard(tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []
    with watching(tmp_path / "progress.json", lambda doing, rows: heard.append((doing, rows))):
        reporter = Reporter(tmp_path / "progress.json")
        reporter.report("epoch 1", 10)
        reporter.report("epoch 1", 20, now=True)
    assert heard[-1] == ("epoch 1", 20)
    assert len(heard) == len(set(heard))


def test_reports_in_quick_succession_are_skipped(tmp_path: Path) -> None:
    reporter = Reporter(tmp_path / "progress.json")
    reporter.report("epoch 1", 1, now=True)
    reporter.report("epoch 1", 2)
    assert (tmp_path / "progress.json").read_text("utf-8") == '["epoch 1", 1]'


def test_what_an_earlier_run_said_is_not_heard(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text('["epoch 9", 9]', encoding="utf-8")
    heard: list[tuple[str, int]] = []
    with (
        pytest.raises(ValueError, match="an error inside"),
        watching(tmp_path / "progress.json", lambda doing, rows: heard.append((doing, rows))),
    ):
        raise ValueError("an error inside")
    assert heard == []
