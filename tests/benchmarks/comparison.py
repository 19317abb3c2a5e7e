"""One shape, all contenders: ours and those that live beside it in one process, RayDP in another, after each other."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipelines import to_ray
from tests.benchmarks.contenders import Contender, headrace, raydp
from tests.benchmarks.machine import Machine, headrace_session, raydp_session
from tests.benchmarks.memory import Peak, watched
from tests.benchmarks.report import Measured
from tests.benchmarks.rounds import Times, compete, require_agreement
from tests.benchmarks.shapes import SHAPES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# toPandas holds a frame in the JVM, in pandas, and in the object store at once.
_PANDAS_LIMIT = 2 * 2**30
# Enough to start every process that a hand-over needs, and little beside what the object store is then to take.
_WARM_UP_BYTES = 2**20

T = TypeVar("T")


@dataclass(frozen=True)
class Comparison:
    """What is to be compared.

    Attributes:
        shape: the name of the shape.
        machine: what Ray and Spark are given.
        scale: how much of it: 1 is about 740 MB.
        repeats: how many runs of each contender are timed.
        warm_ups: how often each setting of each contender runs before.
        raydp_memory: the heap of RayDP's executor, which must hold every partition of the frame.
    """

    shape: str
    machine: Machine
    scale: float = 1.0
    repeats: int = 5
    warm_ups: int = 2
    raydp_memory: str = "6g"

    def run(self) -> tuple[Measured, ...]:
        """Compare, each side in a fresh process.

        Raises:
            ChecksumError: the contenders did not land the same rows.
            SessionError: Ray or Spark did not start.
        """
        measured = (in_own_process(measure_headrace, self), in_own_process(measure_raydp, self))
        require_agreement([one for process in measured for one in process.times])
        return measured


def measure_headrace(comparison: Comparison) -> Measured:
    """Measure ours and those that run in a session of ours; memory first, while the object store is untouched."""
    machine = comparison.machine
    with headrace_session(machine) as session, tempfile.TemporaryDirectory(dir=machine.scratch) as scratch:
        peak, size = peak_of_ours(session.spark, comparison)
        shape = SHAPES[comparison.shape]
        pandas = shape.rows_at(comparison.scale) * shape.row_bytes <= _PANDAS_LIMIT
        times = compete_in(session.spark, headrace(Path(scratch), pandas=pandas), comparison)
    return Measured(times, peak, size, str(machine))


def measure_raydp(comparison: Comparison) -> Measured:
    """Measure RayDP and, to compare between the processes, the floor again."""
    machine = replace(comparison.machine, executor_memory=comparison.raydp_memory)
    with raydp_session(machine) as spark:
        return Measured(compete_in(spark, raydp(), comparison), None, 0, str(machine))


def compete_in(spark: SparkSession, contenders: Sequence[Contender], comparison: Comparison) -> tuple[Times, ...]:
    """Time contenders in a session that runs.

    Raises:
        ChecksumError: they did not land the same rows.
    """
    shape = SHAPES[comparison.shape]
    times = compete(
        contenders,
        lambda: shape.frame(spark, comparison.scale, comparison.machine.partitions),
        shape.rows_at(comparison.scale),
        repeats=comparison.repeats,
        warm_ups=comparison.warm_ups,
    )
    require_agreement(times)
    return times


def peak_of_ours(spark: SparkSession, comparison: Comparison) -> tuple[Peak, int]:
    """Return the memory that ours takes for the frame, and how large the Dataset is, in bytes."""
    warm_up(spark, comparison)
    frame = SHAPES[comparison.shape].frame(spark, comparison.scale, comparison.machine.partitions)
    with watched() as peak:
        dataset = to_ray(frame)
    return peak, dataset.size_bytes()


def warm_up(spark: SparkSession, comparison: Comparison) -> None:
    """Hand a little of the frame over, so that every process runs that a hand-over needs."""
    shape = SHAPES[comparison.shape]
    little = min(comparison.scale / 10, _WARM_UP_BYTES / (shape.rows * shape.row_bytes))
    to_ray(shape.frame(spark, little, comparison.machine.partitions))


def in_own_process(work: Callable[[Comparison], T], comparison: Comparison) -> T:
    """Run `work` in a process that is started for it and ends with it, and return what it returned."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, comparison).result()
