"""From a Ray Dataset to a Spark DataFrame, in memory, through Arrow: the hand-over the other way round.

object store ──> sender, a Ray actor on each node ── Arrow stream over a Unix socket ──> executor's Python worker
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from pyspark.sql import DataFrame
from ray.data import Dataset
from ray.data.block import Block, BlockAccessor
from ray.data.dataset import MaterializedDataset

from connectors.arrow_types import plain_type
from connectors.spark import arrow_to_spark_schema, spark_to_arrow_schema
from pipelines.errors import HandoffError
from pipelines.fetching import FetchFromRay
from pipelines.node_actors import addresses_of, end, living_nodes, on_each_node
from pipelines.sender import Sender

if TYPE_CHECKING:
    from pipelines.session import Session


def to_spark(dataset: Dataset, session: Session) -> DataFrame:
    """Return a frame of a Dataset's rows, in Arrow's types as Spark has them; one Spark partition for each block.

    Types that Spark lacks and another holds as well (see `connectors.arrow_types.plain_type`) become that other.

    A lazy Dataset is computed now. The blocks must stay where they are for as long as the frame is used, which is at
    most until the session releases Spark.

    Raises:
        HandoffError: the Dataset has to be computed and Spark holds every CPU, or its blocks do not have columns of
            one type each.
        SourceSchemaError: a column's type is none of Spark's.
    """
    if not isinstance(dataset, MaterializedDataset):
        if ray.available_resources().get("CPU", 0.0) < 1:
            raise HandoffError(
                "the Dataset is lazy, and Spark holds every CPU that could compute it; call .materialize() on it "
                "before the session starts Spark, or give the session fewer executor_cores"
            )
        dataset = dataset.materialize()
    blocks = [block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]
    found = _arrow_schema(dataset, blocks)
    spark_schema = arrow_to_spark_schema(pa.schema([field.with_type(plain_type(field.type)) for field in found]))
    senders = on_each_node(living_nodes(), Sender, blocks, spark_to_arrow_schema(spark_schema))
    session.at_release(lambda: end(senders))
    fetch = FetchFromRay(addresses_of(senders))
    numbers = session.spark.range(0, len(blocks), 1, max(1, len(blocks)))
    return numbers.mapInArrow(fetch, spark_schema)


def frame_of(data: DataFrame | Dataset, session: Session) -> DataFrame:
    """Return `data` as a frame of the session's Spark, whichever of the two it is."""
    return data if isinstance(data, DataFrame) else to_spark(data, session)


def _arrow_schema(dataset: Dataset, blocks: Sequence[ray.ObjectRef[Any]]) -> pa.Schema:
    """Return the columns of a Dataset; where its blocks are pandas frames, those of all blocks together."""
    found = dataset.schema()
    if found is not None and isinstance(found.base_schema, pa.Schema):
        return found.base_schema
    # It asks for no CPU, because Spark may hold them all.
    ask = ray.remote(num_cpus=0)(_arrow_schema_of)
    try:
        return pa.unify_schemas(ray.get([ask.remote(block) for block in blocks]), promote_options="permissive")
    except (pa.ArrowException, ray.exceptions.RayTaskError) as error:
        raise HandoffError(
            f"the Dataset's blocks do not have columns of one type each: {error}; make it one of rows "
            "with named columns"
        ) from error


def _arrow_schema_of(block: Block) -> pa.Schema:
    return BlockAccessor.for_block(block).to_arrow().schema
