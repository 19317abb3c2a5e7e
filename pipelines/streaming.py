"""The streaming hand-over: a Dataset that Spark computes while it is consumed.

    driver     a thread that runs the Spark job once receivers have taken their seats ── conducts ──┐
    desk       an actor that brings the two together: who waits, who has left, how it ended         │
    node       a Ray Data read task that is the receiver; its blocks are the Dataset's <── rows <───┘

Ray Data pulls; a slow consumer fills the receivers' queues, which stop reading, which holds Spark's tasks back.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import ray
from pyspark.sql import DataFrame
from ray.data import Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata

from connectors.spark import arrow_to_spark_schema
from connectors.spark_batches import map_in_arrow
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
    desk: Any = ray.remote(Desk).options(num_cpus=0, max_concurrency=1000).remote(nodes)
    sources = [SparkStream(desk, node, schema) for node in nodes]
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
    conductor = _Conductor(frame, schema, desk, [weakref.ref(source) for source in sources])
    threading.Thread(target=conductor.conduct, name="headrace-stream", daemon=True).start()
    return parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0]


class SparkStream(Datasource):
    """What Ray Data reads on one node: the rows that the executors there compute.

    Args:
        desk: where the receiver takes its seat.
        node: the node.
        schema: of the rows.
    """

    def __init__(self, desk: Any, node: str, schema: pa.Schema) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = node
        self._desk, self._schema = desk, schema

    def estimate_inmemory_data_size(self) -> int | None:
        """Return None: it is known once Spark has computed it."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: object = None
    ) -> list[ReadTask]:
        """Return the one task that receives."""
        desk, node, schema = self._desk, self.node, self._schema
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(lambda: _receive(desk, node, schema), unknown, schema, per_task_row_limit)]


@dataclass
class _Seat:
    """A receiver that waits for a job, or has one."""

    node: str
    address: Address
    outcome: asyncio.Future[str | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Desk:
    """Brings the receivers and the thread that runs Spark jobs together; an actor.

    Args:
        nodes: the nodes that must each have a receiver before a job can run.
    """

    def __init__(self, nodes: list[str]) -> None:
        self._nodes = nodes
        self._seats: dict[int, _Seat] = {}
        self._taken: set[int] = set()
        self._tasks: set[str] = set()
        self._seated = asyncio.Condition()
        self._closed = ""
        self._next = 0

    async def sit(self, node: str, address: Address, task: str) -> int:
        """Take a seat on a node; returns its number.

        Raises:
            HandoffError: the task had a seat before: it was lost after it had given rows out, and is run again.
        """
        if task in self._tasks:
            raise HandoffError(
                "a receiver of the streaming hand-over was lost, and the rows that it has given out cannot be taken "
                "back; consume the Dataset again from its beginning, or hand the frame over without streaming"
            )
        self._tasks.add(task)
        self._next += 1
        self._seats[self._next] = seat = _Seat(node, address)
        if self._closed:
            seat.outcome.set_result(self._closed)
        async with self._seated:
            self._seated.notify_all()
        return self._next

    async def outcome(self, number: int) -> str | None:
        """Wait for the end of the job that a seat is part of; returns what went wrong, or None."""
        return await self._seats[number].outcome

    async def leave(self, number: int) -> None:
        """Leave a seat."""
        self._seats.pop(number, None)

    async def next_job(self, seconds: float) -> dict[int, Address] | None:
        """Return a seat on each node that no job has yet, as soon as there is; None when it takes longer."""
        try:
            async with self._seated:
                await asyncio.wait_for(self._seated.wait_for(self._is_complete), seconds)
        except asyncio.TimeoutError:
            return None
        waiting = self._waiting()
        self._taken.update(waiting.values())
        return {number: self._seats[number].address for number in waiting.values()}

    async def has_left(self, numbers: list[int]) -> bool:
        """Tell whether one of the seats is empty."""
        return any(number not in self._seats for number in numbers)

    async def finish(self, numbers: list[int], error: str | None) -> None:
        """Tell the receivers on these seats how their job ended."""
        for number in numbers:
            if number in self._seats and not self._seats[number].outcome.done():
                self._seats[number].outcome.set_result(error)

    async def close(self, reason: str) -> None:
        """Turn away all who sit here, and all who come."""
        self._closed = reason
        await self.finish(list(self._seats), reason)

    def _waiting(self) -> dict[str, int]:
        return {seat.node: number for number, seat in self._seats.items() if number not in self._taken}

    def _is_complete(self) -> bool:
        waiting = self._waiting()
        return all(node in waiting for node in self._nodes)


class _ConsumerGoneError(PipelineError):
    """Nobody reads on: the job is to end, and nobody is to be told."""


@dataclass(frozen=True)
class _Conductor:
    """Runs the Spark job of a streaming Dataset whenever it is consumed, for as long as Spark is up."""

    frame: DataFrame
    schema: pa.Schema
    desk: Any
    sources: Sequence[weakref.ref[SparkStream]]

    def conduct(self) -> None:
        """Wait for receivers and run their jobs, until Spark or the Dataset has gone."""
        try:
            while self._spark_is_up() and any(source() is not None for source in self.sources):
                seats = self._ask(lambda: self.desk.next_job.remote(_LOOK_SECONDS))
                if seats is not None:
                    threading.Thread(target=self._run, args=(seats,), name="headrace-stream-job", daemon=True).start()
            self._ask(lambda: self.desk.close.remote(_RELEASED))
        except (ray.exceptions.RayError, ConnectionError, RuntimeError):
            return  # Ray has gone, and the receivers with it

    def _run(self, seats: dict[int, Address]) -> None:
        numbers = list(seats)

        def watch() -> None:
            if self._ask(lambda: self.desk.has_left.remote(numbers)):
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
        self._ask(lambda: self.desk.finish.remote(numbers, error))

    def _ask(self, call: Callable[[], Any]) -> Any:
        return ray.get(call(), timeout=ANSWER_SECONDS)

    def _spark_is_up(self) -> bool:
        return self.frame.sparkSession.sparkContext._jsc is not None


def _receive(desk: Any, node: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Receive the rows that this node's executors compute; runs in a read task."""
    receiver = StreamReceiver()
    task = ray.get_runtime_context().get_task_id()
    seat = ray.get(desk.sit.remote(node, receiver.address, task), timeout=ANSWER_SECONDS)

    def await_end() -> None:
        try:
            error = ray.get(desk.outcome.remote(seat))
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
        desk.leave.remote(seat)
