"""What a run tells while it goes on, and who listens: nobody, a terminal, or a plain stream of lines."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipelines.summary import FinishedRun, format_seconds, print_summary


class Listener(Protocol):
    """What a run tells. It may do so from any of its threads; a listener neither raises nor blocks."""

    def stage_started(self, name: str, total: int | None = None) -> None:
        """Hear that the stage `name` has started; `total` is the rows ahead of it, where known."""

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        """Hear that the stage has done `rows` rows so far, and in a word what it is at (``epoch 2``)."""

    def stage_finished(self, name: str, rows: int, seconds: float) -> None:
        """Hear that the stage has ended well, after `rows` rows and `seconds`."""

    def noticed(self, text: str) -> None:
        """Hear of something that a person should know, in a sentence."""

    def run_finished(self, run: FinishedRun) -> None:
        """Hear that the run has ended well."""


class Silent:
    """A listener that says nothing."""

    def stage_started(self, name: str, total: int | None = None) -> None:
        """Say nothing."""

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        """Say nothing."""

    def stage_finished(self, name: str, rows: int, seconds: float) -> None:
        """Say nothing."""

    def noticed(self, text: str) -> None:
        """Say nothing."""

    def run_finished(self, run: FinishedRun) -> None:
        """Say nothing."""


class PlainLines:
    """A listener that prints a line when a stage starts and one when it ends: for pipes, CI and notebooks."""

    def __init__(self, console: Console) -> None:
        """Print to `console`."""
        self._console = console

    def stage_started(self, name: str, total: int | None = None) -> None:
        """Print that it has."""
        self._print(f"{name} …" + (f" ({total:,} rows)" if total is not None else ""))

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        """Print nothing: a log of thousands of lines helps nobody."""

    def stage_finished(self, name: str, rows: int, seconds: float) -> None:
        """Print rows, time and rate."""
        counted = f", {rows:,} rows{_rate(rows, seconds, ', ')}" if rows else ""
        self._print(f"{name} done in {format_seconds(seconds)}{counted}")

    def noticed(self, text: str) -> None:
        """Print it."""
        self._print(f"note: {text}")

    def run_finished(self, run: FinishedRun) -> None:
        """Print the summary."""
        print_summary(self._console, run)

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


@dataclass
class _Stage:
    """A stage as the live view shows it."""

    started: float
    total: int | None
    rows: int = 0
    note: str = ""
    state: Literal["running", "done", "stopped"] = "running"
    seconds: float = 0.0


class LiveView:
    """A listener that keeps a table of the stages on a terminal: state, rows, rate and time.

    Use it as a context manager; leaving it, however that comes about, gives the terminal back with the last
    state on it.
    """

    def __init__(self, console: Console) -> None:
        """Show it on `console`, which must be a terminal to be of use."""
        self._console = console
        self._stages: dict[str, _Stage] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("dots")
        self._live = Live(console=console, get_renderable=self.table, refresh_per_second=4)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for stage in self._stages.values():
                if stage.state == "running":
                    stage.state, stage.seconds = "stopped", time.monotonic() - stage.started
        self._live.stop()

    def stage_started(self, name: str, total: int | None = None) -> None:
        """Show the stage as running."""
        with self._lock:
            self._stages[name] = _Stage(time.monotonic(), total)

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        """Show how far it is; a stage that has not been started is started."""
        with self._lock:
            stage = self._stages.setdefault(name, _Stage(time.monotonic(), None))
            stage.rows, stage.note = rows, note

    def stage_finished(self, name: str, rows: int, seconds: float) -> None:
        """Show the stage as done."""
        with self._lock:
            stage = self._stages.setdefault(name, _Stage(time.monotonic(), None))
            stage.state, stage.rows, stage.seconds, stage.note = "done", rows, seconds, ""

    def noticed(self, text: str) -> None:
        """Print it above the table."""
        self._live.console.print(Text(f"note: {text}"))

    def run_finished(self, run: FinishedRun) -> None:
        """Stop the view and print the summary below it."""
        self._live.stop()
        print_summary(self._console, run)

    def table(self) -> Table:
        """Return the stages as they stand."""
        table = Table.grid(padding=(0, 2))
        for justify in _COLUMNS:
            table.add_column(justify=justify, no_wrap=True)
        with self._lock:
            for name, stage in self._stages.items():
                running = stage.state == "running"
                seconds = time.monotonic() - stage.started if running else stage.seconds
                mark = self._spinner if running else _MARKS[stage.state]
                table.add_row(
                    mark,
                    Text(name, style="bold" if running else ""),
                    _count(stage),
                    _rate(stage.rows, seconds),
                    format_seconds(seconds),
                    Text(stage.note, style="dim", overflow="ellipsis"),
                )
        return table


_COLUMNS: tuple[Literal["left", "right"], ...] = ("left", "left", "right", "right", "right", "left")
_MARKS = {"done": Text("✓", style="green"), "stopped": Text("✗", style="red")}


@contextmanager
def show_progress(stream: TextIO | None = None) -> Iterator[Listener]:
    """Yield the listener that suits `stream`: the live view on a terminal, plain lines anywhere else.

    Where `stream` is the process's standard output, the view writes to a copy of it, so that it stays on the
    terminal while `pipelines.log.redirect_output` points standard output at the log.

    Args:
        stream: where to; None for standard output.
    """
    with ExitStack() as undo:
        file = _own_copy(stream or sys.stdout, undo)
        console = Console(file=file)
        if console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter:
            yield undo.enter_context(LiveView(console))
        else:
            # A notebook has no terminal to draw on, and a pipe has no width of its own.
            yield PlainLines(Console(file=file, width=110, force_jupyter=False))


def _own_copy(stream: TextIO, undo: ExitStack) -> TextIO:
    """Return a stream of our own onto standard output, if `stream` is that; else `stream` itself."""
    # A notebook's stream has a file descriptor too, but that of the server's terminal, which nobody looks at.
    if stream is not sys.__stdout__:
        return stream
    stream.flush()
    copy = os.dup(stream.fileno())
    return undo.enter_context(os.fdopen(copy, "w", encoding=stream.encoding, errors="replace", buffering=1))


def _count(stage: _Stage) -> str:
    if stage.total and stage.state == "running":
        return f"{stage.rows:,} of {stage.total:,} rows ({min(stage.rows / stage.total, 1):.0%})"
    return f"{stage.rows:,} rows" if stage.rows else ""


def _rate(rows: int, seconds: float, before: str = "") -> str:
    if not rows or seconds < 0.05:
        return ""
    rate = rows / seconds
    return f"{before}{rate:,.0f} rows/s" if rate >= 10 else f"{before}{rate:.1f} rows/s"
