"""Running contenders against each other: warm-up, choice of settings, then rounds in which each has its turn."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import ray

from pipelines.ray_cluster import wait_until
from tests.benchmarks.checksum import Checksum, ChecksumError, checksum, row_digest
from tests.benchmarks.contenders import Contender, Landing

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

_FREE_SECONDS = 60.0


@dataclass(frozen=True)
class Run:
    """One hand-over.

    Attributes:
        landed: seconds until the contender had every block in the object store.
        read: seconds until every block had been read and summed as well; None where nothing lands.
        sum: what was summed; None where nothing lands.
        digest: the rows' digest, where it was asked for.
    """

    landed: float
    read: float | None
    sum: Checksum | None
    digest: int | None = None

    @property
    def whole(self) -> float:
        """Seconds until the clock stopped: after reading, or where nothing is read, after computing."""
        return self.landed if self.read is None else self.read


@dataclass(frozen=True)
class Times:
    """What the timed runs of a contender came to.

    Attributes:
        name: the contender.
        settings: what it ran with: the fastest of its settings in the warm-up.
        landed: seconds, a run each.
        read: seconds including the reading and summing, a run each; empty where nothing lands.
        sum: what every run summed to.
        digest: the rows' digest.
        tried: the settings that were tried, with the seconds of the best of their warm-up runs.
    """

    name: str
    settings: str
    landed: tuple[float, ...]
    read: tuple[float, ...]
    sum: Checksum | None
    digest: int | None
    tried: Mapping[str, float]

    @property
    def whole(self) -> float:
        """The median of what the clock says when it stops: after reading, or where nothing is read, after computing."""
        return median(self.read or self.landed)


def compete(
    contenders: Sequence[Contender], make_frame: Callable[[], DataFrame], rows: int, *, repeats: int, warm_ups: int
) -> tuple[Times, ...]:
    """Time all contenders on the same frame, in turns, each round beginning with another one.

    Args:
        contenders: who runs.
        make_frame: makes the frame, which is computed anew by each run.
        rows: how many rows it must have.
        repeats: how many runs of each are timed.
        warm_ups: how often each setting of each runs before; at least 1.

    Raises:
        ChecksumError: a contender did not land the rows, or not the same in every run.
    """
    chosen = [_warm_up(contender, make_frame, warm_ups) for contender in contenders]
    turns = [*zip(contenders, chosen, strict=True)]
    runs: dict[str, list[Run]] = {contender.name: [] for contender in contenders}
    for number in range(repeats):
        first = number % len(turns)
        for contender, pick in turns[first:] + turns[:first]:
            run = run_once(contender.settings[pick.settings], make_frame)
            runs[contender.name].append(run)
            _tell(f"round {number + 1} of {repeats}: {contender.name} {run.whole:.2f} s")
    return tuple(_times(contender.name, pick, runs[contender.name], rows) for contender, pick in turns)


def run_once(land: Landing, make_frame: Callable[[], DataFrame], *, digest: bool = False) -> Run:
    """Hand a frame over once, read it, and wait until the object store is as empty as before.

    Args:
        land: how.
        make_frame: makes the frame.
        digest: whether the rows' digest is taken as well, off the clock.
    """
    frame = make_frame()
    gc.collect()
    before = _store_used()
    start = time.perf_counter()
    with land(frame) as dataset:
        landed = time.perf_counter() - start
        if dataset is None:
            return Run(landed, None, None)
        total = checksum(dataset)
        read = time.perf_counter() - start
        run = Run(landed, read, total, row_digest(dataset) if digest else None)
        del dataset
    gc.collect()
    wait_until(lambda: _store_used() <= before, _FREE_SECONDS)
    return run


@dataclass(frozen=True)
class _Pick:
    settings: str
    tried: Mapping[str, float]
    first: Run


def _warm_up(contender: Contender, make_frame: Callable[[], DataFrame], warm_ups: int) -> _Pick:
    """Run the settings of a contender in turns, and pick the one that was fastest once."""
    tried: dict[str, float] = {}
    firsts: list[Run] = []
    for number in range(warm_ups):
        for settings, land in contender.settings.items():
            run = run_once(land, make_frame, digest=number == 0)
            if number == 0:
                firsts.append(run)
            tried[settings] = min(run.whole, tried.get(settings, run.whole))
            _tell(f"warm-up {number + 1} of {warm_ups}: {contender.name}, {settings}: {run.whole:.2f} s")
    if len({(run.sum, run.digest) for run in firsts}) > 1:
        raise ChecksumError(f"{contender.name} lands other rows with other settings: {', '.join(contender.settings)}")
    return _Pick(min(tried, key=lambda settings: tried[settings]), tried, firsts[0])


def _times(name: str, pick: _Pick, runs: Sequence[Run], rows: int) -> Times:
    sums = {run.sum for run in (pick.first, *runs)}
    if len(sums) > 1:
        raise ChecksumError(f"{name} landed different rows in different runs: {sorted(map(str, sums))}")
    total = pick.first.sum
    if total is not None and total.rows != rows:
        raise ChecksumError(f"{name} landed {total.rows} rows of a frame that has {rows}")
    landed = tuple(run.landed for run in runs)
    read = tuple(run.read for run in runs if run.read is not None)
    return Times(name, pick.settings, landed, read, total, pick.first.digest, pick.tried)


def require_agreement(times: Sequence[Times]) -> None:
    """Check that all contenders landed the same rows.

    Raises:
        ChecksumError: they did not; the message names who came to what.
    """
    landed = [one for one in times if one.sum is not None]
    if len({(one.sum, one.digest) for one in landed}) > 1:
        found = "; ".join(f"{one.name}: {one.sum}, rows' digest {one.digest}" for one in landed)
        raise ChecksumError(f"the contenders did not land the same rows: {found}; no time of theirs can be compared")


def _store_used() -> float:
    """Return how much of the object store is taken, in bytes, as Ray last heard."""
    there: float = ray.cluster_resources().get("object_store_memory", 0.0)
    free: float = ray.available_resources().get("object_store_memory", 0.0)
    return there - free


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
