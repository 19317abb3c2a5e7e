from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import RunRecordError
from pipelines.run_history import list_runs, read_run
from pipelines.run_record import RunRecord

CRASH = """
import os, sys
from pathlib import Path
from pipelines.accounting import Rejection
from pipelines.run_record import RunRecord

run = RunRecord.create(Path(sys.argv[1]), "reviews", "version: 1", "abc")
with run.stage("read"):
    pass
with run.stage("train"), run.quarantine() as quarantine:
    quarantine.write([Rejection("a:0", "read", "rule", "value")])
    os._exit(9)
"""


def create(root: Path, pipeline: str = "reviews") -> RunRecord:
    return RunRecord.create(root, pipeline, "version: 1", "abc")


def amend(run: RunRecord, **changes: object) -> None:
    path = run.directory / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_finished_run_reads_back_as_it_was(tmp_path: Path) -> None:
    run = create(tmp_path)
    with run.stage("etl"):
        pass
    run.finish("done", metrics={"accuracy": 0.9})

    past = read_run(tmp_path, run.run_id)

    assert (past.pipeline, past.run_id, past.status, past.faults) == ("reviews", run.run_id, "done", ())
    assert past.stages == run.stages
    assert past.record["metrics"] == {"accuracy": 0.9}


def test_a_run_of_this_very_process_is_running(tmp_path: Path) -> None:
    assert read_run(tmp_path, create(tmp_path).run_id).status == "running"


def test_a_run_whose_process_died_has_crashed_in_the_stage_that_is_open(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], check=False)
    [past] = list_runs(tmp_path)

    assert ended.returncode == 9
    assert past.status == "crashed"
    assert [(stage.name, stage.seconds is None) for stage in past.stages] == [
        ("read", False),
        ("train", True),
    ]
    assert len(past.faults) == 1
    assert "quarantine.jsonl.partial" in past.faults[0]
    assert not (past.directory / "quarantine.jsonl").exists()


def test_another_process_under_the_same_id_does_not_keep_a_run_alive(tmp_path: Path) -> None:
    run = create(tmp_path)
    amend(run, process_started=1.0)

    assert read_run(tmp_path, run.run_id).status == "crashed"


def test_a_running_run_of_another_machine_is_believed(tmp_path: Path) -> None:
    run = create(tmp_path)
    amend(run, host="another-machine", pid=1, process_started=1.0)

    assert read_run(tmp_path, run.run_id).status == "running"


@pytest.mark.parametrize("content", ["", '{"status": "do', "[1, 2]", "\x00\x01"])
def test_a_damaged_record_is_named_and_the_other_runs_are_listed(tmp_path: Path, content: str) -> None:
    good, bad = create(tmp_path), create(tmp_path)
    (bad.directory / "run.json").write_text(content)

    by_id = {run.run_id: run for run in list_runs(tmp_path)}

    assert by_id[good.run_id].status == "running"
    assert by_id[bad.run_id].status == "damaged"
    assert str(bad.directory / "run.json") in by_id[bad.run_id].faults[0]


def test_a_directory_without_a_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "reviews" / "20250101T000000Z-abcdef").mkdir(parents=True)

    [run] = list_runs(tmp_path)

    assert (run.status, run.run_id) == ("damaged", "20250101T000000Z-abcdef")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"version": 99}, "version 99"),
        ({"status": "dreaming"}, "'dreaming'"),
        ({"stages": [{"title": "etl"}]}, "stages cannot be read"),
        ({"stages": 3}, "stages cannot be read"),
    ],
)
def test_what_a_record_cannot_say_is_a_fault_and_not_an_error(
    tmp_path: Path, changes: dict[str, object], fault: str
) -> None:
    run = create(tmp_path)
    amend(run, **changes)

    assert fault in read_run(tmp_path, run.run_id).faults[0]


def test_runs_are_listed_the_latest_first_and_by_pipeline(tmp_path: Path) -> None:
    for pipeline, run_id in (
        ("a", "20250102T000000Z-aaaaaa"),
        ("b", "20250103T000000Z-bbbbbb"),
        ("a", "20250101T0-c"),
    ):
        (tmp_path / pipeline / run_id).mkdir(parents=True)
    (tmp_path / "a" / ".20250104T000000Z-being-made").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("not a run")

    assert [run.run_id[:8] for run in list_runs(tmp_path)] == ["20250103", "20250102", "20250101"]
    assert [run.run_id[:8] for run in list_runs(tmp_path, "a")] == ["20250102", "20250101"]


def test_there_are_no_runs_where_there_is_no_directory(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "absent") == []


def test_the_beginning_of_an_id_is_enough_if_it_is_the_only_one(tmp_path: Path) -> None:
    for run_id in ("20250102T000000Z-aaaaaa", "20250103T000000Z-bbbbbb"):
        (tmp_path / "a" / run_id).mkdir(parents=True)

    assert read_run(tmp_path, "20250103").run_id == "20250103T000000Z-bbbbbb"
    with pytest.raises(RunRecordError, match="any of a/20250103T000000Z-bbbbbb, a/20250102T000000Z-aaaaaa"):
        read_run(tmp_path, "2025")


def test_an_unknown_run_is_an_error_that_lists_the_latest(tmp_path: Path) -> None:
    (tmp_path / "a" / "20250102T000000Z-aaaaaa").mkdir(parents=True)

    with pytest.raises(RunRecordError, match="latest are a/20250102T000000Z-aaaaaa"):
        read_run(tmp_path, "1999")
    with pytest.raises(RunRecordError, match="no runs there at all"):
        read_run(tmp_path / "absent", "1999")
