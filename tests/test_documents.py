"""What README.md and CONTRIBUTING.md show must work as it stands there."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from connectors import PartitionedSource
from connectors.checking import check
from connectors.testing import SourceContract
from pipelines import load
from pipelines.cli import app, main
from pipelines.connector_package import new_package
from pipelines.plugins import SINK, SOURCE, Registry
from pipelines.spec import parse
from pipelines.steps.kernel import run_step
from tests.connectors.json_server import JsonServer, serving

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
CONTRIBUTING = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def python_blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def namespace_of(code: str) -> dict[str, object]:
    """Run a block's imports and definitions, without what it does with them in a session."""
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not isinstance(node, (ast.With, ast.Expr))]
    names: dict[str, object] = {"__name__": "document"}
    exec(compile(tree, "document", "exec"), names)
    return names


def test_the_readme_s_pipeline_is_the_example_s() -> None:
    code = python_blocks(README)[0]
    assert namespace_of(code)["news"] == load(ROOT / "pipelines/examples/news_topics.yaml")


def test_the_readme_s_corpus_is_the_same_in_yaml() -> None:
    [spec] = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert namespace_of(python_blocks(README)[1])["corpus"] == parse(spec, base_directory=Path.cwd())


def test_the_readme_s_first_command_names_an_example_that_is_there() -> None:
    command = re.search(r"^pip install .* && headrace run (\S+)$", README, flags=re.MULTILINE)
    assert command
    assert (ROOT / command.group(1)).is_file()


def test_the_readme_s_second_command_is_there_once_for_ci() -> None:
    assert len(re.findall(r"^pip install .* && pytest$", README, flags=re.MULTILINE)) == 1


def test_files_that_the_readme_names_are_there() -> None:
    named = re.findall(r"`((?:notebooks|pipelines|\.github)/[\w./-]+)`", README + CONTRIBUTING)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_commands_that_the_readme_shows_exist() -> None:
    block = re.search(r"## Commands\n\n```\n(.*?)```", README, flags=re.DOTALL)
    assert block
    for line in block.group(1).splitlines():
        command = shlex.split(line)[1]
        result = CliRunner().invoke(app, [command, "--help"])
        assert result.exit_code == 0, line


def test_the_readme_s_table_names_the_connectors_that_are_installed() -> None:
    registry = Registry.installed()
    sources, sinks = (
        {name for name in registry.names(kind) if registry.find(kind, name).__module__.startswith("connectors.")}
        for kind in (SOURCE, SINK)
    )
    rows = connector_table()
    assert set(rows) == sources | sinks
    for name, (what, reads_on, commits, extra, _) in rows.items():
        assert ("reads" in what, "writes" in what) == (name in sources, name in sinks), name
        assert bool(commits) == (name in sinks), name
        source = registry.find(SOURCE, name)
        keeps_positions = issubclass(source, PartitionedSource) and bool(source.identity_options)
        assert bool(reads_on) == keeps_positions, name
        assert not extra or extra.strip("`") in extras(), name


