"""A pipeline that is run night after night, and its target beside a full load."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from connectors import JsonLines, ParquetSink, Receipt
from pipelines import Pipeline, PipelineError, Session
from pipelines.errors import StateError
from pipelines.read_state import read_state, state_path
from pipelines.result import Result
from pipelines.steps import NormalizeText, WordCount

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]


class _LostLinkError(Exception):
    """Stands for whatever ends a run behind the sink's commit."""


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "in"


def test_ten_nights_with_late_files_and_crashes_equal_a_full_load(
    session: Session, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nightly = _pipeline(corpus, ParquetSink(path=str(tmp_path / "out"), mode="append"))
    for night in range(10):
        _write(corpus, f"{night}", night, rows=20)
        if night % 3 == 2:
            _write(corpus, f"{night}-late", night - 1.5, rows=7)
        if night in (4, 6):
            with monkeypatch.context() as patched:
                patched.setattr(ParquetSink, "commit", _loses_the_link(commits=night == 6))
                with pytest.raises(_LostLinkError):
                    _run(nightly, session, tmp_path)
        if night == 8:
            _write(corpus, "forgotten", 0, rows=3)  # too old to be found but by a full refresh
        result = _run(nightly, session, tmp_path, full_refresh=night == 8)
        rows = 27 if night % 3 == 2 else 20
        assert result.accounts[0].rows_in == {6: 0, 8: 9 * 20 + 3 * 7 + 3}.get(night, rows)
    assert "nothing has come" in " ".join(_run(nightly, session, tmp_path).notices)
    assert _seen(tmp_path / "out") == _full_load(session, corpus, tmp_path)


def test_a_full_refresh_replaces_what_is_there(session: Session, corpus: Path, tmp_path: Path) -> None:
    nightly = _pipeline(corpus, ParquetSink(path=str(tmp_path / "out"), mode="append"))
    _write(corpus, "a", 0, rows=20)
    _run(nightly, session, tmp_path)
    _write(corpus, "a", 1, rows=25)  # corrected: read by increments, its rows would be there twice
    _run(nightly, session, tmp_path, full_refresh=True)
    assert _seen(tmp_path / "out") == _full_load(session, corpus, tmp_path)
    _write(corpus, "b", 2, rows=5)
    _run(nightly, session, tmp_path)
    assert _seen(tmp_path / "out") == _full_load(session, corpus, tmp_path)


def test_a_backfill_reads_on_from_a_cursor_of_before(session: Session, corpus: Path, tmp_path: Path) -> None:
    nightly = _pipeline(corpus, ParquetSink(path=str(tmp_path / "out"), mode="append"))
    _write(corpus, "a", 0, rows=20)
    _run(nightly, session, tmp_path)
    cursor = read_state(state_path(tmp_path / "runs", "nightly")).cursor
    _write(corpus, "b", 1, rows=5)
    _run(nightly, session, tmp_path)
    assert _run(nightly, session, tmp_path, since=cursor).accounts[0].rows_in == 5


def test_another_corpus_is_not_read_on_from_where_the_first_had_come_to(
    session: Session, corpus: Path, tmp_path: Path
) -> None:
    sink = ParquetSink(path=str(tmp_path / "out"), mode="append")
    _write(corpus, "a", 0, rows=20)
    _run(_pipeline(corpus, sink), session, tmp_path)
    _write(tmp_path / "other", "a", 0, rows=20)
    other = _pipeline(tmp_path / "other", sink)
    with pytest.raises(StateError, match="its source has changed: path was"):
        _run(other, session, tmp_path)
    assert _run(other, session, tmp_path, full_refresh=True).accounts[0].rows_in == 20
    assert _seen(tmp_path / "out") == _full_load(session, tmp_path / "other", tmp_path)


def test_what_cannot_be_read_incrementally_is_told(session: Session, corpus: Path, tmp_path: Path) -> None:
    _write(corpus, "a", 0, rows=1)
    whole = Pipeline(name="whole", source=JsonLines(path=str(corpus)), sink=ParquetSink(path=str(tmp_path / "out")))
    with pytest.raises(PipelineError, match="set incremental: true"):
        whole.run(session, runs=tmp_path / "runs", full_refresh=True)
    with pytest.raises(PipelineError, match="needs a sink"):
        Pipeline(name="x", source=JsonLines(path=str(corpus)), incremental=True).run(session, runs=tmp_path / "runs")


def _loses_the_link(*, commits: bool) -> Callable[..., None]:
    """Return a commit that is not survived, whether it happens or not."""
    commit = ParquetSink.commit

    def lost(sink: ParquetSink, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        if commits:
            commit(sink, commit_id, receipts, cursor)
        raise _LostLinkError

    return lost


def _pipeline(corpus: Path, sink: ParquetSink) -> Pipeline:
    return Pipeline(
        name="nightly",
        source=JsonLines(path=str(corpus)),
        steps=[NormalizeText(), WordCount(min=3)],
        sink=sink,
        incremental=True,
    )


def _run(pipeline: Pipeline, session: Session, directory: Path, **options: object) -> Result:
    return pipeline.run(session, runs=directory / "runs", **options)  # type: ignore[arg-type]


def _full_load(session: Session, corpus: Path, directory: Path) -> list[dict[str, object]]:
    sink = ParquetSink(path=str(directory / "full"), mode="overwrite")
    _pipeline(corpus, sink).model_copy(update={"name": "full", "incremental": False}).run(
        session, runs=directory / "runs"
    )
    return _seen(directory / "full")


def _write(corpus: Path, name: str, day: float, *, rows: int) -> None:
    corpus.mkdir(exist_ok=True)
    path = corpus / f"{name}.jsonl"
    texts = [f"file {name} row {row}" if row % 5 else "short" for row in range(rows)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    os.utime(path, (1_768_000_000 + day * 86_400,) * 2)


def _seen(target: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(target).to_pylist()
    return sorted(rows, key=lambda row: str(row["row_id"]))
