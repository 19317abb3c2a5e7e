"""How long a program takes from its start to Spark's first row: with a session of ours, and with plain RayDP.

    python -m tests.benchmarks.startup --repeats 5

from the root of the repository. Each run is a process of its own, see `first_row`; the two take turns, so that whatever
else the machine does meets both. The first pair is a warm-up, which brings files into the machine's memory. Prints a
table and one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from statistics import median
from typing import Annotated

import typer

from tests.benchmarks.first_row import OURS, PYTHON_ROW, RAYDP, ROW, UP
from tests.benchmarks.machine import Machine

_DEFAULT = Machine()
_RUN_SECONDS = 300

Marks = dict[str, float]
"""Seconds since the program was started, by what it had then."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def startup(
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each.")] = 5,
    warm_ups: Annotated[int, typer.Option(min=0, help="Runs of each before.")] = 1,
    cores: Annotated[int, typer.Option(min=1, help="Cores of the executor.")] = _DEFAULT.cores,
    executor_memory: Annotated[str, typer.Option(help="Heap of the executor.")] = _DEFAULT.executor_memory,
) -> None:
    """Compare the two."""
    pairs = [
        {name: run(name, cores, executor_memory) for name in ((OURS, RAYDP), (RAYDP, OURS))[number % 2]}
        for number in range(warm_ups + repeats)
    ][warm_ups:]
    typer.echo(table(pairs) + "\n")
    record = {"benchmark": "startup", "cores": cores, "executor_memory": executor_memory, "seconds": pairs}
    typer.echo(json.dumps({**record, "by_raydp": ratios(pairs)}))


def run(contender: str, cores: int, memory: str) -> Marks:
    """Run one program, and return when it had what.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.first_row", contender, str(cores), memory],
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{contender} failed:\n{done.stderr}")
    marks: Marks = json.loads(done.stdout.splitlines()[-1])
    print(f"{contender}: {marks[ROW] - begun:.1f} s", file=sys.stderr, flush=True)
    return {name: at - begun for name, at in marks.items()}


def ratios(pairs: list[dict[str, Marks]]) -> Marks:
    """Return ours by RayDP's, of the medians, for each mark."""
    return {
        mark: median(pair[OURS][mark] for pair in pairs) / median(pair[RAYDP][mark] for pair in pairs)
        for mark in (UP, ROW, PYTHON_ROW)
    }


def table(pairs: list[dict[str, Marks]]) -> str:
    """Return the measurement as a Markdown table."""
    lines = [
        f"### From a program's start, medians of {len(pairs)} runs (least to most)",
        "",
        "| until | Session, s | plain RayDP, s | ÷ plain RayDP |",
        "| --- | --- | --- | --- |",
    ]
    for mark, ratio in ratios(pairs).items():
        ours, raydp = ([pair[name][mark] for pair in pairs] for name in (OURS, RAYDP))
        lines.append(f"| {mark} | {_seconds(ours)} | {_seconds(raydp)} | {ratio:.2f} |")
    return "\n".join(lines)


def _seconds(times: list[float]) -> str:
    return f"{median(times):.1f} ({min(times):.1f}–{max(times):.1f})"


if __name__ == "__main__":
    app()
