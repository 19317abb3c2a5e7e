"""How much memory a hand-over takes, and of which process.

What a process has for itself is its proportional share of anonymous and file pages (``Pss_Anon`` and ``Pss_File`` of
``/proc/PID/smaps_rollup``), so that what forked workers share counts once. The object store is a file in memory that
many processes map, and whose pages belong to none of them: it counts by the pages that the file has (``st_blocks``),
which it keeps once they were touched. So a store grows by what a hand-over takes only while it is new.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

INTERVAL_SECONDS = 0.1
"""How often memory is looked at."""

EXECUTOR, WORKERS, RAYLET, DRIVER, DRIVER_JVM, STORE = (
    "executor JVMs and their Python workers",
    "Ray workers",
    "raylet",
    "driver",
    "driver's JVM",
    "object store",
)


@dataclass
class Peak:
    """The memory of Ray, Spark and this process, while it was watched; all in bytes.

    Attributes:
        before: what each part had at the start.
        parts: the most that each part had, not all at the same time.
        whole: the most that all parts had together at one time.
        samples: how often it was looked at.
    """

    before: Mapping[str, int]
    parts: dict[str, int] = field(default_factory=dict)
    whole: int = 0
    samples: int = 0

    @property
    def above(self) -> dict[str, int]:
        """How far each part rose above what it had at the start."""
        return {part: size - self.before.get(part, 0) for part, size in self.parts.items()}

    @property
    def whole_above(self) -> int:
        """How far all parts together rose above what they had at the start."""
        return self.whole - sum(self.before.values())

    def add(self, sample: Mapping[str, int]) -> None:
        """Take a sample into account."""
        self.samples += 1
        self.whole = max(self.whole, sum(sample.values()))
        for part, size in sample.items():
            self.parts[part] = max(self.parts.get(part, 0), size)


@contextmanager
def watched() -> Iterator[Peak]:
    """Watch the memory of the Ray and the Spark that this process has started, for as long as the block lasts."""
    peak = Peak(_sample())
    over = threading.Event()

    def watch() -> None:
        while not over.wait(INTERVAL_SECONDS):
            peak.add(_sample())

    peak.add(peak.before)
    thread = threading.Thread(target=watch, name="memory-watch", daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
        peak.add(_sample())


def _sample() -> dict[str, int]:
    me = psutil.Process()
    sizes = {DRIVER: _own(me.pid)}
    for child in me.children():
        name = _name(child)
        if name == "java":
            _add(sizes, DRIVER_JVM, child)
        elif name == "raylet":
            sizes[RAYLET] = sizes.get(RAYLET, 0) + _own(child.pid)
            sizes[STORE] = sizes.get(STORE, 0) + _store(child.pid)
            for worker in _children(child):
                _add(sizes, EXECUTOR if _name(worker) == "java" else WORKERS, worker)
    return sizes


def _add(sizes: dict[str, int], part: str, root: psutil.Process) -> None:
    family = [root, *_children(root, recursive=True)]
    sizes[part] = sizes.get(part, 0) + sum(_own(process.pid) for process in family)


def _own(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended since it was listed
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("Pss_Anon:", "Pss_File:")))


def _store(raylet: int) -> int:
    """Return the size of the pages of the files in memory that a raylet holds open: its object store."""
    sizes: dict[int, int] = {}
    for descriptor in Path(f"/proc/{raylet}/fd").iterdir():
        try:
            if "plasma" in os.readlink(descriptor):
                status = descriptor.stat()
                sizes[status.st_ino] = status.st_blocks * 512
        except OSError:
            continue  # closed since it was listed
    return sum(sizes.values())


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""  # it has ended since it was listed


def _children(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    try:
        return process.children(recursive=recursive)
    except psutil.Error:
        return []  # it has ended since it was listed
