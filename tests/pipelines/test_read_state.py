"""How far a pipeline has read its source, as it is kept."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pyarrow as pa
import pytest

from connectors import ParquetSink
from pipelines.errors import StateError
from pipelines.read_state import Commit, ReadState, State, read_state, reset_state, state_path

SCHEMA = pa.schema([("text", pa.string())])
COMMIT = Commit("one", "cursor 1", "run 1")


def _begun(state: ReadState, sink: ParquetSink) -> None:
    state.begin(COMMIT)
    sink.begin(COMMIT.commit_id, SCHEMA)


def test_the_cursor_moves_with_the_commit_and_not_before(tmp_path: Path) -> None:
    sink = ParquetSink(path=str(tmp_path / "out"))
    with ReadState.hold(tmp_path, "nightly") as state:
        assert state.state == State()
        _begun(state, sink)
        assert read_state(state_path(tmp_path, "nightly")).cursor is None
        state.commit(sink, [])
    found = read_state(state_path(tmp_path, "nightly"))
    assert (found.cursor, found.last, found.pending) == ("cursor 1", COMMIT, None)
    assert found.updated


def test_a_commit_that_was_cut_short_is_cleared_and_one_that_happened_counts(tmp_path: Path) -> None:
    sink = ParquetSink(path=str(tmp_path / "out"))
    with ReadState.hold(tmp_path, "nightly") as state:
        _begun(state, sink)
    with ReadState.hold(tmp_path, "nightly") as state:
        assert state.settle(sink) is None
        assert state.state.cursor is None
        assert state.state.pending is None
        assert list((tmp_path / "out" / "_staging").iterdir()) == []
        _begun(state, sink)
        sink.commit("one", [], "cursor 1")
    with ReadState.hold(tmp_path, "nightly") as state:
        assert state.settle(sink) == COMMIT
        assert state.state.cursor == "cursor 1"
        assert state.settle(sink) is None


def test_one_run_holds_it_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ReadState.hold(tmp_path, "nightly"):
        other = context.Process(target=_expect_a_refusal, args=(tmp_path,))
        other.start()
        other.join(60)
        assert other.exitcode == 0
    with ReadState.hold(tmp_path, "nightly"):
        pass


def _expect_a_refusal(runs: Path) -> None:
    with pytest.raises(StateError, match=r"another run of nightly \(process \d+\)"), ReadState.hold(runs, "nightly"):
        pass
    with ReadState.hold(runs, "weekly"):
        pass


def test_a_cursor_can_be_put_elsewhere_unless_a_commit_is_open(tmp_path: Path) -> None:
    assert reset_state(tmp_path, "nightly", "monday") == State()
    assert reset_state(tmp_path, "nightly").cursor == "monday"
    assert read_state(state_path(tmp_path, "nightly")).cursor is None
    with ReadState.hold(tmp_path, "nightly") as state:
        state.begin(COMMIT)
    with pytest.raises(StateError, match="run the pipeline once"):
        reset_state(tmp_path, "nightly")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 2}', '{"version": 1, "cursor": null}'])
def test_a_damaged_file_is_told_and_not_taken_for_the_beginning(text: str, tmp_path: Path) -> None:
    path = state_path(tmp_path, "nightly")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StateError, match=r"state\.json"):
        read_state(path)


def test_it_reads_as_json(tmp_path: Path) -> None:
    reset_state(tmp_path, "nightly", "monday")
    said = json.loads(state_path(tmp_path, "nightly").read_text())
    assert set(said) == {"version", "cursor", "last", "pending", "updated"}
