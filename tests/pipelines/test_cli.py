"""The command line: what each command prints, and the code that it ends with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pyarrow as pa
import pytest

from pipelines import Pipeline
from pipelines.agreed_schema import Agreement
from pipelines.cli import main
from pipelines.run_history import list_runs
from pipelines.run_record import RunRecord
from pipelines.spec_file import read_yaml
from tests.pipelines.sample_bundle import tiny_bundle

EXAMPLES = Path(__file__).parents[2] / "pipelines" / "examples"
COMMANDS = ("run", "plan", "preview", "validate", "schema", "predict", "doctor", "runs", "connector", "step", "state")


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    error: str


Command = Callable[..., Ended]


@pytest.fixture
def headrace(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Return what runs the command line in this process; it sets signal handlers, which are put back."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def command(*arguments: str | Path) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, printed.out, printed.err)

    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a spec beside two labelled texts, in ``data``."""
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "1.txt").write_text(f"A   text about {label}")

    def write(text: str) -> Path:
        path = tmp_path / "spec.yaml"
        path.write_text(text)
        return path

    return write


ETL = """
name: corpus
source: {type: text_folder, path: data}
steps: [normalize_text]
sink: {type: json_lines, path: out}
"""
RAISING = """
name: x
source: {type: "tests.pipelines.test_runner:Raising"}
sink: {type: json_lines, path: out}
"""


class TestUsage:
    def test_help_lists_the_commands_and_what_each_is_for(self, headrace: Command) -> None:
        ended = headrace("--help")

        assert ended.code == 0
        listed = [line.split()[0] for line in ended.out.partition("Commands:")[2].splitlines() if line.strip()]
        assert tuple(listed) == COMMANDS
        assert "..." not in ended.out.partition("Commands:")[2]
        assert all(headrace(command, "-h").code == 0 for command in COMMANDS)

    def test_the_version_is_the_distributions(self, headrace: Command) -> None:
        ended = headrace("--version")

        assert (ended.code, ended.out.split()[0]) == (0, "headrace")

    @pytest.mark.parametrize(
        "arguments",
        [(), ("frob",), ("run",), ("run", "a.yaml", "--bogus"), ("preview", "a.yaml", "-n", "0"), ("runs",)],
    )
    def test_wrong_usage_ends_with_2(self, headrace: Command, arguments: tuple[str, ...]) -> None:
        ended = headrace(*arguments)

        assert ended.code == 2
        assert "Usage: " in ended.out + ended.error
        assert "Traceback" not in ended.error


class TestValidate:
    def test_a_valid_spec_is_named_with_its_hash(self, headrace: Command, write: Callable[[str], Path]) -> None:
        spec = write(ETL)
        ended = headrace("validate", spec)

        assert ended.code == 0
        assert ended.out.startswith(f"{spec}: corpus is a valid pipeline (")

    def test_all_faults_are_listed_with_their_lines(self, headrace: Command, write: Callable[[str], Path]) -> None:
        spec = write(
            "name: x\nsource: {type: csv, path: a, path: b}\nsteps:\n  - dedupe\n  - {type: word_count, mn: 3}\n"
        )
        ended = headrace("validate", spec)

        assert (ended.code, ended.out) == (2, "")
        assert ended.error.splitlines()[0] == f"error: {spec} is not a valid spec: 3 faults"
        assert f"{spec}:2: source.path: the key 'path' is given twice" in ended.error
        assert f"{spec}:4: steps[0]: unknown step 'dedupe'; did you mean 'deduplicate'? known: " in ended.error
        assert f"{spec}:5: steps[1].mn: unknown option 'mn' of word_count; did you mean 'min'?" in ended.error

    def test_what_is_not_yaml_is_shown_at_its_place(self, headrace: Command, write: Callable[[str], Path]) -> None:
        spec = write("name: [x\nsteps: 3\n")
        ended = headrace("validate", spec)

        assert ended.code == 2
        assert f"{spec}:2:6: this is not YAML" in ended.error
        assert "| steps: 3" in ended.error

    def test_a_spec_that_is_not_there_is_told_with_its_likes(
        self, headrace: Command, write: Callable[[str], Path]
    ) -> None:
        ended = headrace("validate", write(ETL).with_name("spc.yaml"))

        assert ended.code == 2
        assert "does not exist; did you mean 'spec.yaml'?" in ended.error

    def test_a_function_is_found_beside_the_spec(self, headrace: Command, write: Callable[[str], Path]) -> None:
        step = "{type: python_row, function: beside_the_spec:kept}"
        spec = write(ETL.replace("[normalize_text]", f"[{step}]"))
        assert "beside the spec" in headrace("validate", spec).error

        (spec.parent / "beside_the_spec.py").write_text("def kept(row):\n    return row\n")
        ended = headrace("validate", spec)
        assert (ended.code, ended.error) == (0, "")

    def test_overrides_count(self, headrace: Command, write: Callable[[str], Path]) -> None:
        spec = write(ETL)

        assert "other is a valid pipeline" in headrace("validate", spec, "--set", "name=other").out
        wrong = headrace("validate", spec, "--set", "steps.split.test=0.1", "--set", "sink.mod=append")
        assert wrong.code == 2
        assert "--set steps.split.test: no item of steps is of type 'split'" in wrong.error
        assert "did you mean 'mode'?" in wrong.error


