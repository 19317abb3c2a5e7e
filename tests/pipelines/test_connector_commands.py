"""``headrace connector``: what is listed, what a new package is worth, and what a contract says on the terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.cli import main
from tests.connectors import broken


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["connector", *arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


def test_list_names_each_connector_with_its_class(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("list")
    listed = " ".join(out.split())
    assert code == 0
    assert "source json_lines connectors.files.json_lines_source:JsonLines" in listed
    assert "sink parquet connectors.files.parquet_sink:ParquetSink" in listed


def test_show_gives_the_options_of_what_a_name_means_and_refuses_others(run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("show", "parquet")
    assert code == 0
    assert out.index("source parquet") < out.index("label_column") < out.index("sink parquet") < out.index("mode")
    code, out, _ = run("show", "tests.connectors.broken:Tray")
    assert (code, "sink tests.connectors.broken:Tray" in out, "directory" in out) == (0, True, True)
    code, _, err = run("show", "jsonlines")
    assert code == 2
    assert "did you mean 'json_lines'?" in err


@pytest.mark.parametrize("kind", ["source", "sink"])
def test_a_new_package_passes_its_own_tests(kind: str, tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    code, out, _ = run("new", "review-store", "--kind", kind, "--into", str(tmp_path))
    assert code == 0
    home = tmp_path / "review-store"
    assert str(home / "review_store" / "__init__.py") in out
    ended = _pytest(home, "-m", "not spark and not ray")
    assert ended.returncode == 0, ended.stdout
    assert "skipped" not in ended.stdout
    assert (
        f'[project.entry-points."headrace.{kind}s"]\nreview_store = "review_store:ReviewStore"'
        in (home / "pyproject.toml").read_text()
    )


def test_a_fault_of_the_author_shows_in_the_new_packages_tests_with_its_values(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    run("new", "review_store", "--into", str(tmp_path))
    module = tmp_path / "review_store" / "review_store" / "__init__.py"
    module.write_text(module.read_text().replace(".splitlines()", ".splitlines()[1:]"))
    ended = _pytest(tmp_path / "review_store", "-m", "not spark and not ray")
    assert ended.returncode == 1
    assert "test_finds_every_row_once" in ended.stdout
    assert "assert 1 == 3" in ended.stdout


def test_new_refuses_names_that_are_none_or_taken_and_writes_over_nothing(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    for name, complaint in (
        ("Review Store", "lower-case words"),
        ("import", "lower-case words"),
        ("json-lines", "called 'json_lines' already"),
    ):
        code, _, err = run("new", name, "--into", str(tmp_path))
        assert code == 2
        assert complaint in err
    (tmp_path / "mine").mkdir()
    code, _, err = run("new", "mine", "--into", str(tmp_path))
    assert code == 2
    assert "nothing is written over it" in err
    assert list((tmp_path / "mine").iterdir()) == []


def test_test_holds_a_source_to_its_contract(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.txt").write_text("one\n")
    code, out, _ = run("test", "tests.connectors.broken:Shelf", f"directory={tmp_path}")
    assert code == 0
    assert "ok  every row has a text" in out
    code, out, _ = run("test", f"{broken.__name__}:{broken.SaysAnotherType.__name__}", f"directory={tmp_path}")
    assert code == 1
    # What is said of it depends on whether pytest has rewritten the contract's assertions.
    assert "fails  every batch has the schema it says: " in out.replace("\n", " ")


def test_test_refuses_what_has_no_contract_of_sources(tmp_path: Path, run) -> None:  # type: ignore[no-untyped-def]
    assert "read by Spark itself" in run("test", "spark_table", "table=x")[2]
    code, _, err = run("test", "json_lines", f"path={tmp_path}", "color=red")
    assert code == 2
    assert "color" in err


def _pytest(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=120)
