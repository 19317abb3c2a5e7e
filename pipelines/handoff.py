"""From a Spark DataFrame to Ray Datasets and back, in memory, through Arrow.

    executor's Python worker ── Arrow stream over a Unix socket ──> receiver, a Ray actor on the same node
                                                                        │ returns each block as it is filled
                                                                        v
                                                              object store, blocks owned by the driver

The blocks are return values of the receiver's task, so they belong to the driver and outlive both the receiver and
Spark. A task attempt counts once Spark has reported it as successful: blocks of attempts that failed, or that lost to a
speculative twin, are dropped. Receivers ask Ray for no CPU, because on a small machine the executors hold them all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import ray
from pyspark.sql import DataFrame, Row
from ray.data import DataContext, Dataset
from ray.data._internal.logical.interfaces import LogicalPlan
from ray.data._internal.logical.operators import FromArrow
from ray.data._internal.stats import DatasetStats
from ray.data.block import Block, BlockAccessor, BlockMetadataWithSchema
from ray.data.dataset import MaterializedDataset
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from connectors.arrow_types import plain_type
from connectors.spark import arrow_to_spark_schema, spark_to_arrow_schema
from pipelines.errors import HandoffError
from pipelines.fetching import FetchFromRay
from pipelines.landing import RECEIPTS, LandOnRay
from pipelines.receiver import BlockLabel, Receiver
from pipelines.sender import Sender
from pipelines.spark_job import collect

if TYPE_CHECKING:
    from pipelines.passes import Batches
    from pipelines.session import Session

_ANSWER_SECONDS = 60.0
_STOP_SECONDS = 5.0


def to_ray(frame: DataFrame) -> Dataset:
    """Bring a DataFrame into Ray's object store and return it as a Dataset, which stays readable without Spark.

    The rows keep their order within each Spark partition, and the partitions theirs.

    Args:
        frame: any frame whose types Arrow has: it is computed once.

    Raises:
        SourceSchemaError: a column's type has no Arrow counterpart.
        HandoffError: Spark failed, or a receiver was lost.
        SessionError: nothing ran for `pipelines.spark_job.STALL_SECONDS`.
    """
    schema = spark_to_arrow_schema(frame.schema)
    return land(frame, schema, lambda end: end.send).get("") or empty_dataset(schema)


def land(
    frame: DataFrame,
    schema: pa.Schema,
    work: Callable[[LandOnRay], Callable[[Batches], Batches]],
    *,
    group_by: str | None = None,
) -> dict[str, Dataset]:
    """Run a last pass over `frame` whose end lands in Ray, and return a Dataset for each group of rows.

    Args:
        frame: what the pass is fed with.
        schema: the columns that come out of the pass and land.
        work: given the end that sends the rows to Ray, returns the pass: what ``mapInArrow`` runs on a partition.
        group_by: a string column of `schema`; each of its values gets a Dataset of its own. None: one Dataset, "".

    Raises:
        HandoffError: Spark failed, or a receiver was lost.
        SessionError: nothing ran for `pipelines.spark_job.STALL_SECONDS`.
    """
    with _Receivers() as receivers:
        end = LandOnRay(receivers.addresses, schema, group_by)
        landing = frame.mapInArrow(work(end), arrow_to_spark_schema(RECEIPTS))
        receipts = collect(landing, "hand-over to Ray", receivers.check)
        receivers.finish()
        return _keep(receivers.landed, receipts)


def empty_dataset(schema: pa.Schema) -> Dataset:
    """Return a Dataset of no rows that has the columns of `schema`."""
    table = schema.empty_table()
    return _dataset([ray.put(table)], [BlockMetadataWithSchema.from_block(table)])


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
    senders = _on_each_node(Sender, blocks, spark_to_arrow_schema(spark_schema))
    session.at_release(lambda: _end(senders))
    fetch = FetchFromRay(_addresses(senders))
    numbers = session.spark.range(0, len(blocks), 1, max(1, len(blocks)))
    return numbers.mapInArrow(fetch, spark_schema)


def frame_of(data: DataFrame | Dataset, session: Session) -> DataFrame:
    """Return `data` as a frame of the session's Spark, whichever of the two it is."""
    return data if isinstance(data, DataFrame) else to_spark(data, session)


@dataclass(frozen=True)
class _Landed:
    """A block in the object store, and what its receiver said of it."""

    label: BlockLabel
    block: ray.ObjectRef[Any]