class TestPlanAndPreview:
    def test_a_plan_fits_a_hundred_columns_and_starts_nothing(
        self, headrace: Command, write: Callable[[str], Path]
    ) -> None:
        spec = write(ETL)
        ended = headrace("plan", spec)

        assert ended.code == 0
        assert "text_folder → normalize_text → sink" in ended.out
        assert max(len(line) for line in ended.out.splitlines()) <= 100
        assert sorted(path.name for path in spec.parent.iterdir()) == ["data", "spec.yaml"]

    def test_a_preview_shows_rows_as_the_steps_leave_them(
        self, headrace: Command, write: Callable[[str], Path]
    ) -> None:
        ended = headrace("preview", write(ETL.replace("[normalize_text]", "[normalize_text, deduplicate]")), "-n", "1")

        assert ended.code == 0
        assert "text=A text about a, label=a" in ended.out
        assert "about b" not in ended.out
        assert "not applied here, from the first table step on: deduplicate" in ended.out

    @pytest.mark.parametrize("command", ["plan", "preview"])
    def test_a_missing_path_names_file_and_field(
        self, headrace: Command, write: Callable[[str], Path], command: str
    ) -> None:
        spec = write(ETL.replace("path: data", "path: dta"))
        ended = headrace(command, spec)

        assert ended.code == 1
        assert ended.error.startswith(
            f"error: {spec}: source: {spec.parent}/dta: 'dta' does not exist; did you mean 'data'?"
        )

    def test_a_mistake_of_a_plugin_is_told_in_a_line_and_kept_in_a_file(
        self, headrace: Command, write: Callable[[str], Path]
    ) -> None:
        ended = headrace("preview", write(RAISING))
        kept = Path(ended.error.rpartition("traceback: ")[2].strip())

        assert ended.code == 1
        assert "error: unexpected KeyError: 'not foreseen'\n" in ended.error
        assert "Traceback" not in ended.error
        assert "Traceback" in kept.read_text()
        kept.unlink()


class TestRun:
    def test_rows_must_go_somewhere(self, headrace: Command, write: Callable[[str], Path], tmp_path: Path) -> None:
        ended = headrace(
            "run", write("name: x\nsource: {type: text_folder, path: data}\n"), "--runs", tmp_path / "runs"
        )

        assert ended.code == 2
        assert "needs train: or sink:" in ended.error
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                "source.path=nowhere",
                "source: {home}/nowhere: 'nowhere' does not exist; there is: data, deep, spec.yaml",
            ),
            (
                "source.path=package:corpus_of_nobody/x",
                "the package 'corpus_of_nobody' is not installed here; install it",
            ),
            ("source.glob='*.md'", "source: {home}/data holds no file that matches '*.md'; there is: a, b"),
        ],
    )
    def test_bad_input_is_found_before_anything_starts(
        self, headrace: Command, write: Callable[[str], Path], tmp_path: Path, change: str, said: str
    ) -> None:
        spec = write(ETL)
        ended = headrace("run", spec, "--set", change, "--runs", tmp_path / "deep" / "runs")
        [past] = list_runs(tmp_path / "deep" / "runs")

        assert ended.code == 1
        assert ended.out == "check …\n"
        assert ended.error.startswith(f"error: {spec}: source: ")
        assert said.format(home=spec.parent) in ended.error
        assert ended.error.splitlines()[-1] == f"  log: {past.directory / 'run.log'}"
        assert past.status == "failed"
        assert not (tmp_path / "out").exists()

    def test_a_mistake_of_a_plugin_is_told_in_a_line_with_the_log_that_has_the_rest(
        self, headrace: Command, write: Callable[[str], Path], tmp_path: Path
    ) -> None:
        ended = headrace("run", write(RAISING), "--runs", tmp_path / "runs")
        [past] = list_runs(tmp_path / "runs")

        assert ended.code == 1
        assert ended.error.splitlines() == [
            "error: unexpected KeyError: 'not foreseen'",
            f"  log: {past.directory / 'run.log'}",
        ]
        assert "Traceback" in (past.directory / "run.log").read_text()

    @pytest.mark.parametrize("how", ["ctrl-c", "sigterm"])
    def test_an_interrupted_run_says_so_and_ends_with_1(
        self, headrace: Command, write: Callable[[str], Path], tmp_path: Path, how: str
    ) -> None:
        ended = headrace("run", write(RAISING), "--set", f"source.interrupts={how}", "--runs", tmp_path / "runs")
        [past] = list_runs(tmp_path / "runs")

        assert ended.code == 1
        assert ended.error.startswith("error: interrupted; what was started has been taken down\n")
        assert past.status == "interrupted"


