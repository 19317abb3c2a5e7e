"""The ways from a Spark DataFrame to a Ray Dataset that are compared, and what they are compared with.

A contender has one or more settings; the fastest of them, found in the warm-up, is what it runs with.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import ray

from pipelines import to_ray

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset

FLOOR = "floor"
OURS = "to_ray"
RAYDP = "RayDP"

Landing = Callable[["DataFrame"], AbstractContextManager["Dataset | None"]]
"""Computes a frame and yields the Dataset, landed whole, or None where nothing lands; frees all of it at the end."""


@dataclass(frozen=True)
class Contender:
    """A way to hand a frame over.

    Attributes:
        name: what it is called in tables.
        settings: ways to run it, by what is written beside the figure.
    """

    name: str
    settings: Mapping[str, Landing]


def headrace(scratch: Path, *, pandas: bool = True) -> tuple[Contender, ...]:
    """Return those that can run in a session of ours, the floor first.

    Args:
        scratch: a directory on a local disk, for Parquet files.
        pandas: whether the frame fits into this process twice.
    """
    parquet = {
        "spark.write.parquet, snappy; ray.data.read_parquet": {"compression": "snappy"},
        "spark.write.parquet, uncompressed; ray.data.read_parquet": {"compression": "none"},
        "spark.write.parquet, uncompressed, without dictionaries; ray.data.read_parquet": {
            "compression": "none",
            "parquet.enable.dictionary": "false",
        },
    }
    peers = [
        Contender("Parquet", {text: partial(_through_parquet, scratch, options) for text, options in parquet.items()})
    ]
    if pandas:
        settings = {
            f"toPandas through Arrow{', self-destruct' if free else ''}; ray.data.from_pandas": partial(_pandas, free)
            for free in (True, False)
        }
        peers.append(Contender("toPandas", settings))
    return (
        Contender(FLOOR, {"mapInArrow that counts the batches' rows": _count}),
        Contender("noop", {"Spark's noop sink: no Python": _noop}),
        Contender(OURS, {"defaults": _to_ray}),
        *peers,
    )


def raydp() -> tuple[Contender, ...]:
    """Return those that run in a RayDP session of its own, the floor first."""
    settings = {
        "ray.data.from_spark": partial(_from_spark, "MEMORY_AND_DISK"),
        "raydp.spark.from_spark_recoverable, MEMORY_ONLY": partial(_from_spark, "MEMORY_ONLY"),
    }
    return (
        Contender(FLOOR, {"mapInArrow that counts the batches' rows": _count}),
        Contender(RAYDP, settings),
    )


@contextmanager
def _count(frame: DataFrame) -> Iterator[None]:
    """Bring every batch into Python and do nothing with it: no landing from Python can be faster."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pydict({"rows": [sum(batch.num_rows for batch in batches)]})

    frame.mapInArrow(count, "rows long").collect()
    yield None


@contextmanager
def _noop(frame: DataFrame) -> Iterator[None]:
    frame.write.format("noop").mode("overwrite").save()
    yield None


@contextmanager
def _to_ray(frame: DataFrame) -> Iterator[Dataset]:
    yield to_ray(frame)


@contextmanager
def _through_parquet(scratch: Path, options: Mapping[str, str], frame: DataFrame) -> Iterator[Dataset]:
    directory = Path(tempfile.mkdtemp(prefix="parquet-", dir=scratch))
    try:
        frame.write.options(**options).mode("overwrite").parquet(str(directory))
        yield ray.data.read_parquet(str(directory)).materialize()
    finally:
        shutil.rmtree(directory)


@contextmanager
def _pandas(free_early: bool, frame: DataFrame) -> Iterator[Dataset]:
    conf = frame.sparkSession.conf
    settings = {
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.pyspark.selfDestruct.enabled": str(free_early).lower(),
    }
    for key, value in settings.items():
        conf.set(key, value)
    try:
        yield ray.data.from_pandas(frame.toPandas())
    finally:
        for key in settings:
            conf.unset(key)


@contextmanager
def _from_spark(storage: str, frame: DataFrame) -> Iterator[Dataset]:
    """Hand over by RayDP, which returns references before all of them are there: landed is when they are."""
    from pyspark.storagelevel import StorageLevel
    from raydp.spark import from_spark_recoverable, release_spark_recoverable

    try:
        if storage == "MEMORY_AND_DISK":
            dataset = ray.data.from_spark(frame)  # its default level
        else:
            dataset = from_spark_recoverable(frame, getattr(StorageLevel, storage))
        blocks = [block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
        ray.wait(blocks, num_returns=len(blocks))
        yield dataset
    finally:
        release_spark_recoverable(frame)
