"""The streaming hand-over: a Dataset that Spark computes while it is consumed.

    driver     a thread that runs the Spark job once receivers have taken their seats ── conducts ──┐
    desk       an actor that brings the two together: who waits, who has left, how it ended         │
    node       a Ray Data read task that is the receiver; its blocks are the Dataset's <── rows <───┘

Ray Data pulls; a slow consumer fills the receivers' queues, which stop reading, which holds Spark's tasks back.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from pyspark.sql import DataFrame
from ray.data import Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata

from connectors.spark import arrow_to_spark_schema
from connectors.spark_batches import map_in_arrow
from pipelines.desk import shared_desk
from pipelines.errors import HandoffError, PipelineError
from pipelines.landing import RECEIPTS, Address, LandOnRay
from pipelines.node_actors import ANSWER_SECONDS, living_nodes
from pipelines.spark_job import collect
from pipelines.stream_receiver import GATHERED_BYTES, StreamReceiver

_LOOK_SECONDS = 0.5
_RELEASED = (
    "Spark was released, or its driver has gone, and a streaming Dataset is computed while it is consumed; keep the "
    "session's Spark until then, or hand the frame over without streaming"
)


def stream(frame: DataFrame, schema: pa.Schema) -> Dataset:
    """Return a Dataset that computes `frame` each time it is consumed; see `pipelines.handoff.to_ray`.

    It can be consumed for as long as Spark is up and this process keeps it, or a Dataset made of it.
    """
    nodes = living_nodes()
    desk, name = shared_desk(), uuid.uuid4().hex
    sources = [SparkStream(desk, name, node, schema) for node in nodes]
    parts: list[Dataset] = [
        ray.data.read_datasource(
            source,
            num_cpus=0,  # they are Spark's
            label_selector={"ray.io/node-id": source.node},
            override_num_blocks=1,
        )
        for source in sources
    ]
    for part in parts:
        part.context.target_max_block_size = GATHERED_BYTES  # Ray Data would gather up to 128 MiB before the first
    conductor = _Conductor(frame, schema, desk, name, nodes, [weakref.ref(source) for source in sources])
    threading.Thread(target=conductor.conduct, name="headrace-stream", daemon=True).start()
    return parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]


class SparkStream(Datasource):
    """What Ray Data reads on one node: the rows that the executors there compute.

    Args:
        desk: where the receiver takes its seat.
        name: the stream's at the desk.
        node: the node.
        schema: of the rows.
    """

    def __init__(self, desk: Any, name: str, node: str, schema: pa.Schema) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = node
        self._desk, self._name, self._schema = desk, name, schema

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: it is known once Spark has computed it."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """Return the one task that receives."""
        desk, name, node, schema = self._desk, self._name, self.node, self._schema
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(lambda: _receive(desk, name, node, schema), unknown, schema, per_task_row_limit)]


class _ConsumerGoneError(PipelineError):
    """Nobody reads on: the job is to end, and nobody is to be told."""


@dataclass(frozen=True)
class _Conductor:
    """Runs the Spark job of a streaming Dataset whenever it is consumed, for as long as Spark is up."""

    frame: DataFrame
    schema: pa.Schema
    desk: Any
    name: str
    nodes: list[str]
    sources: Sequence[weakref.ref[SparkStream]]

    def conduct(self) -> None:
        """Wait for receivers and run their jobs, until Spark or the Dataset has gone."""
        try:
            while self._spark_is_up() and any(source() is not None for source in self.sources):
                seats = self._ask(lambda: self.desk.next_job.remote(self.name, self.nodes, _LOOK_SECONDS))
                if seats is not None:
                    threading.Thread(target=self._run, args=(seats,), name="headrace-stream-job", daemon=True).start()
            self._ask(lambda: self.desk.close.remote(self.name, _RELEASED))
        except (ray.exceptions.RayError, ConnectionError, RuntimeError):
            return  # Ray has gone, and the receivers with it

    def _run(self, seats: dict[int, Address]) -> None:
        numbers = list(seats)

        def watch() -> None:
            if self._ask(lambda: self.desk.has_left.remote(self.name, numbers)):
                raise _ConsumerGoneError

        end = LandOnRay(tuple(seats.values()), self.schema, patient=True)
        landing = map_in_arrow(self.frame, end.send, arrow_to_spark_schema(RECEIPTS))
        error: str | None = None
        try:
            collect(landing, "streaming hand-over to Ray", watch)
        except _ConsumerGoneError:
            return
        except Exception as failure:  # told to whoever consumes the Dataset
            error = str(failure) if self._spark_is_up() else _RELEASED
        self._ask(lambda: self.desk.finish.remote(self.name, numbers, error))

    def _ask(self, call: Callable[[], Any]) -> Any:
        return ray.get(call(), timeout=ANSWER_SECONDS)

    def _spark_is_up(self) -> bool:
        return self.frame.sparkSession.sparkContext._jsc is not None


def _receive(desk: Any, name: str, node: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Receive the rows that this node's executors compute; runs in a read task."""
    receiver = StreamReceiver()
    task = ray.get_runtime_context().get_task_id()
    seat = ray.get(desk.sit.remote(name, node, receiver.address, task), timeout=ANSWER_SECONDS)

    def await_end() -> None:
        try:
            error = ray.get(desk.outcome.remote(name, seat))
        except ray.exceptions.RayError as lost:
            error = f"{_RELEASED} ({lost})"
        receiver.end(HandoffError(error) if error else None)

    threading.Thread(target=await_end, name="headrace-stream-end", daemon=True).start()
    try:
        empty = True
        for block in receiver.blocks():
            empty = False
            yield block
        if empty:
            yield schema.empty_table()
    finally:
        receiver.close()
        desk.leave.remote(name, seat)
