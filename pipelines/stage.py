"""A stage of a run while it goes on, and telling how far it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipelines.progress import Listener

_LOOK_SECONDS = 0.5


@dataclass
class Stage:
    """A stage while it goes on.

    Attributes:
        name: what it is called.
        listener: who is told.
        rows: how many rows it has done, or has to do.
    """

    name: str
    listener: Listener
    rows: int = 0

    def progress(self, rows: int, note: str = "") -> None:
        """Tell that `rows` rows are done, and in a word what is being done."""
        self.listener.stage_progress(self.name, rows, note)


@contextmanager
def reporting(report: Callable[[], None]) -> Iterator[None]:
    """Call `report` now and again, from a thread of its own, for as long as the block lasts."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(_LOOK_SECONDS):
            report()

    thread = threading.Thread(target=work, name="headrace-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
