"""Reading a partitioned source in Spark: partitions travel to the executors as descriptors, and rows are made there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.serializers import CloudPickleSerializer
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import BinaryType, StructField, StructType

from connectors.errors import SourceSchemaError
from connectors.source import BadRow, Partition, PartitionedSource

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION = "partition"
"""The one column of a frame of partitions."""

_FRAME = StructType([StructField(PARTITION, BinaryType(), nullable=False)])


def partitions_frame(spark: SparkSession, partitions: Sequence[Partition]) -> DataFrame:
    """Return a frame with one row, in one Spark partition of its own, for each of a plan's partitions, in order.

    Its column `PARTITION` holds what `read_partitions` needs, so that ``frame.mapInArrow(…)`` over it is one task for
    each partition. No partitions make a frame of no rows.
    """
    described = [(bytearray(_describe(partition)),) for partition in partitions]
    tasks = spark.sparkContext.parallelize(described, max(1, len(described)))
    return spark.createDataFrame(tasks, _FRAME, verifySchema=False)


def read_partitions(source: PartitionedSource, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch | BadRow]:
    """Yield what `source` scans in the partitions that rows of a `partitions_frame` describe.

    For use inside ``mapInArrow``, in an executor's Python worker, which must be able to import the source's module.

    Raises:
        BadRowError: a row is malformed and the source is told to fail on it.
    """
    for batch in batches:
        for described in batch.column(0):
            yield from source.scan(_partition(described.as_py()))


def arrow_to_spark_schema(schema: pa.Schema) -> StructType:
    """Return the Spark schema of frames whose Arrow batches have `schema`; times without a zone stay without one.

    Raises:
        SourceSchemaError: a column has a type that Spark lacks.
    """
    fields: list[StructField] = []
    for field in schema:
        try:
            fields.extend(from_arrow_schema(pa.schema([field]), prefer_timestamp_ntz=True))
        except PySparkException as error:
            raise SourceSchemaError(
                f"column {field.name!r} holds {field.type}, which Spark has no type for; convert it, or leave it out"
            ) from error
    return StructType(fields)


def spark_to_arrow_schema(schema: StructType) -> pa.Schema:
    """Return the Arrow schema of the batches that a frame with `schema` is made of inside ``mapInArrow``.

    Raises:
        SourceSchemaError: a column has a type that Arrow lacks.
    """
    fields: list[pa.Field] = []
    for field in schema.fields:
        try:
            fields.extend(to_arrow_schema(StructType([field])))
        except PySparkException as error:
            raise SourceSchemaError(
                f"column {field.name!r} holds {field.dataType.simpleString()}, which Arrow has no type for; convert "
                "it, or leave it out"
            ) from error
    return pa.schema(fields)


def _describe(partition: Partition) -> bytes:
    described: bytes = CloudPickleSerializer().dumps(partition)  # type: ignore[no-untyped-call]
    return described


def _partition(described: bytes) -> Partition:
    partition: Partition = CloudPickleSerializer().loads(described)  # type: ignore[no-untyped-call]
    return partition
