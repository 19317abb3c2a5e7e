"""The record of a run, ``runs/<pipeline>/<run-id>/``, of which a crash leaves no half that reads as whole.

    run.json            what the run was and came to; there from the start, replaced as a whole at each change
    spec.yaml           the resolved spec; secrets are references, so there is none in it
    quarantine.jsonl    every rejected row, once they are all there (``quarantine.jsonl.partial`` until then)
    run.log             what the run, its libraries and its JVMs had to say
    report.html, .json  how good the result is
    bundle/             the row steps and the model

The directory appears with ``spec.yaml`` and ``run.json`` in it or not at all.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import psutil

from pipelines.accounting import StepAccount
from pipelines.distributions import in_order
from pipelines.durable_file import replace_file, sync_directory
from pipelines.errors import RunRecordError
from pipelines.installed import installed_versions
from pipelines.quarantine import QuarantineWriter

RECORD_VERSION = 1
"""The version of the form of ``run.json``; a reader of another version says so and shows what it can."""

RunStatus = Literal["running", "done", "failed", "interrupted"]
EndStatus = Literal["done", "failed", "interrupted"]


@dataclass(frozen=True)
class StageTime:
    """How long a stage of a run took.

    Attributes:
        name: the stage, e.g. ``etl`` or ``train``.
        started: when it started, as seconds since the run started.
        seconds: its wall time; None while it runs, and for ever where the run crashed in it.
        error: the kind of error that ended it, e.g. ``FitError``; empty where it ended well.
    """

    name: str
    started: float
    seconds: float | None = None
    error: str = ""


@dataclass
class _State:
    """What ``run.json`` says, in the order that it says it."""

    version: int
    run_id: str
    pipeline: str
    status: RunStatus
    error: str
    started: str
    finished: str | None
    seconds: float | None
    host: str
    pid: int
    process_started: float
    spec_hash: str
    versions: dict[str, str]
    stages: list[StageTime] = field(default_factory=list)
    steps: list[dict[str, object]] = field(default_factory=list)
    metrics: dict[str, object] = field(default_factory=dict)
    rejected_rows: int | None = None
    bundle: str | None = None
    report: str | None = None
    notices: list[str] = field(default_factory=list)


class RunRecord:
    """The record of the run that this process is doing; for one thread at a time.

    Attributes:
        run_id: names the run among its pipeline's runs; sorts by the time of its start (UTC).
        directory: where its files are.
    """

    def __init__(self, directory: Path, state: _State) -> None:
        """Use `create`."""
        self.run_id = state.run_id
        self.directory = directory
        self._state = state
        self._clock = time.monotonic()

    @classmethod
    def create(cls, root: Path, pipeline: str, spec_yaml: str, spec_hash: str) -> RunRecord:
        """Make the directory of a new run, whatever number of processes do so at once, and record its start.

        Args:
            root: the directory of all runs; made if it is not there.
            pipeline: the pipeline's name, which becomes a directory's.
            spec_yaml: the resolved spec.
            spec_hash: its hash.

        Raises:
            RunRecordError: the name cannot be a directory's, or the directory cannot be made.
        """
        if not pipeline or pipeline.startswith(".") or any(mark in pipeline for mark in ("/", "\\", "\0")):
            raise RunRecordError(
                f"{pipeline!r} cannot name a directory of runs: a pipeline's name is not empty, does not "
                "start with a dot, and holds no slash; change name: in the spec"
            )
        directory = root.absolute() / pipeline
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return _claim(directory, lambda run_id: _start(run_id, pipeline, spec_hash), spec_yaml)
        except OSError as error:
            raise RunRecordError(
                f"no record of the run can be made in {directory} ({error.strerror or error}); name a "
                "directory of runs that can be written"
            ) from error

    @property
    def started(self) -> datetime:
        """When the run started (UTC)."""
        return datetime.fromisoformat(self._state.started)

    @property
    def stages(self) -> tuple[StageTime, ...]:
        """The stages so far, in the order that they started."""
        return tuple(self._state.stages)

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions that the run started with, by name."""
        return dict(self._state.versions)

    @property
    def log_path(self) -> Path:
        """The run's log file."""
        return self.directory / "run.log"

    @property
    def bundle_path(self) -> Path:
        """The directory for the run's bundle."""
        return self.directory / "bundle"

    def quarantine(self) -> QuarantineWriter:
        """Return the writer of the run's rejected rows, to be used as a context manager."""
        return QuarantineWriter(self.directory / "quarantine.jsonl")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside as the stage `name`; the record names the stage as soon as it starts.

        An error inside is noted by its kind and goes on.
        """
        position = len(self._state.stages)
        begun = self._elapsed()
        self._state.stages.append(StageTime(name, begun))
        self._save()
        error = ""
        try:
            yield
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            self._state.stages[position] = StageTime(name, begun, self._elapsed() - begun, error)
            self._save()

    def notice(self, text: str) -> None:
        """Record something that a person should know of the run, in a sentence."""
        self._state.notices.append(text)
        self._save()

    @property
    def notices(self) -> tuple[str, ...]:
        """What has been recorded by `notice`."""
        return tuple(self._state.notices)

    def finish(
        self,
        status: EndStatus,
        accounts: Sequence[StepAccount] = (),
        metrics: Mapping[str, object] | None = None,
        error: str = "",
        *,
        bundle: Path | None = None,
        report: Path | None = None,
        rejected_rows: int | None = None,
    ) -> None:
        """Record how the run ended.

        Args:
            status: ``done``, ``failed`` or ``interrupted``.
            accounts: the rows of each step, in the pipeline's order.
            metrics: what was measured, as data that JSON can hold; numbers that are not finite become null.
            error: what went wrong, for a person; empty for ``done``.
            bundle: where the bundle is; paths within the run's directory are kept relative to it.
            report: where the report is.
            rejected_rows: how many rows the quarantine holds.
        """
        state = self._state
        state.status, state.error = status, error
        state.finished, state.seconds = _now().isoformat(), self._elapsed()
        state.steps = [account_data(account) for account in accounts]
        state.metrics = dict(metrics or {})
        state.bundle, state.report = self._relative(bundle), self._relative(report)
        state.rejected_rows = rejected_rows
        self._save()

    def _elapsed(self) -> float:
        return round(time.monotonic() - self._clock, 3)

    def _relative(self, path: Path | None) -> str | None:
        if path is None:
            return None
        whole = path.absolute()
        return str(whole.relative_to(self.directory) if whole.is_relative_to(self.directory) else whole)

    def _save(self) -> None:
        replace_file(self.directory / "run.json", to_json(asdict(self._state)))


def account_data(account: StepAccount) -> dict[str, object]:
    """Return the account of a step as data: name, rows by fate, seconds of work, bytes, examples by rule."""
    return {
        "name": account.name,
        "in": account.rows_in,
        "created": account.created,
        "out": account.rows_out,
        "rejected": dict(account.rejected),
        "seconds": round(account.seconds, 3),
        "bytes": account.bytes_out,
        "examples": {rule: [asdict(one) for one in some] for rule, some in account.examples.items()},
        "counts": dict(account.counts),
        "samples": {name: list(some) for name, some in account.samples.items()},
        "distributions": {
            name: {value: one[value] for value in in_order(name, one)} for name, one in account.distributions.items()
        },
    }


def to_json(value: object) -> str:
    """Return `value` as indented JSON, in the script that it is in, with null for what is not finite."""
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _start(run_id: str, pipeline: str, spec_hash: str) -> _State:
    return _State(
        version=RECORD_VERSION,
        run_id=run_id,
        pipeline=pipeline,
        status="running",
        error="",
        started=_now().isoformat(),
        finished=None,
        seconds=None,
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        spec_hash=spec_hash,
        versions=installed_versions(),
    )


def _claim(directory: Path, start: Callable[[str], _State], spec_yaml: str) -> RunRecord:
    """Make a run's directory with its first files under a hidden name, and give it its name in one step."""
    while True:
        now = _now()
        run_id = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z-{secrets.token_hex(3)}"
        hidden = directory / f".{run_id}"
        try:
            hidden.mkdir()
        except FileExistsError:
            continue
        state = start(run_id)
        replace_file(hidden / "spec.yaml", spec_yaml)
        replace_file(hidden / "run.json", to_json(asdict(state)))
        target = directory / run_id
        try:
            # Fails where a run of that name has files in it, and every run has.
            hidden.rename(target)
        except OSError:
            shutil.rmtree(hidden)
            if not target.exists():
                raise
            continue
        sync_directory(directory)
        return RunRecord(target, state)
