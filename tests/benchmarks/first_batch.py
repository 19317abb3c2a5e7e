"""When the first batch of a streaming hand-over can be used, by the time that the whole takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines import to_ray
from tests.benchmarks.checksum import ChecksumError
from tests.benchmarks.machine import Machine, headrace_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tests.benchmarks.shapes import Shape


@dataclass(frozen=True)
class FirstBatch:
    """Times from the call of ``to_ray(frame, streaming=True)``, in seconds, a run each.

    Attributes:
        partitions: how many partitions the frame has.
        first: until the first batch was there.
        whole: until every batch had been taken.
        share: the median of the runs' shares, first by whole.
    """

    partitions: int
    first: tuple[float, ...]
    whole: tuple[float, ...]
    share: float


def measure(machine: Machine, shape: Shape, scale: float, *, repeats: int, warm_ups: int) -> FirstBatch:
    """Measure in a session of its own.

    Raises:
        ChecksumError: not all rows came.
    """
    with headrace_session(machine) as session:
        runs = [_run(session.spark, shape, scale, machine.partitions) for _ in range(warm_ups + repeats)][warm_ups:]
    return FirstBatch(
        machine.partitions,
        tuple(first for first, _ in runs),
        tuple(whole for _, whole in runs),
        median(first / whole for first, whole in runs),
    )


def table(result: FirstBatch) -> str:
    """Return the measurement as a Markdown table."""
    first, whole = median(result.first), median(result.whole)
    return "\n".join(
        (
            f"### first batch of a streaming hand-over, {result.partitions} partitions",
            "",
            "| first batch, s | whole, s | first ÷ whole |",
            "| --- | --- | --- |",
            f"| {first:.2f} | {whole:.2f} | {result.share:.3f} |",
        )
    )


def _run(spark: SparkSession, shape: Shape, scale: float, partitions: int) -> tuple[float, float]:
    frame = shape.frame(spark, scale, partitions)
    start = time.perf_counter()
    first: float | None = None
    rows = 0
    for batch in to_ray(frame, streaming=True).iter_batches(batch_size=None, batch_format="pyarrow"):
        assert isinstance(batch, pa.Table)
        first = first or time.perf_counter() - start
        rows += batch.num_rows
    whole = time.perf_counter() - start
    if first is None or rows != shape.rows_at(scale):
        raise ChecksumError(f"{rows} rows of {shape.rows_at(scale)} came")
    return first, whole
