"""From a Spark DataFrame to a Ray Dataset, in memory, through Arrow.

    executor's Python worker ── Arrow stream over a Unix socket ──> receiver, a Ray actor on the same node
                                                                        │ puts each block into the store as it fills
                                                                        v
                                                       settling task on that node, from which the blocks have lineage
                                                                        │
                                                                        v
                                                              object store, blocks owned by the driver

A task attempt counts once Spark has reported it as successful: blocks of attempts that failed, or that lost to a
speculative twin, are dropped. Nothing here asks Ray for a CPU, because on a small machine the executors hold them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray
from pyspark.sql import DataFrame
from ray.data import DataContext, Dataset
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import FromArrow
from ray.data._internal.stats import DatasetStats
from ray.data.block import BlockMetadata, BlockMetadataWithSchema
from ray.data.dataset import MaterializedDataset

from connectors.spark import arrow_schema_of, arrow_to_spark_schema
from connectors.spark_batches import map_in_arrow
from pipelines.arrivals import Arrivals
from pipelines.block_files import BlockFiles
from pipelines.landing import RECEIPTS, LandOnRay
from pipelines.settling import Settled, Settler
from pipelines.spark_job import collect
from pipelines.streaming import stream

if TYPE_CHECKING:
    from pipelines.feeds import Batches


def to_ray(frame: DataFrame, *, checkpoint: str | None = None, streaming: bool = False) -> Dataset:
    """Bring a DataFrame into Ray and return it as a Dataset.

    Without `streaming`, all rows are in Ray's object store when this returns, and need Spark no more. Blocks are of 32
    to 256 MiB, or one where all is less; rows keep their order within each Spark partition.

    With `streaming`, the Dataset is computed by Spark while it is consumed, anew each time, and never whole in memory;
    a slow consumer holds Spark back. It can be read for as long as Spark is up. See `pipelines.streaming`.

    Args:
        frame: any frame whose types Arrow has: it is computed once, or with `streaming` once each time that the
            Dataset is consumed.
        checkpoint: a directory that every node reaches, as an absolute path or a URI (``s3://…``): copies of the blocks
            are written there, in a directory of their own, and when a node is lost its blocks are read again from
            there. They are yours to take away, once the Dataset is done with. None: a lost node's blocks are gone, and
            reading them raises `BlocksLostError`.
        streaming: as above; takes no checkpoint.

    Raises:
        TypeError: it is no Spark DataFrame.
        ValueError: both `checkpoint` and `streaming`.
        SourceSchemaError: a column's type has no Arrow counterpart.
        HandoffError: Spark failed, a receiver was lost, or the checkpoint cannot be written.
        SessionError: nothing ran for `pipelines.spark_job.STALL_SECONDS`.
    """
    if not isinstance(frame, DataFrame):
        raise TypeError(
            f"to_ray takes a Spark DataFrame, and was given {type(frame).__module__}.{type(frame).__name__}; "
            "ray.data.from_pandas, from_arrow and the like bring other frames into Ray"
        )
    schema = arrow_schema_of(frame)
    if streaming:
        if checkpoint is not None:
            raise ValueError("a streaming Dataset is computed anew where it fails, and takes no checkpoint; drop one")
        return stream(frame, schema)
    files = BlockFiles(checkpoint) if checkpoint is not None else None
    return land(frame, schema, lambda end: end.send, files=files).get("") or empty_dataset(schema)


def land(
    frame: DataFrame,
    schema: pa.Schema,
    work: Callable[[LandOnRay], Callable[[Batches], Batches]],
    *,
    group_by: str | None = None,
    files: BlockFiles | None = None,
) -> dict[str, Dataset]:
    """Run a last pass over `frame` whose end lands in Ray, and return a Dataset for each group of rows.

    Args:
        frame: what the pass is fed with.
        schema: the columns that come out of the pass and land.
        work: given the end that sends the rows to Ray, returns the pass: what ``mapInArrow`` runs on a partition.
        group_by: a string column of `schema`; each of its values gets a Dataset of its own. None: one Dataset, "".
        files: where copies of the blocks go; None keeps none.

    Raises:
        HandoffError: Spark failed, a receiver was lost, or a copy cannot be written.
        SessionError: nothing ran for `pipelines.spark_job.STALL_SECONDS`.
    """
    try:
        with Arrivals(Settler(files)) as arrivals:
            end = LandOnRay(arrivals.addresses, schema, group_by)
            landing = map_in_arrow(frame, work(end), arrow_to_spark_schema(RECEIPTS))
            receipts = collect(landing, "hand-over to Ray", arrivals.check)
            settled = arrivals.keep({(row.partition, row.attempt): row.rows for row in receipts})
        if files is not None:
            files.publish([block.file for block in settled if block.file is not None])
    except BaseException:
        if files is not None:
            files.remove()
        raise
    groups: dict[str, list[Settled]] = {}
    for block in settled:
        groups.setdefault(block.group, []).append(block)
    return {
        group: _dataset([block.block for block in blocks], [_metadata(block) for block in blocks])
        for group, blocks in groups.items()
    }


def empty_dataset(schema: pa.Schema) -> Dataset:
    """Return a Dataset of no rows that has the columns of `schema`."""
    table = schema.empty_table()
    return _dataset([ray.put(table)], [BlockMetadataWithSchema.from_block(table)])


def _metadata(block: Settled) -> BlockMetadataWithSchema:
    size = BlockMetadata(block.rows, block.size_bytes, exec_stats=None, input_files=None)
    return BlockMetadataWithSchema.from_metadata(size, block.schema)


def _dataset(blocks: Sequence[ray.ObjectRef[Any]], metadata: Sequence[BlockMetadataWithSchema]) -> Dataset:
    """Make a Dataset of blocks whose metadata is known.

    Like `ray.data.from_arrow_refs`, but without its task per block, which would wait for a CPU that Spark holds.
    """
    context = DataContext.get_current().copy()
    plan = LogicalPlan(FromArrow(cast(Any, list(blocks)), list(metadata)), context)
    return MaterializedDataset(plan, context, DatasetStats(metadata={"FromArrow": list(metadata)}, parent=None))
