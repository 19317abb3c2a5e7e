from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.accounting import Example, StepAccount
from pipelines.errors import RunRecordError
from pipelines.run_record import RunRecord

SPEC = "version: 1\nname: reviews\npassword: ${env:PASSWORD}\n"


def create(root: Path, pipeline: str = "reviews") -> RunRecord:
    return RunRecord.create(root, pipeline, SPEC, "abc123")


def recorded(run: RunRecord) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((run.directory / "run.json").read_text(encoding="utf-8"))
    return data


def test_a_run_is_recorded_as_running_from_the_first_moment(tmp_path: Path) -> None:
    run = create(tmp_path)

    data = recorded(run)
    assert run.directory == tmp_path / "reviews" / run.run_id
    assert (data["status"], data["pid"], data["spec_hash"]) == ("running", os.getpid(), "abc123")
    assert (run.directory / "spec.yaml").read_text() == SPEC


def test_the_versions_that_matter_are_recorded(tmp_path: Path) -> None:
    versions = create(tmp_path).versions

    named = {"python", "platform", "headrace", "ray", "raydp", "pyspark", "torch", "transformers", "pyarrow"}
    assert named <= set(versions)


def test_run_ids_begin_with_the_time_in_utc(tmp_path: Path) -> None:
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{6}", create(tmp_path).run_id)


def test_runs_started_at_once_get_directories_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: create(tmp_path), range(40)))

    assert len({run.run_id for run in runs}) == 40
    assert {one.name for one in (tmp_path / "reviews").iterdir()} == {run.run_id for run in runs}


def test_a_stage_is_named_while_it_runs_and_timed_when_it_ends(tmp_path: Path) -> None:
    run = create(tmp_path)

    with run.stage("etl"):
        during = recorded(run)["stages"]
    with run.stage("train"):
        pass

    assert [(one["name"], one["seconds"]) for one in during] == [("etl", None)]
    assert [stage.name for stage in run.stages] == ["etl", "train"]
    assert all(stage.seconds is not None and stage.seconds >= 0 for stage in run.stages)
    assert run.stages[0].started <= run.stages[1].started


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_stage_that_fails_keeps_its_time_and_the_kind_of_error(tmp_path: Path, error: BaseException) -> None:
    run = create(tmp_path)

    with pytest.raises(type(error)), run.stage("etl"):
        raise error

    assert run.stages[0].error == type(error).__name__
    assert run.stages[0].seconds is not None


def test_the_end_records_rows_by_rule_metrics_and_places(tmp_path: Path) -> None:
    run = create(tmp_path)
    rejection = Example("a:3", "word_count", "too_few_words", "hm")
    account = StepAccount("word_count", 10, 0, 9, {"too_few_words": 1}, 0.5, 400, {"too_few_words": [rejection]})

    run.finish(
        "done",
        [account],
        {"accuracy": 0.97, "log_loss": float("inf")},
        bundle=run.bundle_path,
        report=Path("/elsewhere/report.html"),
        rejected_rows=1,
    )

    data = recorded(run)
    assert data["status"] == "done"
    assert data["finished"] is not None
    assert data["metrics"] == {"accuracy": 0.97, "log_loss": None}
    assert (data["bundle"], data["report"]) == ("bundle", "/elsewhere/report.html")
    assert data["rejected_rows"] == 1
    [step] = data["steps"]
    assert (step["in"], step["created"], step["out"], step["bytes"]) == (10, 0, 9, 400)
    assert step["rejected"] == {"too_few_words": 1}
    assert step["examples"]["too_few_words"][0]["row_id"] == "a:3"


def test_a_failure_is_recorded_with_its_message(tmp_path: Path) -> None:
    run = create(tmp_path)

    run.finish("failed", error="no row is left")

    assert (recorded(run)["status"], recorded(run)["error"]) == ("failed", "no row is left")


def test_nothing_but_whole_files_is_left_in_the_directory(tmp_path: Path) -> None:
    run = create(tmp_path)
    with run.stage("etl"), run.quarantine() as quarantine:
        quarantine.write([])
    run.finish("done")

    assert sorted(one.name for one in run.directory.iterdir()) == [
        "quarantine.jsonl",
        "run.json",
        "spec.yaml",
    ]


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a\\b", "a\0b"])
def test_a_name_that_is_no_directory_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunRecordError, match="change name: in the spec"):
        create(tmp_path, name)

    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_made_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")

    with pytest.raises(RunRecordError, match=r"runs/reviews .*name a directory"):
        create(tmp_path / "runs")