@dataclass
class _Receivers:
    """One receiver on each node, and the blocks that they have given out so far."""

    landed: list[_Landed] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    addresses: tuple[str, ...] = ()
    _actors: list[Any] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> _Receivers:
        self._actors = _on_each_node(Receiver)
        try:
            self.addresses = _addresses(self._actors)
        except HandoffError:
            self.__exit__()
            raise
        for receiver in self._actors:
            stream: Any = receiver.blocks.options(num_returns="streaming").remote()
            self._threads.append(threading.Thread(target=self._drain, args=(stream,), daemon=True))
            self._threads[-1].start()
        return self

    def finish(self) -> None:
        """Wait until every block that was acknowledged has been given out.

        Raises:
            HandoffError: a receiver was lost, or does not come to an end.
        """
        try:
            ray.get([receiver.stop.remote() for receiver in self._actors], timeout=_ANSWER_SECONDS)
        except ray.exceptions.RayError as error:
            raise HandoffError(f"a receiver was lost after the rows had been sent: {error}") from error
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS)
            if thread.is_alive():
                raise HandoffError(f"a receiver did not give its blocks out within {_ANSWER_SECONDS:.0f} s")
        self.check()

    def check(self) -> None:
        """Raise HandoffError if a receiver was lost."""
        if self.failures:
            raise HandoffError(
                f"a receiver of the hand-over was lost: {self.failures[0]}; its node went away or ran out of memory"
            ) from self.failures[0]

    def __exit__(self, *_: object) -> None:
        _end(self._actors)
        for thread in self._threads:
            thread.join(_ANSWER_SECONDS)

    def _drain(self, stream: Any) -> None:
        try:
            for label in stream:
                self.landed.append(_Landed(ray.get(label), next(stream)))
            ray.get(stream.completed())  # raises what ended the stream early, if anything did
        except BaseException as error:  # looked at by the thread that waits
            self.failures.append(error)


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


def _on_each_node(kind: type, *arguments: object) -> list[Any]:
    """Start an actor on every living node; it asks for no CPU, and answers while it works."""
    actor: Any = ray.remote(kind)
    return [
        actor.options(
            num_cpus=0,
            max_concurrency=4,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote(*arguments)
        for node in ray.nodes()
        if node["Alive"]
    ]


def _addresses(actors: Sequence[Any]) -> tuple[str, ...]:
    try:
        return tuple(ray.get([actor.address.remote() for actor in actors], timeout=_ANSWER_SECONDS))
    except ray.exceptions.RayError as error:
        raise HandoffError(
            f"an end of the hand-over did not start within {_ANSWER_SECONDS:.0f} s: {error}; see `ray status`"
        ) from error


def _end(actors: Sequence[Any]) -> None:
    """Let the actors take their sockets away, and end them."""
    ray.wait([actor.stop.remote() for actor in actors], num_returns=len(actors), timeout=_STOP_SECONDS)
    for actor in actors:
        ray.kill(actor)


def _keep(landed: Sequence[_Landed], receipts: Sequence[Row]) -> dict[str, Dataset]:
    """Keep the blocks of the attempts that succeeded, and check that all their rows have come."""
    wanted = {(row.partition, row.attempt): row.rows for row in receipts}
    arrived = dict.fromkeys(wanted, 0)
    groups: dict[str, list[_Landed]] = {}
    for block in sorted(landed, key=lambda one: (one.label.partition, one.label.sequence)):
        task = (block.label.partition, block.label.attempt)
        if task in wanted:
            arrived[task] += block.label.metadata.num_rows or 0
            groups.setdefault(block.label.group, []).append(block)
    short = [task for task in wanted if arrived[task] != wanted[task]]
    if short:
        partition, attempt = short[0]
        raise HandoffError(
            f"partition {partition} sent {wanted[short[0]]} rows in attempt {attempt} and {arrived[short[0]]} arrived; "
            "this is a fault of Headrace's: please report it"
        )
    return {
        group: _dataset([block.block for block in blocks], [block.label.metadata for block in blocks])
        for group, blocks in groups.items()
    }


def _dataset(blocks: Sequence[ray.ObjectRef[Any]], metadata: Sequence[BlockMetadataWithSchema]) -> Dataset:
    """Make a Dataset of blocks whose metadata is known.

    Like `ray.data.from_arrow_refs`, but without its task per block, which would wait for a CPU that Spark holds.
    """
    context = DataContext.get_current().copy()
    plan = LogicalPlan(FromArrow(cast(Any, list(blocks)), list(metadata)), context)
    return MaterializedDataset(plan, context, DatasetStats(metadata={"FromArrow": list(metadata)}, parent=None))
