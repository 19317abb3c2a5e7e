"""What README.md and CONTRIBUTING.md show must work as it stands there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from pipelines import load
from pipelines.cli import app
from pipelines.steps.kernel import run_step

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
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
    (code,) = python_blocks(README)
    assert namespace_of(code)["news"] == load(ROOT / "pipelines/examples/news_topics.yaml")


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


def test_contributing_s_source_reads_every_stanza(tmp_path: Path) -> None:
    names = namespace_of(python_blocks(CONTRIBUTING)[0])
    (tmp_path / "a.poem").write_text("one\ntwo\n\nthree", encoding="utf-8")
    (tmp_path / "b.poem").write_text("four", encoding="utf-8")
    source = names["Stanzas"](directory=str(tmp_path))  # type: ignore[operator]
    with source.plan() as plan:
        rows = [row for part in plan.partitions for batch in source.scan(part) for row in batch.to_pylist()]
    assert [row["text"] for row in rows] == ["one\ntwo", "three", "four"]
    assert len({row["row_id"] for row in rows}) == 3


def test_contributing_s_source_says_where_there_is_nothing(tmp_path: Path) -> None:
    names = namespace_of(python_blocks(CONTRIBUTING)[0])
    source = names["Stanzas"](directory=str(tmp_path))  # type: ignore[operator]
    with pytest.raises(names["EmptySourceError"], match=r"no \*\.poem"), source.plan():  # type: ignore[call-overload]
        pass


def test_contributing_s_step_rejects_what_shouts() -> None:
    names = namespace_of(python_blocks(CONTRIBUTING)[1])
    batch = pa.RecordBatch.from_pydict({"row_id": ["1", "2"], "text": ["Quiet words.", "LOUD WORDS."]})
    outcome = run_step(names["NoShouting"](), batch)  # type: ignore[operator]
    assert outcome.kept.column("text").to_pylist() == ["Quiet words."]
    assert outcome.rejected.to_pylist() == [{"row_id": "2", "rule": "shouting", "value": "LOUD WORDS."}]
