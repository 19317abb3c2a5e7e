"""What a run leaves behind when it fails before anything is started: a record that says so, and nothing else."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from connectors import EmptySourceError, Memory, ParquetSink, TextFolder
from connectors.source import BadRow, Partition, PartitionedSource, Plan
from pipelines import Pipeline, PipelineError
from pipelines.commits import Commits
from pipelines.errors import RunRecordError, StateError
from pipelines.progress import Silent
from pipelines.read_state import ReadState
from pipelines.run_history import list_runs
from pipelines.runner import run


class Raising(PartitionedSource):
    """Fails in a way that no one has foreseen, or as Ctrl-C does."""

    interrupts: Literal["ctrl-c", "sigterm"] | None = None

    def read_schema(self) -> pa.Schema:
        return pa.schema([("text", pa.string())])

    @contextmanager
    def plan(
        self, *, since: str | None = None, columns: Sequence[str] | None = None, predicate: pc.Expression | None = None
    ) -> Iterator[Plan]:
        os.write(2, b"a native library speaks\n")
        if self.interrupts == "ctrl-c":
            raise KeyboardInterrupt
        if self.interrupts == "sigterm":
            sys.exit(15)  # what a Ray that was started makes of SIGTERM
        raise KeyError("not foreseen")
        yield

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        raise AssertionError("nothing was planned")


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage_started(self, name: str, total: int | None = None) -> None:
        self.lines.append(f"{name} started")

    def stage_finished(self, name: str, rows: int, seconds: float) -> None:
        self.lines.append(f"{name} finished")

    def run_finished(self, run: Any) -> None:
        self.lines.append("done")


def fail(tmp_path: Path, source: PartitionedSource, **options: Any) -> tuple[BaseException, Path]:
    """Run a pipeline that fails, and return what it raised and the directory of its record."""
    with pytest.raises((Exception, KeyboardInterrupt, SystemExit)) as raised:  # type: ignore[call-overload]
        run(Pipeline(name="x", source=source), runs=tmp_path / "runs", **options)
    [past] = list_runs(tmp_path / "runs")
    return raised.value, past.directory


def test_a_failed_check_is_recorded_and_leaves_no_result(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error, directory = fail(tmp_path, TextFolder(path=str(tmp_path / "empty")))
    record = json.loads((directory / "run.json").read_text())

    assert isinstance(error, EmptySourceError)
    assert record["status"] == "failed"
    assert record["error"] == f"EmptySourceError: {error}"
    assert [(stage["name"], stage["error"]) for stage in record["stages"]] == [("check", "EmptySourceError")]
    assert (record["bundle"], record["report"]) == (None, None)
    assert sorted(path.name for path in directory.iterdir()) == ["run.json", "run.log", "spec.yaml"]


def test_nothing_is_started_for_a_run_that_cannot_be(tmp_path: Path) -> None:
    listener = Heard()
    fail(tmp_path, TextFolder(path=str(tmp_path / "nowhere")), listener=listener)

    assert listener.lines == ["check started"]


def test_a_source_that_has_changed_since_the_last_run_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a text")
    sink = ParquetSink(path=str(tmp_path / "out"), mode="append")
    with ReadState.hold(tmp_path / "runs", "nightly") as state:
        state.enter(TextFolder(path=str(tmp_path / "old")), sink)
        sink.begin(Commits(state, "a run").begin("{}"), pa.schema([("text", pa.string())]))
        state.commit(sink, [])
    pipeline = Pipeline(name="nightly", source=TextFolder(path=str(tmp_path / "new")), sink=sink, incremental=True)
    with pytest.raises(StateError, match=r'source has changed: path was ".*/old" and is ".*/new"'):
        run(pipeline, runs=tmp_path / "runs")
    assert [one.status for one in list_runs(tmp_path / "runs")] == ["failed"]


def test_what_was_not_foreseen_comes_out_as_it_is_with_its_traceback_in_the_log(tmp_path: Path) -> None:
    error, directory = fail(tmp_path, Raising())
    log = (directory / "run.log").read_text()

    assert isinstance(error, KeyError)
    assert error.__notes__ == [f"log: {directory / 'run.log'}"]  # type: ignore[attr-defined]
    assert "Traceback (most recent call last)" in log
    assert "KeyError: 'not foreseen'" in log
    assert "in check_before_start" in log


@pytest.mark.parametrize(("how", "kind"), [("ctrl-c", KeyboardInterrupt), ("sigterm", SystemExit)])
def test_an_interrupted_run_is_no_failed_one(
    tmp_path: Path, how: Literal["ctrl-c", "sigterm"], kind: type[BaseException]
) -> None:
    error, directory = fail(tmp_path, Raising(interrupts=how))
    record = json.loads((directory / "run.json").read_text())

    assert isinstance(error, kind)
    assert (record["status"], record["error"]) == ("interrupted", "")
    assert record["stages"][-1]["error"] == kind.__name__


@pytest.mark.parametrize("quiet", [False, True])
def test_a_quiet_run_sends_what_native_libraries_print_to_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], quiet: bool
) -> None:
    _, directory = fail(tmp_path, Raising(), quiet=quiet)
    print("afterwards", file=sys.stderr)

    assert ("a native library speaks" in (directory / "run.log").read_text()) is quiet
    assert capfd.readouterr().err == ("" if quiet else "a native library speaks\n") + "afterwards\n"


def test_a_directory_of_runs_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(RunRecordError, match="no record of the run can be made"):
        run(Pipeline(name="x", source=Memory(rows=[{"text": "one"}])), runs=tmp_path / "runs")


def test_the_loggers_are_put_back(tmp_path: Path) -> None:
    before = list(logging.getLogger("headrace").handlers), logging.getLogger("headrace").propagate
    with pytest.raises(PipelineError):
        run(Pipeline(name="x"), runs=tmp_path)

    assert (list(logging.getLogger("headrace").handlers), logging.getLogger("headrace").propagate) == before
