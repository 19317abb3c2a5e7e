"""Past runs, read back from their records; a damaged record is named, never fatal."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import psutil

from pipelines.errors import RunRecordError
from pipelines.quarantine import partial_path
from pipelines.run_record import RECORD_VERSION, RunStatus, StageTime

# The clock may be set while a run goes on, and a process's start is reckoned from the time of boot.
_START_TOLERANCE_SECONDS = 60.0


@dataclass(frozen=True)
class PastRun:
    """What is known of a run.

    Attributes:
        pipeline: the pipeline's name.
        run_id: the run's name among its pipeline's runs.
        directory: where its files are.
        status: as recorded; ``crashed`` where it says ``running`` and its process is gone from this machine,
            and ``damaged`` where ``run.json`` cannot be read. A run of another machine that says ``running``
            is believed.
        error: what went wrong, where the run could still say so.
        started: when it started, ISO 8601 in UTC; empty where unknown.
        seconds: how long it took; None where it did not come to an end.
        stages: the stages that it went through, the last one open where it crashed.
        record: all of ``run.json``; empty where damaged.
        faults: what is wrong with the record, one sentence each, naming the file.
    """

    pipeline: str
    run_id: str
    directory: Path
    status: RunStatus | Literal["crashed", "damaged"]
    error: str
    started: str
    seconds: float | None
    stages: tuple[StageTime, ...]
    record: Mapping[str, object]
    faults: tuple[str, ...]


def list_runs(root: Path, pipeline: str | None = None) -> list[PastRun]:
    """Return the runs under `root`, those of `pipeline` alone if one is named, the latest first.

    There are none where `root` does not exist. What is not a run's directory is passed over.
    """
    pipelines = [root / pipeline] if pipeline is not None else _directories(root)
    runs = [_read(directory) for home in pipelines for directory in _directories(home)]
    return sorted(runs, key=lambda run: (run.run_id, run.pipeline), reverse=True)


def read_run(root: Path, run_id: str, pipeline: str | None = None) -> PastRun:
    """Return the run `run_id`, or the one whose id starts so when it is the only one.

    Raises:
        RunRecordError: there is no such run, or several; the message lists what there is.
    """
    homes = [root / pipeline] if pipeline is not None else _directories(root)
    directories = [directory for home in homes for directory in _directories(home)]
    found = [one for one in directories if one.name == run_id] or [
        one for one in directories if run_id and one.name.startswith(run_id)
    ]
    if len(found) == 1:
        return _read(found[0])
    shown = sorted((f"{one.parent.name}/{one.name}" for one in found or directories), reverse=True)[:5]
    if found:
        raise RunRecordError(f"{run_id!r} could be any of {', '.join(shown)}; give more of the id, or the pipeline")
    raise RunRecordError(
        f"there is no run {run_id!r} in {root}; "
        + (f"the latest are {', '.join(shown)}" if shown else "there are no runs there at all")
    )


def _directories(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))


def _read(directory: Path) -> PastRun:
    record, faults = _load(directory / "run.json")
    stages, stage_faults = _stages(record, directory / "run.json")
    faults += stage_faults
    status = _status(record)
    if record and status is None:
        faults.append(f"{directory / 'run.json'}: status {record.get('status')!r} is not one that a run can have")
    if status != "running" and partial_path(directory / "quarantine.jsonl").exists():
        faults.append(f"{partial_path(directory / 'quarantine.jsonl')}: the rejected rows are not all in it")
    seconds = record.get("seconds")
    return PastRun(
        pipeline=directory.parent.name,
        run_id=directory.name,
        directory=directory,
        status=status or "damaged",
        error=str(record.get("error") or ""),
        started=str(record.get("started") or ""),
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        stages=stages,
        record=MappingProxyType(record),
        faults=tuple(faults),
    )


def _load(path: Path) -> tuple[dict[str, object], list[str]]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [f"{path}: there is none"]
    except (OSError, ValueError) as error:
        return {}, [f"{path}: cannot be read ({error})"]
    if not isinstance(record, dict):
        return {}, [f"{path}: holds {type(record).__name__}, not a record"]
    version = record.get("version")
    if version != RECORD_VERSION:
        return record, [f"{path}: is of version {version!r}; this headrace writes and knows {RECORD_VERSION}"]
    return record, []


def _stages(record: Mapping[str, object], path: Path) -> tuple[tuple[StageTime, ...], list[str]]:
    entries = record.get("stages", [])
    try:
        if not isinstance(entries, list):
            raise TypeError("not a list")
        return tuple(StageTime(**entry) for entry in entries), []
    except TypeError as error:
        return (), [f"{path}: stages cannot be read ({error})"]


def _status(record: Mapping[str, object]) -> RunStatus | Literal["crashed"] | None:
    match record.get("status"):
        case "running":
            return "running" if _may_still_run(record) else "crashed"
        case "done":
            return "done"
        case "failed":
            return "failed"
        case "interrupted":
            return "interrupted"
        case _:
            return None


def _may_still_run(record: Mapping[str, object]) -> bool:
    if record.get("host") != socket.gethostname():
        return True
    pid, started = record.get("pid"), record.get("process_started")
    if not isinstance(pid, int) or not isinstance(started, (int, float)):
        return False
    try:
        process = psutil.Process(pid)
        # Process ids are used again: the one that has this id now counts only if it started when the run's
        # did.
        same = abs(process.create_time() - started) < _START_TOLERANCE_SECONDS
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
