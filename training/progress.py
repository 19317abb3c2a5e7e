"""How far the workers are, told through a small file in the run's storage: no extra process, nothing to clean up."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS_BETWEEN = 0.5
"""How often progress is written and read: often enough for a person who watches."""


class Reporter:
    """Writes what is being done; for one process, worker 0."""

    def __init__(self, path: Path) -> None:
        """Write to `path` from now on."""
        self._path = path
        self._written = 0.0

    def report(self, doing: str, rows: int, *, now: bool = False) -> None:
        """Say what is being done and how many rows are; skipped when the last word is fresh, unless `now`."""
        moment = time.monotonic()
        if not now and moment - self._written < SECONDS_BETWEEN:
            return
        self._written = moment
        unfinished = self._path.with_suffix(".tmp")
        unfinished.write_text(json.dumps([doing, rows]), encoding="utf-8")
        os.replace(unfinished, self._path)


@contextmanager
def watching(path: Path, listener: Callable[[str, int], None]) -> Iterator[None]:
    """Call the listener, from a thread, whenever what `path` says has changed; a last time on the way out."""
    done = threading.Event()
    seen: list[object] = []

    def look() -> None:
        try:
            said = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            return  # nothing said yet
        if said != seen:
            seen[:] = said
            listener(str(said[0]), int(said[1]))

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN):
            look()

    path.unlink(missing_ok=True)
    watcher = threading.Thread(target=watch, name="headrace-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        look()