class TestSchema:
    def test_the_examples_are_valid_by_it(self, headrace: Command) -> None:
        ended = headrace("schema")
        validator = jsonschema.Draft202012Validator(json.loads(ended.out))

        assert ended.code == 0
        examples = sorted(EXAMPLES.glob("*.yaml"))
        assert examples
        for example in examples:
            validator.validate(read_yaml(example.read_text(encoding="utf-8"), "x").value)


class TestSteps:
    def test_they_are_listed_with_what_they_do(self, headrace: Command) -> None:
        ended = headrace("step", "list")
        listed = {line.split()[0]: line.split()[1] for line in ended.out.splitlines()[1:] if not line.startswith(" ")}
        assert ended.code == 0
        assert listed["normalize_text"] == "row"
        assert listed["deduplicate_near"] == "table"

    def test_one_is_shown_with_its_rules_and_its_options(self, headrace: Command) -> None:
        ended = headrace("step", "show", "detect_language")
        assert ended.code == 0
        assert "pipelines.steps.detect_language:DetectLanguage" in ended.out
        told, _, options = ended.out.partition("what it is")
        assert "too_few_letters" in told
        assert ["min_confidence", "0.65"] in [line.split()[:2] for line in options.splitlines()]
        assert headrace("step", "show", "detect_langage").code == 2


class TestRuns:
    def test_none_are_told(self, headrace: Command, tmp_path: Path) -> None:
        assert headrace("runs", "list", "--runs", tmp_path).out == f"there are no runs in {tmp_path}\n"
        shown = headrace("runs", "show", "2026", "--runs", tmp_path)
        assert shown.code == 1
        assert f"there is no run '2026' in {tmp_path}; there are no runs there at all" in shown.error

    def test_past_runs_are_listed_and_shown(self, headrace: Command, tmp_path: Path) -> None:
        run = RunRecord.create(tmp_path, "news", "version: 1", "abc")
        run.finish("done", metrics={"test": {"accuracy": 0.9375}})
        RunRecord.create(tmp_path, "other", "version: 1", "abc").finish("failed", error="FitError: no memory")

        listed = headrace("runs", "list", "--runs", tmp_path).out
        assert "0.938" in listed
        assert "failed" in listed
        assert "failed" not in headrace("runs", "list", "news", "--runs", tmp_path).out
        shown = headrace("runs", "show", run.run_id, "--runs", tmp_path)
        assert shown.code == 0
        assert "accuracy" in shown.out


