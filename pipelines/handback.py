"""From a Ray Dataset to a Spark DataFrame, in memory, through Arrow: the hand-over the other way round.

object store ──> sender, a Ray actor on each node ── Arrow stream over a Unix socket ──> executor's Python worker
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType
from ray.data import Dataset
from ray.data.dataset import MaterializedDataset

from connectors.arrow_types import change_leaves, exact_type, leaves
from connectors.errors import SourceSchemaError
from connectors.spark import arrow_to_spark_schema, require_distinct_names, spark_to_arrow_schema
from pipelines.errors import HandoffError
from pipelines.fetching import FetchFromRay
from pipelines.node_actors import answers_of, end, living_nodes, on_each_node
from pipelines.ray_cluster import wait_until
from pipelines.sender import Sender

if TYPE_CHECKING:
    from pipelines.session import Session

_FREE_CPU_SECONDS = 20.0
# A block that was spilled to a slow disk takes its time.
_LOOK_SECONDS = 600.0
_PICKLED = "arrow_pickled_object"


def to_spark(dataset: Dataset, session: Session) -> DataFrame:
    """Return a frame of a Dataset's rows, in Arrow's types as Spark has them; one Spark partition for each block.

    Every value arrives as it is. Types that Spark lacks and another holds as well (see
    `connectors.arrow_types.exact_type`) become that other; a column of nothing but nulls becomes one of strings, and a
    day-time interval one of days to seconds. Columns and nested values that Arrow calls not null stay so.

    A lazy Dataset is computed now. The blocks must stay where they are for as long as the frame is used, which is at
    most until the session releases Spark. Using the frame fails with the text of a `HandoffError` when a block is lost,
    or holds a value that the type of its column, over all blocks, does not have.

    Raises:
        TypeError: it is no Dataset.
        HandoffError: the Dataset has to be computed and Spark holds every CPU, or its blocks do not have columns of
            one type each.
        SourceSchemaError: a column's type is none of Spark's, or two have one name. Times of nanoseconds are among
            those types: Spark would have to round them.
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"to_spark takes a Ray Dataset, and was given {type(dataset).__module__}.{type(dataset).__name__}; Ray "
            "makes one by ray.data.from_pandas, from_arrow and the like, and session.spark.createDataFrame takes "
            "pandas itself"
        )
    if not isinstance(dataset, MaterializedDataset):
        # Ray hears a little late of CPUs that have become free.
        if not wait_until(lambda: ray.available_resources().get("CPU", 0.0) >= 1, _FREE_CPU_SECONDS):
            raise HandoffError(
                "the Dataset is lazy, and Spark holds every CPU that could compute it; call .materialize() on it "
                "before the session starts Spark, or give the session fewer executor_cores"
            )
        dataset = dataset.materialize()
    blocks = [entry for bundle in dataset.iter_internal_ref_bundles() for entry in bundle.blocks]
    # Blocks without rows may lack columns as well, and matter only where there are no others.
    references = [entry.ref for entry in blocks if entry.metadata.num_rows != 0] or [entry.ref for entry in blocks]
    nodes = living_nodes()
    senders = on_each_node(nodes, Sender, references)
    try:
        addresses = answers_of([sender.address.remote() for sender in senders])
        spark_schema = spark_schema_of(_schemas(references, dict(zip(nodes, senders, strict=True))))
    except BaseException:
        end(senders)
        raise
    session.at_release(lambda: end(senders))
    fetch = FetchFromRay(addresses, spark_to_arrow_schema(spark_schema))
    numbers = session.spark.range(0, len(references), 1, max(1, len(references)))
    return numbers.mapInArrow(fetch, spark_schema)


def frame_of(data: DataFrame | Dataset, session: Session) -> DataFrame:
    """Return `data` as a frame of the session's Spark, whichever of the two it is."""
    return data if isinstance(data, DataFrame) else to_spark(data, session)


