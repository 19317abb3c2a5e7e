"""A program that brings Spark up on Ray, asks it for a row, and says when it had which: what `startup` runs.

    python -m tests.benchmarks.first_row CONTENDER CORES MEMORY

It imports what its contender needs and no more, as that is a part of a cold start.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

OURS, RAYDP = "Session", "RayDP"
UP, ROW, PYTHON_ROW = "Spark is up", "first row", "first row through Python"


def main(contender: str, cores: int, memory: str) -> None:
    """Run one contender and print, as JSON, the monotonic clock's seconds at which it had what."""
    marks = _ours(cores, memory) if contender == OURS else _raydp(cores, memory)
    print(json.dumps(marks))


def _ours(cores: int, memory: str) -> dict[str, float]:
    from pipelines import Session

    with Session(executors=1, executor_cores=cores, executor_memory=memory) as session:
        return _rows(session.spark)


def _raydp(cores: int, memory: str) -> dict[str, float]:
    """Start RayDP as its documentation says, with the flags that Spark 3.5 needs on Java 17."""
    import logging

    import ray
    import raydp

    from pipelines.java import find_java
    from pipelines.spark_settings import changed_environment, worker_environment

    java = find_java()
    keys = ("spark.executor", "spark.driver", "spark.ray.raydp_app_master")
    flags = {f"{key}.extraJavaOptions": java.flags for key in keys}
    # Its master actor asks for a CPU by default, which beside the executor's two a machine of two does not have.
    flags["spark.ray.raydp_spark_master.actor.resource.CPU"] = "0"
    with changed_environment(worker_environment(java)):
        ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        try:
            marks = _rows(raydp.init_spark("startup", 1, cores, memory, configs=flags))
        finally:
            raydp.stop_spark()
            ray.shutdown()
    return marks


def _rows(spark: SparkSession) -> dict[str, float]:
    def through(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches

    marks = {UP: time.monotonic()}
    assert len(spark.range(1).collect()) == 1
    marks[ROW] = time.monotonic()
    assert len(spark.range(1).mapInArrow(through, "id long").collect()) == 1
    marks[PYTHON_ROW] = time.monotonic()
    return marks


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
