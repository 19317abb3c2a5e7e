"""What it saves that a source, the row steps and the landing are one pass.

The same source and the same row steps are landed twice: fused, where the JVM sees one row for each partition of the
source, and with a crossing forced in before the last step, a table step that does nothing, so that all rows go from
Python into the JVM and back into Python. Both land through `Etl`, as a pipeline does. What entered Python from the JVM
is told by Spark's own SQL metrics.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from connectors import ParquetSource
from pipelines.etl import Etl
from pipelines.steps import NormalizeText, TableStep, WordCount
from tests.benchmarks.contenders import Contender, Landing
from tests.benchmarks.machine import Machine, headrace_session
from tests.benchmarks.python_nodes import PythonNode, watch_python
from tests.benchmarks.rounds import Times, compete, require_agreement
from tests.benchmarks.shapes import SHAPES

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from ray.data import Dataset

    from pipelines.steps.step import Step

FUSED, CROSSING = "one pass", "with a crossing"

STEPS: dict[str, Sequence[Step]] = {
    "cheap": (WordCount(min=1),),
    "dear": (NormalizeText(), WordCount(min=1)),
}
"""Row steps to measure with: the dearer they are, the less a crossing weighs, which costs the same beside any."""


class Crossing(TableStep):
    """Does nothing, in Spark: the rows before it leave Python, and those behind it enter it again."""

    def apply(self, frame: DataFrame) -> DataFrame:
        """Return the frame as it is."""
        return frame


@dataclass(frozen=True)
class Fusion:
    """What was measured.

    Attributes:
        steps: the row steps.
        partitions: of the source.
        rows: of the source.
        times: of both ways.
        nodes: for each way, what Spark counted of its nodes that run Python, in the order that rows pass them.
        ratio: the median with the crossing by the median without.
    """

    steps: str
    partitions: int
    rows: int
    times: tuple[Times, ...]
    nodes: dict[str, tuple[PythonNode, ...]]
    ratio: float


def measure(machine: Machine, scale: float, *, repeats: int, warm_ups: int) -> tuple[Fusion, ...]:
    """Measure each of `STEPS` in a session of its own, on files that are made for it.

    Raises:
        ChecksumError: the two ways did not land the same rows.
    """
    with headrace_session(machine) as session, tempfile.TemporaryDirectory(dir=machine.scratch) as scratch:
        source = write_files(session.spark, machine, scale, Path(scratch))
        return tuple(
            measure_in(session.spark, source, steps, repeats=repeats, warm_ups=warm_ups) for steps in STEPS.values()
        )


def write_files(spark: SparkSession, machine: Machine, scale: float, directory: Path) -> ParquetSource:
    """Write short texts as Parquet files and return a source of them, which plans its partitions by itself."""
    path = str(directory / "rows")
    SHAPES["short_text"].frame(spark, scale, machine.partitions).write.parquet(path)
    return ParquetSource(path=path)


def measure_in(
    spark: SparkSession, source: ParquetSource, steps: Sequence[Step], *, repeats: int, warm_ups: int
) -> Fusion:
    """Measure some row steps, which keep all rows, in a session that runs."""
    with source.plan() as plan:
        partitions = len(plan.partitions)
    rows = spark.read.parquet(source.path).count()
    ways = {FUSED: steps, CROSSING: (*steps[:-1], Crossing(), steps[-1])}
    landings = {name: partial(_land, spark, source, of_way) for name, of_way in ways.items()}
    nodes = {name: _nodes_of(spark, land) for name, land in landings.items()}
    contenders = [Contender(name, {"defaults": land}) for name, land in landings.items()]
    # What is landed is made of files, not of a frame.
    times = compete(contenders, lambda: spark.range(0), rows, repeats=repeats, warm_ups=warm_ups)
    require_agreement(times)
    shown = ", ".join(type(step).__name__ for step in steps)
    return Fusion(shown, partitions, rows, times, nodes, times[1].whole / times[0].whole)


def table(result: Fusion) -> str:
    """Return the measurement as a Markdown table."""
    lines = [
        f"### Parquet, {result.steps}, landing: {result.rows:,} rows in {result.partitions} partitions",
        "",
        "| way | landed and read, s | ÷ one pass | rows that entered Python, node by node | sent to Python |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in result.times:
        nodes = result.nodes[one.name]
        entered = ", ".join(f"{node.rows_in:,}" for node in nodes)
        sent = ", ".join(f"{node.sent}" for node in nodes)
        lines.append(f"| {one.name} | {one.whole:.2f} | {one.whole / result.times[0].whole:.2f} | {entered} | {sent} |")
    return "\n".join(lines)


@contextmanager
def _land(spark: SparkSession, source: ParquetSource, steps: Sequence[Step], _: DataFrame) -> Iterator[Dataset]:
    yield Etl(spark, source, steps).to_ray()[""]


def _nodes_of(spark: SparkSession, land: Landing) -> tuple[PythonNode, ...]:
    with watch_python(spark) as watch, land(spark.range(0)):
        pass
    return tuple(watch.nodes)
