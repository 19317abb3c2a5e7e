"""How far a pipeline has read its source, as it is kept."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pyarrow as pa
import pytest

from connectors import CsvSink, ParquetSink, Postgres, Source
from pipelines.commits import Commits
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
    assert found.ends is None
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


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 3}', '{"version": 2, "cursor": null}'])
def test_a_damaged_file_is_told_and_not_taken_for_the_beginning(text: str, tmp_path: Path) -> None:
    path = state_path(tmp_path, "nightly")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(StateError, match=r"state\.json"):
        read_state(path)


def test_it_reads_as_json(tmp_path: Path) -> None:
    reset_state(tmp_path, "nightly", "monday")
    said = json.loads(state_path(tmp_path, "nightly").read_text())
    assert set(said) == {"version", "cursor", "ends", "last", "pending", "updated"}


def test_one_of_before_that_does_not_say_whose_it_is_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = state_path(tmp_path, "nightly")
    path.parent.mkdir()
    path.write_text('{"version": 1, "cursor": "monday", "last": null, "pending": null, "updated": ""}')
    with pytest.raises(StateError, match="take it away, and run once with --full-refresh"):
        read_state(path)


class TestWhatACursorIsOf:
    """A pipeline that has been given another source or sink does not read on from where it had come in the old one."""

    SOURCE = Postgres(database="shop", user="me", table="reviews", cursor_column="at")

    @pytest.fixture
    def runs(self, tmp_path: Path) -> Path:
        """A pipeline's state after a night."""
        _night(tmp_path, self.SOURCE, _sink(tmp_path))
        return tmp_path

    def test_what_only_says_how_it_is_read_may_change(self, runs: Path) -> None:
        tuned = self.SOURCE.model_copy(update={"partitions_wanted": 2, "late": 60.0, "user": "you"})
        with ReadState.hold(runs, "nightly") as state:
            assert state.enter(tuned, ParquetSink(path=str(runs / "out"), compression="none")) is None
            assert state.state.cursor == "cursor 1"

    def test_another_table_or_column_is_named_with_what_it_was_and_the_cures(self, runs: Path) -> None:
        other = self.SOURCE.model_copy(update={"table": "orders", "cursor_column": None})
        with ReadState.hold(runs, "nightly") as state, pytest.raises(StateError) as refused:
            state.enter(other, _sink(runs))
        said = str(refused.value)
        assert 'its source has changed: table was "reviews" and is "orders"; ' in said
        assert 'cursor_column was "at" and is left out' in said
        assert "sink has changed" not in said
        for cure in ("--full-refresh", "state reset nightly`", "another name", "state reset nightly --keep-cursor"):
            assert cure in said
        assert read_state(state_path(runs, "nightly")).cursor == "cursor 1"

    def test_another_target_is_named_likewise(self, runs: Path) -> None:
        with ReadState.hold(runs, "nightly") as state:
            with pytest.raises(StateError, match=r'its sink has changed: path was ".*/out" and is ".*/elsewhere"'):
                state.enter(self.SOURCE, ParquetSink(path=str(runs / "elsewhere")))
            with pytest.raises(StateError, match='sink has changed: type was "parquet" and is "csv"'):
                state.enter(self.SOURCE, CsvSink(path=str(runs / "out")))

    def test_a_full_refresh_makes_the_new_source_the_one_that_counts(self, runs: Path) -> None:
        other = self.SOURCE.model_copy(update={"table": "orders"})
        _night(runs, other, _sink(runs), afresh=True)
        _night(runs, other, _sink(runs))
        with ReadState.hold(runs, "nightly") as state, pytest.raises(StateError, match='was "orders" and is "reviews"'):
            state.enter(self.SOURCE, _sink(runs))

    def test_a_full_refresh_that_failed_leaves_the_old_source_the_one_that_counts(self, runs: Path) -> None:
        other = self.SOURCE.model_copy(update={"table": "orders"})
        with ReadState.hold(runs, "nightly") as state:
            state.enter(other, _sink(runs), afresh=True)
            state.begin(Commit("two", "cursor 2", "run 2"))
        with ReadState.hold(runs, "nightly") as state, pytest.raises(StateError, match="its source has changed"):
            state.enter(other, _sink(runs))
        with ReadState.hold(runs, "nightly") as state:
            assert state.enter(self.SOURCE, _sink(runs)) is None

    @pytest.mark.parametrize("cursor", ["cursor 0", None, "kept"])
    def test_a_reset_lets_the_next_source_be_the_one_that_counts(self, runs: Path, cursor: str | None) -> None:
        other = self.SOURCE.model_copy(update={"table": "orders"})
        kept = cursor == "kept"
        reset_state(runs, "nightly", None if kept else cursor, keep_cursor=kept)
        _night(runs, other, _sink(runs), cursor="cursor 1" if kept else cursor)
        with ReadState.hold(runs, "nightly") as state, pytest.raises(StateError, match='was "orders" and is "reviews"'):
            state.enter(self.SOURCE, _sink(runs))

    def test_what_became_of_a_commit_only_its_own_sink_is_asked(self, runs: Path) -> None:
        sink, other = _sink(runs), ParquetSink(path=str(runs / "elsewhere"))
        with ReadState.hold(runs, "nightly") as state:
            state.enter(self.SOURCE, sink)
            state.begin(Commit("two", "cursor 2", "run 2"))
            sink.begin("two", SCHEMA)
            sink.commit("two", [])
        with ReadState.hold(runs, "nightly") as state:
            with pytest.raises(StateError, match="cut short on its way to another sink"):
                state.enter(self.SOURCE, other)
            assert state.state.pending is not None
            assert state.enter(self.SOURCE, sink) == state.state.last
            assert state.state.cursor == "cursor 2"

    def test_a_full_refresh_into_another_sink_needs_no_answer_of_the_old_one(self, runs: Path) -> None:
        with ReadState.hold(runs, "nightly") as state:
            state.enter(self.SOURCE, _sink(runs))
            state.begin(Commit("two", "cursor 2", "run 2"))
        elsewhere = ParquetSink(path=str(runs / "elsewhere"))
        _night(runs, self.SOURCE, elsewhere, afresh=True)
        with ReadState.hold(runs, "nightly") as state:
            assert state.state.pending is None
            assert state.enter(self.SOURCE, elsewhere) is None
            assert state.state.cursor == "cursor 1"


def _sink(runs: Path) -> ParquetSink:
    return ParquetSink(path=str(runs / "out"), mode="overwrite")


def _night(
    runs: Path, source: Source, sink: ParquetSink, *, afresh: bool = False, cursor: str | None = "cursor 1"
) -> None:
    """Go through a run that moves no rows; one that is not the first has `cursor` behind it."""
    with ReadState.hold(runs, "nightly") as state:
        state.enter(source, sink, afresh=afresh)
        assert state.state == State() or afresh or state.state.cursor == cursor
        commits = Commits(state, "a run")
        sink.begin(commits.begin("cursor 1"), SCHEMA)
        commits.commit(sink, [])
