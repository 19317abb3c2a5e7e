"""Reading a partitioned source in Spark: partitions travel to the executors as descriptors, and rows are made there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.serializers import CloudPickleSerializer
from pyspark.sql import DataFrame, functions
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    MapType,
    NullType,
    StructField,
    StructType,
    UserDefinedType,
)

from connectors.arrow_types import SPARK_DECIMAL_DIGITS, leaves
from connectors.columns import ColumnNames
from connectors.errors import SourceSchemaError
from connectors.source import ROW_ID, BadRow, Partition, PartitionedSource

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PARTITION = "partition"
"""The one column of a frame of partitions."""

_FRAME = StructType([StructField(PARTITION, BinaryType(), nullable=False)])


def partitions_frame(spark: SparkSession, partitions: Sequence[Partition]) -> DataFrame:
    """Return a frame with one row, in one Spark partition of its own, for each of a plan's partitions, in order.

    Its column `PARTITION` holds what `read_partitions` needs, so that ``frame.mapInArrow(…)`` over it is one task for
    each partition. No partitions make a frame of no rows.
    """
    described = [(bytearray(_describe(partition)),) for partition in partitions]
    # As createDataFrame does it with an RDD, without the Python workers in which that takes rows apart.
    jvm, tasks = spark._jvm, spark.sparkContext.parallelize(described, max(1, len(described)))
    rows = jvm.SerDeUtil.toJavaArray(jvm.SerDeUtil.pythonToJava(tasks._jrdd, True))  # type: ignore[union-attr]
    return DataFrame(spark._jsparkSession.applySchemaToPythonRDD(rows.rdd(), _FRAME.json()), spark)


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
    """Return the Spark schema of frames whose Arrow batches have `schema`.

    Times without a zone stay without one, and nulls are allowed where they are in Arrow, at every level.

    Raises:
        SourceSchemaError: a column has a type that Spark lacks.
    """
    for field in schema:
        for path, kind in leaves(field):
            if not _is_in_spark(kind):
                raise SourceSchemaError(
                    f"column {path!r} holds {kind}, which Spark has no type for; convert it, or leave it out"
                )
    return StructType([_spark_field(field) for field in schema])


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
            raise _not_in_arrow(field.name, field.dataType.simpleString()) from error
    return pa.schema(fields)


def arrow_schema_of(frame: DataFrame) -> pa.Schema:
    """Return the Arrow schema that brings a frame's columns out of Spark so that they can come back as they were.

    Raises:
        SourceSchemaError: a column has a type that Arrow lacks (a calendar or a year-month interval, a user-defined
            type), or none (void), or shares its name with another one.
    """
    try:
        schema = frame.schema
    except PySparkException as error:
        raise _unknown_to_python(frame) from error
    if not schema.fields:
        raise SourceSchemaError("the frame has no columns, so that its rows cannot be handed on; select some")
    require_distinct_names(schema)
    for path, kind in _parts("", schema):
        if isinstance(kind, UserDefinedType):
            raise _not_in_arrow(path, f"the user-defined type {kind.simpleString()}")
        if isinstance(kind, NullType):
            raise SourceSchemaError(
                f"column {path!r} is void: it has no type, and so no values; cast it to one, as in "
                "CAST(NULL AS STRING), or leave it out"
            )
    return spark_to_arrow_schema(schema)


def renamed(frame: DataFrame, names: ColumnNames, origin: str) -> DataFrame:
    """Return a frame with the names and types that rows have.

    Args:
        frame: what Spark has read.
        names: which column is which.
        origin: what was read, for messages.

    Raises:
        SourceSchemaError: a column that was asked for is absent, or cannot be what it is asked to be.
    """
    layout = names.over(spark_to_arrow_schema(frame.schema), origin)
    targets = [field for field in arrow_to_spark_schema(layout.schema) if layout.keyed or field.name != ROW_ID]
    columns = [functions.col("`" + source.replace("`", "``") + "`") for source in layout.sources]
    return frame.select(
        *(column.cast(target.dataType).alias(target.name) for column, target in zip(columns, targets, strict=True))
    )


def require_distinct_names(schema: StructType) -> None:
    """See to it that no two columns, and no two fields of a struct, have one name; names may differ in case alone.

    Raises:
        SourceSchemaError: two do.
    """
    for path, kind in _parts("", schema):
        if isinstance(kind, StructType):
            repeated = [name for name, count in Counter(kind.names).items() if count > 1]
            if repeated:
                raise SourceSchemaError(
                    f"more than one {f'field of column {path!r}' if path else 'column'} is named {repeated[0]!r}; give "
                    "each a name of its own"
                )


def _parts(path: str, kind: DataType) -> Iterator[tuple[str, DataType]]:
    """Yield a type and all that are nested in it, each with its dotted path."""
    yield path, kind
    children: list[tuple[str, DataType]] = []
    if isinstance(kind, StructType):
        children = [(field.name, field.dataType) for field in kind.fields]
    elif isinstance(kind, MapType):
        children = [("key", kind.keyType), ("value", kind.valueType)]
    elif isinstance(kind, ArrayType):
        children = [("element", kind.elementType)]
    for name, child in children:
        yield from _parts(f"{path}.{name}" if path else name, child)


def _unknown_to_python(frame: DataFrame) -> SourceSchemaError:
    """Return the error for a frame of which PySpark cannot even give the schema."""
    for field in frame._jdf.schema().fields():
        kind = field.dataType()
        try:
            StructType.fromJson({"fields": [{**_BARE, "name": field.name(), "type": json.loads(kind.json())}]})
        except PySparkException:
            return _not_in_arrow(field.name(), kind.simpleString())
    return SourceSchemaError("the frame has a column of a type that Python lacks; convert it, or leave it out")


_BARE = {"nullable": True, "metadata": {}}


def _not_in_arrow(path: str, kind: str) -> SourceSchemaError:
    return SourceSchemaError(f"column {path!r} holds {kind}, which Arrow has no type for; convert it, or leave it out")


def _is_in_spark(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return not types.is_nested(kind.value_type) and _is_in_spark(kind.value_type)
    if types.is_decimal(kind):
        return bool(0 <= kind.scale <= kind.precision <= SPARK_DECIMAL_DIGITS)
    try:
        from_arrow_type(kind)
    except PySparkException:
        return False
    return True


def _spark_field(field: pa.Field) -> StructField:
    return StructField(field.name, _spark_type(field.type), field.nullable)


def _spark_type(kind: pa.DataType) -> DataType:
    """Return Spark's type; PySpark's own function for it allows nulls in all lists and maps."""
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return ArrayType(_spark_type(kind.value_type), kind.value_field.nullable)
    if types.is_map(kind):
        return MapType(_spark_type(kind.key_type), _spark_type(kind.item_type), kind.item_field.nullable)
    if types.is_struct(kind):
        return StructType([_spark_field(field) for field in kind])
    return from_arrow_type(kind, prefer_timestamp_ntz=True)


def _describe(partition: Partition) -> bytes:
    described: bytes = CloudPickleSerializer().dumps(partition)  # type: ignore[no-untyped-call]
    return described


def _partition(described: bytes) -> Partition:
    partition: Partition = CloudPickleSerializer().loads(described)  # type: ignore[no-untyped-call]
    return partition
