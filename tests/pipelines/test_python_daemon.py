"""The parent of Spark's Python workers: what it leaves off the import path, and what it costs a task."""

from __future__ import annotations

import importlib
import sys
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession

from pipelines.python_daemon import leave_out, pyspark_archives

HOME = Path(pyspark.__file__).parent
ZIP = str(HOME / "python" / "lib" / "pyspark.zip")


def test_the_archives_of_the_installed_pyspark_are_found(tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    zipfile.ZipFile(other, "w").close()
    jar = str(next((HOME / "jars").glob("spark-core_*.jar")))
    assert pyspark_archives(["", ZIP, jar, str(other), str(HOME.parent), str(tmp_path / "none")]) == [ZIP, jar]


def test_where_pyspark_is_not_installed_its_archive_is_needed(tmp_path: Path) -> None:
    assert pyspark_archives([ZIP, str(tmp_path)]) == []


def test_what_is_left_out_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for name in ("headrace_there/", "headrace_there/inner/", "headrace_there/inner/a.py"):
            written.writestr(name, "")
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    importlib.invalidate_caches()
    importlib.import_module("headrace_there.inner")
    assert any(entry.startswith(str(archive)) for entry in sys.path_importer_cache)
    leave_out([str(archive)])
    assert str(archive) not in sys.path
    assert not any(entry.startswith(str(archive)) for entry in sys.path_importer_cache)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("headrace_there.inner")


@pytest.mark.spark
def test_a_task_finds_no_archive_and_all_that_a_pass_imports(spark: SparkSession) -> None:
    def look(rows: Iterable[object]) -> Iterator[tuple[bool, float, list[str]]]:
        list(rows)
        preloaded, begun = "pipelines.passes" in sys.modules, time.process_time()
        importlib.invalidate_caches()
        zips = [entry for entry, finder in sys.path_importer_cache.items() if "zip" in type(finder).__name__.lower()]
        yield preloaded, time.process_time() - begun, [*zips, *(entry for entry in sys.path if entry in (ZIP,))]

    found = spark.sparkContext.parallelize(range(4), 4).mapPartitions(look).collect()
    assert all(preloaded and seconds < 0.02 for preloaded, seconds, _ in found)
    assert {entry for _, _, archives in found for entry in archives} == set()