def test_every_extra_that_a_connector_asks_for_is_in_the_readme_and_can_be_installed() -> None:
    asked = {
        extra
        for path in (ROOT / "connectors").rglob("*.py")
        for extra in re.findall(r"headrace\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    in_table = {row[3].strip("`") for row in connector_table().values()} - {""}
    assert asked == in_table | {"s3"}
    assert 'pip install "headrace[s3]"' in README
    assert asked <= extras()


def connector_table() -> dict[str, list[str]]:
    """Return the rows of the README's table of connectors, by name."""
    table = README.partition("## Connectors\n")[2].partition("\n\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `") and "`type:`" not in line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in rows} == {6}
    found = {name.strip("`"): rest for name, *rest in rows}
    assert len(found) == len(rows)
    return found


def extras() -> set[str]:
    """Return the extras that the package has."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]\n")[2].partition("\n\n")[0]
    return set(re.findall(r"^(\w+) = \[", section, flags=re.MULTILINE))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_its_program_cell_by_cell(path: Path) -> None:
    program, notebook = jupytext.read(path), json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == [(cell["cell_type"], cell["source"]) for cell in program.cells]
    assert not [cell for cell in notebook["cells"] if cell.get("outputs")]


class TestAddingAConnector:
    """CONTRIBUTING's walk-through, step by step as it stands there."""

    SECTION = CONTRIBUTING.partition("## Add a connector\n")[2].partition("\n## ")[0]

    @pytest.fixture
    def shop(self) -> Iterator[JsonServer]:
        with serving() as server:
            reviews = [{"id": n, "body": f"review number {n}", "verdict": "good"} for n in range(23)]
            server.lists([*reviews, {"id": 99, "body": None, "verdict": "bad"}], at="reviews", size=10, pages=3)
            yield server

    def test_its_commands_and_files_make_a_package_that_passes_and_is_used(
        self, shop: JsonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delitem(sys.modules, "shop_reviews", raising=False)
        files = iter(["shop_reviews/__init__.py", "tests/test_shop_reviews.py", "reviews.yaml"])
        done, written = [], []
        try:
            for language, text in re.findall(r"^```(\w*)\n(.*?)^```", self.SECTION, flags=re.DOTALL | re.MULTILINE):
                text = text.replace("http://localhost:8000", shop.url)
                if language:
                    name = next(files)
                    assert name in self.SECTION
                    written.append(Path(name).write_text(text, encoding="utf-8"))
                    continue
                for command in text.splitlines():
                    done.append(command)
                    # That a package passes as it is made is tested with the command that makes it.
                    if written or not command.startswith("pytest"):
                        _do(shlex.split(command), monkeypatch)
        finally:
            sys.modules.pop("shop_reviews", None)
        assert next(files, None) is None
        assert "headrace run reviews.yaml" in done
        said = " ".join(capsys.readouterr().out.split())
        assert "ok every row has a text" in said
        assert "review number 0" in said

    def test_the_author_s_own_lines_are_thirty_at_most(self, tmp_path: Path) -> None:
        new_package(tmp_path, "shop-reviews", SOURCE)
        module = tmp_path / "shop-reviews" / "shop_reviews" / "__init__.py"
        skeleton = {line.strip() for line in module.read_text(encoding="utf-8").splitlines()}
        lines = [line for line in python_blocks(self.SECTION)[0].splitlines() if line.strip()]
        own = [line for line in lines if line.strip() not in skeleton]
        assert 10 < len(own) <= 30
        (connector,) = (node for node in ast.parse("\n".join(lines)).body if isinstance(node, ast.ClassDef))
        assert len(lines[connector.lineno - 1 : connector.end_lineno]) <= 30

    def test_the_mistake_that_it_speaks_of_is_found(self, shop: JsonServer) -> None:
        class Contract(SourceContract):
            row_count = 24

        code = python_blocks(self.SECTION)[0]
        assert code.count('["pages"] + 1') == 1
        for text, found in ((code, set()), (code.replace('["pages"] + 1', '["pages"]'), {"test_finds_every_row_once"})):
            source = namespace_of(text)["ShopReviews"](url=f"{shop.url}/reviews")  # type: ignore[operator]
            checks = check(Contract(), lambda source=source: {"source": source})  # type: ignore[misc]
            # A class of no module cannot be pickled.
            failing = {one.name for one in checks if one.error} - {"test_pickles_and_stays_equal"}
            assert failing == found

    def test_the_notebook_makes_the_same_source(self) -> None:
        notebook = ast.parse((ROOT / "notebooks/write_a_connector.py").read_text(encoding="utf-8"))
        made = [node for node in notebook.body if isinstance(node, ast.ClassDef) and node.name == "ShopReviews"]
        (shown,) = (node for node in ast.parse(python_blocks(self.SECTION)[0]).body if isinstance(node, ast.ClassDef))
        assert ast.unparse(made[-1]) == ast.unparse(shown)


def _do(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a command of a document does, as far as that takes neither a network nor an engine."""
    if command[0] == "cd":
        monkeypatch.chdir(command[1])
    elif command == ["pip", "install", "-e", ".[test]"]:
        # What makes the entry point known, of all that an installation does.
        _run("-c", "import setuptools; setuptools.setup()", "-q", "egg_info")
        monkeypatch.syspath_prepend(str(Path.cwd()))
        monkeypatch.setenv("PYTHONPATH", f"{Path.cwd()}:{ROOT}")
    elif command == ["pytest"]:
        assert Path("tests/conftest.py").is_file()
    elif command[0] == "pytest":
        _run("-m", "pytest", "-q", "-p", "no:cacheprovider", *command[1:])
    else:
        assert command[0] == "headrace"
        # The same spec, but for what takes Spark.
        arguments = ["validate" if word == "run" else word for word in command[1:]]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code, command


def _run(*arguments: str) -> None:
    ended = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_contributing_s_step_rejects_what_shouts() -> None:
    names = namespace_of(python_blocks(CONTRIBUTING.partition("## Add a step")[2])[0])
    batch = pa.RecordBatch.from_pydict({"row_id": ["1", "2"], "text": ["Quiet words.", "LOUD WORDS."]})
    outcome = run_step(names["NoShouting"](), batch)  # type: ignore[operator]
    assert outcome.kept.column("text").to_pylist() == ["Quiet words."]
    assert outcome.rejected.to_pylist() == [{"row_id": "2", "rule": "shouting", "value": "LOUD WORDS."}]


def test_every_step_is_in_the_readme_with_its_kind_and_extra() -> None:
    from importlib.metadata import entry_points

    from pipelines.steps import RowStep

    table = README.partition("## Steps\n")[2].partition("\n\nRow steps")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| `")
    ]
    kinds: dict[str, str] = {}
    for names, _, kind, _, extra in rows:
        listed = re.findall(r"`(\w+)`", names)
        each = [one.strip() for one in kind.split(",")]
        kinds |= dict(zip(listed, each * len(listed) if len(each) == 1 else each, strict=False))
        for name in re.findall(r"`(\w+)`", extra):
            assert name in extras()
    ours = {
        one.name: "row" if issubclass(one.load(), RowStep) else "table"
        for one in entry_points(group="headrace.steps")
        if one.value.startswith("pipelines.")
    }
    assert kinds == ours