def spark_schema_of(found: Sequence[pa.Schema]) -> StructType:
    """Return the columns in Spark for blocks that have the columns `found`.

    Raises:
        HandoffError: a column has no one type.
        SourceSchemaError: a column's type is none of Spark's.
    """
    if not any(schema.names for schema in found):
        raise HandoffError("the Dataset has no columns; make it one of rows with named columns")
    for schema in found:
        for field in schema:
            if _PICKLED in str(field.type):
                raise HandoffError(
                    f"column {field.name!r} holds Python objects of more than one type, most often a NaN among "
                    "strings; give it one type, with None for what is missing: "
                    "frame.astype(object).where(frame.notna(), None) does so before ray.data.from_pandas(frame)"
                )
    exact = [pa.schema([field.with_type(exact_type(field.type)) for field in schema]) for schema in found]
    for schema in exact:
        require_distinct_names(arrow_to_spark_schema(schema))
    one = _together(exact)
    for field in one:
        for path, kind in leaves(field):
            if (pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) and kind.unit == "ns":
                raise SourceSchemaError(_too_fine(path, kind))
    # Blocks that differ may do so in which columns they have, and in where they allow nulls.
    differ = len(found) > 1
    return arrow_to_spark_schema(
        pa.schema(
            [
                pa.field(
                    field.name,
                    change_leaves(field.type, _strings_for_nulls, nullable=differ),
                    nullable=field.nullable or differ,
                )
                for field in one
            ]
        )
    )


def _together(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns that all rows of blocks with these columns fit into, without losing a digit."""
    try:
        one = pa.unify_schemas(list(schemas), promote_options="permissive")
    except pa.ArrowException as error:
        raise _not_of_one_type(str(error)) from error
    together = {path: kind for field in one for path, kind in leaves(field)}
    for schema in schemas:
        for field in schema:
            for path, kind in leaves(field):
                if pa.types.is_decimal(kind) and pa.types.is_floating(together[path]):
                    raise _not_of_one_type(f"column {path!r} holds both {kind} and {together[path]}")
    return one


def _not_of_one_type(said: str) -> HandoffError:
    return HandoffError(
        f"the Dataset's blocks do not have columns of one type each: {said}; give each column one type, for example in "
        'dataset.map_batches(…, batch_format="pyarrow")'
    )


def _schemas(blocks: Sequence[ray.ObjectRef[Any]], senders: Mapping[str, Any]) -> list[pa.Schema]:
    """Return the columns of the blocks, each kind once.

    The blocks themselves are asked, because Ray Data knows of a computed Dataset only what its first block has. Each is
    looked at on a node that holds it.
    """
    located = ray.experimental.get_object_locations(list(blocks))
    nearest: defaultdict[str, list[int]] = defaultdict(list)
    for number, block in enumerate(blocks):
        holders = [node for node in located.get(block, {}).get("node_ids", ()) if node in senders]
        nearest[holders[0] if holders else next(iter(senders))].append(number)
    asked = [senders[node].schemas.remote(numbers) for node, numbers in nearest.items()]
    try:
        found = [schema.remove_metadata() for of_node in ray.get(asked, timeout=_LOOK_SECONDS) for schema in of_node]
    except ray.exceptions.RayError as error:
        raise HandoffError(f"the Dataset's blocks cannot be looked at: {error}") from error
    return list(dict.fromkeys(found))


def _strings_for_nulls(kind: pa.DataType) -> pa.DataType:
    # Spark has a type of its own for them, which it cannot write to most formats.
    return pa.string() if pa.types.is_null(kind) else kind


def _too_fine(path: str, kind: pa.DataType) -> str:
    zone = f', "{kind.tz}"' if pa.types.is_timestamp(kind) and kind.tz else ""
    cure = "duration" if pa.types.is_duration(kind) else "timestamp"
    return (
        f"column {path!r} holds {kind}, and Spark's times are of microseconds; cast it to "
        f'pa.{cure}("us"{zone}) first, for example in dataset.map_batches(…, batch_format="pyarrow")'
    )
