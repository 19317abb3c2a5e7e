"""The parent of Spark's Python workers: what it leaves off the import path, and what it costs a task."""

from __future__ import annotations

import gc
import importlib
import os
import socket
import sys
import time
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from threading import Thread
from typing import BinaryIO

import pyspark
import pytest
from pyspark.sql import SparkSession

from pipelines.python_daemon import AcknowledgedReads, LongLived, leave_out, pyspark_archives

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


def test_pieces_do_not_wait_for_late_acknowledgements() -> None:
    pairs = 10
    plain = _seconds_to_read(pairs, lambda connection: connection.makefile("rb"))
    prompt = _seconds_to_read(pairs, lambda connection: BufferedReader(AcknowledgedReads(connection.fileno())))
    if plain < pairs * 0.03:
        pytest.skip("this system acknowledges at once by itself")
    assert prompt < plain / 4


def test_what_is_left_unread_and_the_connection_outlive_the_reader() -> None:
    ours, theirs = _connection()
    with ours, theirs:
        with AcknowledgedReads(ours.fileno()) as reader:
            theirs.sendall(b"ab")
            assert reader.read(1) == b"a"
        theirs.sendall(b"c")
        assert [ours.recv(1), ours.recv(1)] == [b"b", b"c"]


class Node:
    """Refers to itself, so that it takes a collection to be rid of it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def _thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_thawed")
class TestLongLived:
    def test_what_takes_no_time_to_look_through_stays_in_sight(self) -> None:
        LongLived(seconds=60).collect()
        assert gc.get_freeze_count() == 0

    def test_what_takes_long_is_set_aside_and_garbage_is_not(self) -> None:
        kept, gone = Node(), weakref.ref(Node())
        LongLived(seconds=0).collect()
        assert gone() is None
        assert kept not in gc.get_objects()

    def test_what_becomes_garbage_later_is_found_in_the_end(self) -> None:
        long_lived = LongLived(seconds=0, times=3)
        kept = Node()
        later = weakref.ref(kept)
        long_lived.collect()
        del kept
        long_lived.collect()
        long_lived.collect()
        assert later() is not None
        long_lived.collect()
        assert later() is None


def _connection() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


def _seconds_to_read(pairs: int, reading: Callable[[socket.socket], BinaryIO]) -> float:
    """Return how long it takes to have requests of two pieces come one after the other, each answered by a byte."""
    ours, theirs = _connection()

    def send() -> None:
        for _ in range(pairs):
            theirs.sendall(b"a" * 100)
            theirs.sendall(b"b" * 100)
            theirs.recv(1)

    sender = Thread(target=send)
    with ours, theirs, reading(ours) as stream:
        begun = time.perf_counter()
        sender.start()
        for _ in range(pairs):
            assert stream.read(200) == b"a" * 100 + b"b" * 100
            ours.sendall(b".")
        sender.join()
        return time.perf_counter() - begun


@pytest.mark.spark
def test_the_workers_acknowledge_at_once(spark: SparkSession) -> None:
    def look(rows: Iterable[object]) -> Iterator[str]:
        list(rows)
        frame = sys._getframe()
        while "infile" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        yield type(frame.f_locals["infile"].raw).__name__

    assert spark.sparkContext.parallelize(range(2), 2).mapPartitions(look).collect() == ["AcknowledgedReads"] * 2


@pytest.mark.spark
def test_what_tasks_keep_is_looked_through_once(spark: SparkSession) -> None:
    def look(rows: Iterable[object]) -> Iterator[tuple[int, int, float]]:
        list(rows)
        keep = vars(sys).setdefault("_kept_by_a_test", [])
        keep or keep.extend([] for _ in range(300_000))
        begun = time.process_time()
        gc.collect()
        yield os.getpid(), gc.get_freeze_count(), time.process_time() - begun

    found = spark.sparkContext.parallelize(range(8), 8).mapPartitions(look).collect()
    counts: dict[int, list[tuple[int, float]]] = {}
    for process, count, seconds in found:
        counts.setdefault(process, []).append((count, seconds))
    for first, *others in counts.values():
        assert all(count > first[0] + 300_000 and seconds < 0.02 for count, seconds in others)
    assert any(len(of_one) > 1 for of_one in counts.values())


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
