"""How many rows Spark puts into one Arrow batch for Python, chosen by how wide the rows are.

Spark 3.5 counts rows alone (``spark.sql.execution.arrow.maxRecordsPerBatch``, 10,000 by default), so that texts of a
megabyte would make batches of 10 GB. The setting is read when a job is planned; so widths are measured beforehand:
of what an earlier job has computed, or else of the first rows, in a small job of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from py4j.protocol import Py4JError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sql

from connectors.source import BATCH_BYTES, Partition
from connectors.spark import arrow_to_spark_schema, partitions_frame
from connectors.spark_batches import map_in_arrow
from pipelines.accounting import StepAccount
from pipelines.feeds import Batches, ReadSource
from pipelines.spark_job import collect
from pipelines.steps.columns import quoted

SETTING = "spark.sql.execution.arrow.maxRecordsPerBatch"

_FIRST_ROWS = 64
_LOOK = pa.schema([("rows", pa.int64()), ("bytes", pa.int64())])


class BatchRows:
    """While it is entered, the setting is fitted to the widths it is told; then it is as it was.

    Args:
        spark: whose setting it is. What stands there is the most that is ever chosen.
    """

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def __enter__(self) -> BatchRows:
        self._before = str(self._spark.conf.get(SETTING))
        return self

    def __exit__(self, *_: object) -> None:
        # Of a driver that has gone there is nothing to put back.
        with suppress(Py4JError, OSError):
            self._spark.conf.set(SETTING, self._before)

    def fit(self, rows: int, size: int) -> None:
        """Choose batches of about `BATCH_BYTES` for what is planned next: rows as wide as so many of so many bytes."""
        if rows and size:
            fitting = max(1, BATCH_BYTES * rows // size)
            most = int(self._before)
            self._spark.conf.set(SETTING, str(min(fitting, most) if most > 0 else fitting))


def width_of_source(spark: SparkSession, feed: ReadSource, partitions: Sequence[Partition]) -> tuple[int, int]:
    """Return the rows of a source's first batch, and their bytes; none where the first partition has no rows."""
    frame = map_in_arrow(partitions_frame(spark, partitions[:1]), _FirstBatch(feed), arrow_to_spark_schema(_LOOK))
    looked = collect(frame, "looking at the first rows")
    return sum(row["rows"] for row in looked), sum(row["bytes"] for row in looked)


def width_of_frame(frame: DataFrame) -> tuple[int, int]:
    """Return how many of a frame's first rows were looked at, and about their bytes.

    None are where that would compute the frame twice, as Spark has to shuffle it before there is a first row.
    """
    if "Exchange" in frame._jdf.queryExecution().executedPlan().toString():
        return 0, 0
    whole = sql.struct(*(sql.col(quoted(name)) for name in frame.columns)).cast("string")
    widths = frame.select(sql.octet_length(whole).alias("bytes")).limit(_FIRST_ROWS)
    looked = collect(widths, "looking at the first rows")
    return len(looked), sum(row["bytes"] for row in looked)


@dataclass(frozen=True)
class _FirstBatch:
    feed: ReadSource

    def __call__(self, batches: Batches) -> Batches:
        for batch in self.feed.rows(batches, StepAccount(self.feed.name), lambda *_: None):
            yield pa.RecordBatch.from_arrays([[batch.num_rows], [batch.nbytes]], schema=_LOOK)
            return