class TestPredict:
    def test_each_line_is_answered_by_a_line_of_json(self, headrace: Command, tmp_path: Path) -> None:
        tiny_bundle(tmp_path / "encoder").save(tmp_path / "bundle")
        (tmp_path / "texts").write_text("a goal by the team\n\nthe bank's shares\n", encoding="utf-8")
        ended = headrace("predict", tmp_path / "bundle", tmp_path / "texts", "--batch", "1")
        answers = [json.loads(line) for line in ended.out.splitlines()]

        assert ended.code == 0
        assert [answer["text"] for answer in answers] == ["a goal by the team", "", "the bank's shares"]
        assert [answer["rejected"] for answer in answers] == [None, "normalize_text: empty_text", None]
        assert answers[0]["label"] in ("money", "sport")
        (tmp_path / "texts").write_bytes("größe\n".encode("latin-1"))
        wrong = headrace("predict", tmp_path / "bundle", tmp_path / "texts")
        assert (wrong.code, wrong.error) == (
            2,
            f"error: {tmp_path}/texts is not UTF-8 (byte 0xf6); convert it with iconv\n",
        )

    def test_what_is_not_there_is_named(self, headrace: Command, tmp_path: Path) -> None:
        (tmp_path / "texts").touch()

        assert headrace("predict", tmp_path, tmp_path / "nothing").code == 2
        ended = headrace("predict", tmp_path, tmp_path / "texts")
        assert ended.code == 1
        assert f"{tmp_path} is no bundle: it has no pipeline.yaml" in ended.error


LIGHT = """
import json, sys
from pipelines.cli import main
try:
    main()
except SystemExit as ended:
    heavy = [name for name in ("ray", "raydp", "pyspark", "torch", "transformers", "sklearn") if name in sys.modules]
    print(json.dumps({"code": ended.code, "heavy": heavy}), file=sys.stderr)
"""


def lightly(*arguments: str | Path, text: str = "") -> tuple[dict[str, object], str]:
    """Run the command line in a process of its own, and return what it had imported at its end, and its output."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *map(str, arguments)],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stderr.splitlines()[-1]), done.stdout


def test_a_spec_is_checked_planned_and_previewed_without_the_heavy_libraries(write: Callable[[str], Path]) -> None:
    light = {"code": 0, "heavy": []}
    for command in ("validate", "plan", "preview"):
        assert lightly(command, write(ETL))[0] == light, command


def test_texts_from_standard_input_are_classified_without_ray_and_spark(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "encoder").save(tmp_path / "bundle")
    imported, answers = lightly("predict", tmp_path / "bundle", text="the bank's größe\n")

    assert imported == {"code": 0, "heavy": ["torch", "transformers"]}
    assert json.loads(answers)["text"] == "the bank's größe"


class TestState:
    def test_it_can_be_seen_and_moved(self, headrace: Command, tmp_path: Path) -> None:
        runs = ("--runs", str(tmp_path))
        assert headrace("state", "show", "nightly", *runs).code == 2
        assert headrace("state", "reset", "nightly", "--to", "monday", *runs).code == 0
        assert json.loads(headrace("state", "show", "nightly", *runs).out)["cursor"] == "monday"
        ended = headrace("state", "reset", "nightly", *runs)
        assert "the cursor was monday, and is at the beginning" in ended.out

    def test_it_can_be_kept_for_another_source(self, headrace: Command, tmp_path: Path) -> None:
        runs = ("--runs", str(tmp_path))
        headrace("state", "reset", "nightly", "--to", "monday", *runs)
        ended = headrace("state", "reset", "nightly", "--keep-cursor", *runs)
        assert "the cursor was monday, and stays there" in ended.out
        assert json.loads(headrace("state", "show", "nightly", *runs).out)["cursor"] == "monday"
        assert headrace("state", "reset", "nightly", "--keep-cursor", "--to", "friday", *runs).code == 2

    def test_so_can_the_schema_agreed_on(self, headrace: Command, tmp_path: Path) -> None:
        runs = ("--runs", str(tmp_path))
        agreement = Agreement.of(Pipeline(name="nightly", schema_contract="freeze"), tmp_path, print)
        assert agreement is not None
        agreement.conform(pa.schema([("row_id", pa.string()), ("text", pa.string()), ("stars", pa.int64())]))
        agreement.keep("run-1")

        said = json.loads(headrace("state", "show", "nightly", *runs).out)
        assert said["schema"]["columns"] == {"text": "string", "stars": "int64"}
        assert (said["schema"]["run_id"], said["cursor"]) == ("run-1", None)
        assert headrace("state", "reset", "nightly", "--schema", "--to", "monday", *runs).code == 2
        assert "the next run that ends well" in headrace("state", "reset", "nightly", "--schema", *runs).out
        assert headrace("state", "show", "nightly", *runs).code == 2
        assert headrace("state", "reset", "nightly", "--schema", *runs).code == 2
