"""How much memory a hand-over takes beside its rows, when they are many times more than the executor's heap.

Memory is bounded by the blocks in flight, not by the data: what is above the data is to stay the same however much is
handed over, and no row is to be in a file, but for those that Ray spills where the object store is smaller than the
data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import ray

from pipelines import to_ray
from tests.benchmarks.checksum import ChecksumError
from tests.benchmarks.comparison import Comparison, in_own_process, warm_up
from tests.benchmarks.machine import headrace_session
from tests.benchmarks.memory import STORE, Peak, watched
from tests.benchmarks.new_files import NewFiles, watched_files
from tests.benchmarks.shapes import SHAPES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from ray.data import Dataset

_MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """What one hand-over took.

    Attributes:
        settings: what Ray and Spark were given, for people.
        object_store_memory: the size of the object store among that.
        rows: how many rows there were.
        data_bytes: the size of the Dataset.
        peak: memory.
        files: large files that appeared.
    """

    settings: str
    object_store_memory: str
    rows: int
    data_bytes: int
    peak: Peak
    files: NewFiles

    @property
    def stored(self) -> int:
        """The part of the data that was in memory: all of it, or what a smaller store has taken."""
        return min(self.data_bytes, self.peak.above[STORE])

    @property
    def beside_data(self) -> int:
        """How far all parts together rose, above what they had at the start and above the data that was in memory."""
        return self.peak.whole_above - self.stored


def measure(comparison: Comparison) -> Footprint:
    """Hand the frame over once, in a session of a process of its own.

    Raises:
        ChecksumError: other rows than the frame's have arrived.
        SessionError: Ray or Spark did not start.
    """
    return in_own_process(_measure, comparison)


def measure_in(spark: SparkSession, comparison: Comparison) -> Footprint:
    """Hand the frame over once, in a session that runs.

    Raises:
        ChecksumError: other rows than the frame's have arrived.
    """
    shape, machine = SHAPES[comparison.shape], comparison.machine
    warm_up(spark, comparison)
    frame = shape.frame(spark, comparison.scale, machine.partitions)
    with watched_files() as files, watched() as peak:
        dataset = to_ray(frame)
    rows = shape.rows_at(comparison.scale)
    require_rows(dataset, rows)
    return Footprint(str(machine), machine.object_store_memory, rows, dataset.size_bytes() or 0, peak, files)


def require_rows(dataset: Dataset, rows: int) -> None:
    """Check that the ids of a Dataset are as many as the row numbers of a frame, and have their sum.

    Raises:
        ChecksumError: they are or have not.
    """
    blocks = [block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    ids = [(len(ids), pc.sum(ids).as_py() or 0) for block in blocks for ids in [ray.get(block)["id"]]]
    found, expected = tuple(map(sum, zip(*ids, strict=True))), (rows, rows * (rows - 1) // 2)
    if found != expected:
        raise ChecksumError(f"rows and sum of their ids are {found}, and must be {expected}: rows were lost or doubled")


def table(title: str, footprints: Sequence[Footprint]) -> str:
    """Return the measurements as a Markdown table, a column for each."""
    parts = sorted({part for one in footprints for part in one.peak.parts})
    rows: list[tuple[str, Callable[[Footprint], int]]] = [
        *((f"peak of {part}, above before", lambda one, part=part: one.peak.above.get(part, 0)) for part in parts),
        ("**all at one time, above before**", lambda one: one.peak.whole_above),
        ("data that was in memory", lambda one: one.stored),
        ("**all at one time, above that too**", lambda one: one.beside_data),
        ("files outside object store and spilling", lambda one: one.files.outside),
        ("files that Ray spilled to", lambda one: one.files.spilled),
    ]
    lines = [
        f"### {title}",
        "",
        " | ".join(["| MiB, object store of", *(one.object_store_memory for one in footprints)]) + " |",
        "| --- " * (len(footprints) + 1) + "|",
        *(" | ".join([f"| {name}", *(f"{size(one) / _MIB:,.0f}" for one in footprints)]) + " |" for name, size in rows),
    ]
    for one in footprints:
        lines += [
            "",
            f"- {one.settings}; data of {one.data_bytes / _MIB:,.0f} MiB; {one.peak.samples} looks at memory, "
            f"{one.files.looks} at files{': ' if one.files.largest else ''}{', '.join(one.files.largest)}",
        ]
    return "\n".join(lines)


def record(footprint: Footprint) -> dict[str, Any]:
    """Return a measurement as JSON has it."""
    return {
        "settings": footprint.settings,
        "object_store_memory": footprint.object_store_memory,
        "rows": footprint.rows,
        "data_bytes": footprint.data_bytes,
        "above_bytes": footprint.peak.above,
        "whole_above_bytes": footprint.peak.whole_above,
        "beside_data_bytes": footprint.beside_data,
        "files_outside_bytes": footprint.files.outside,
        "files_outside": footprint.files.largest,
        "spilled_bytes": footprint.files.spilled,
    }


def _measure(comparison: Comparison) -> Footprint:
    with headrace_session(comparison.machine) as session:
        return measure_in(session.spark, comparison)
