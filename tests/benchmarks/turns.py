"""Contenders that do a piece of work in turns: a warm-up picks the best settings of each, then rounds are timed.

All have as many runs in the warm-up, whatever their settings are, as the JVM compiles what has run often.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median

Work = Callable[[], object]


@dataclass(frozen=True)
class Worker:
    """A contender.

    Attributes:
        name: what it is called in tables.
        settings: ways to do the work, by what is written beside the figure.
        prepare: called before each run, off the clock.
        verify: called after each run with what the work returned, off the clock; raises if the work was not done.
    """

    name: str
    settings: Mapping[str, Work]
    prepare: Callable[[], None] = lambda: None
    verify: Callable[[object], None] = lambda _: None


@dataclass(frozen=True)
class Turns:
    """What the timed runs of a contender came to.

    Attributes:
        name: the contender.
        settings: what it ran with: the fastest of its settings in the warm-up.
        seconds: a run each.
        tried: the settings that were tried, with the seconds of the best of their warm-up runs.
    """

    name: str
    settings: str
    seconds: tuple[float, ...]
    tried: Mapping[str, float]

    @property
    def median(self) -> float:
        """The median of the seconds."""
        return median(self.seconds)


def take_turns(workers: Sequence[Worker], *, repeats: int, warm_ups: int) -> tuple[Turns, ...]:
    """Time all contenders in turns, each round beginning with another one.

    Args:
        workers: who works.
        repeats: how many runs of each are timed.
        warm_ups: how often each setting of the contender that has most of them runs before; at least 1.
    """
    runs = warm_ups * max(len(worker.settings) for worker in workers)
    tried = [_warm_up(worker, runs) for worker in workers]
    chosen = [min(times, key=times.__getitem__) for times in tried]
    seconds: list[list[float]] = [[] for _ in workers]
    for number in range(repeats):
        for place in range(len(workers)):
            index = (number + place) % len(workers)
            seconds[index].append(_run(workers[index], chosen[index], f"round {number + 1} of {repeats}"))
    return tuple(
        Turns(worker.name, settings, tuple(times), attempts)
        for worker, settings, times, attempts in zip(workers, chosen, seconds, tried, strict=True)
    )


def _warm_up(worker: Worker, runs: int) -> dict[str, float]:
    times: dict[str, float] = {}
    for number, settings in enumerate(islice(cycle(worker.settings), runs)):
        spent = _run(worker, settings, f"warm-up {number + 1} of {runs}")
        times[settings] = min(spent, times.get(settings, spent))
    return times


def _run(worker: Worker, settings: str, what: str) -> float:
    worker.prepare()
    begun = time.perf_counter()
    done = worker.settings[settings]()
    seconds = time.perf_counter() - begun
    worker.verify(done)
    print(f"{what}: {worker.name}, {settings}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return seconds
