"""Where the receivers of streaming hand-overs and the threads of the driver that run their Spark jobs find each other.

One actor serves all the streams of a driver, as to start one takes a second, which a first batch would wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.errors import HandoffError
from pipelines.landing import Address
from pipelines.node_actors import ANSWER_SECONDS

_MOST_AT_ONCE = 1000
"""Calls that may wait at one time: each receiver waits for its end, and each stream for its receivers."""

_lock = threading.Lock()
_shared: Any = None


def shared_desk() -> Any:
    """Return the desk of this process, an actor on its node; one is started where none answers."""
    global _shared
    with _lock:
        if _shared is None or not _answers(_shared):
            here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            actor: Any = ray.remote(Desk)
            _shared = actor.options(num_cpus=0, max_concurrency=_MOST_AT_ONCE, scheduling_strategy=here).remote()
        return _shared


def forget_desk() -> None:
    """Let the desk end once the streams that use it have gone."""
    global _shared
    with _lock:
        _shared = None


def _answers(desk: Any) -> bool:
    try:
        ray.get(desk.answer.remote(), timeout=ANSWER_SECONDS)
    except Exception:  # Ray has no narrower one for an actor of a Ray that has ended
        return False
    return True


@dataclass
class _Seat:
    """A receiver that waits for a job, or has one."""

    node: str
    address: Address
    outcome: asyncio.Future[str | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, error: str | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(error)


@dataclass
class _Stream:
    """The receivers of one stream, those of jobs that run and those that wait for one.

    Attributes:
        seats: by their numbers.
        taken: the numbers of those that have a job.
        tasks: the Ray tasks that had a seat.
        closed: why nobody is served any more.
        changed: notified when somebody sits down.
    """

    seats: dict[int, _Seat] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    closed: str = ""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def waiting(self) -> dict[str, int]:
        """Return the number of a seat that waits for a job, by its node."""
        return {seat.node: number for number, seat in self.seats.items() if number not in self.taken}


class Desk:
    """Brings together, for each stream, its receivers and the thread that runs its Spark jobs; an actor."""

    def __init__(self) -> None:
        self._streams: defaultdict[str, _Stream] = defaultdict(_Stream)
        self._next = 0

    async def answer(self) -> None:
        """Do nothing: it lives."""

    async def sit(self, stream: str, node: str, address: Address, task: str) -> int:
        """Take a seat on a node; returns its number.

        Raises:
            HandoffError: the task had a seat before: it was lost after it had given rows out, and is run again.
        """
        its = self._streams[stream]
        if task in its.tasks:
            raise HandoffError(
                "a receiver of the streaming hand-over was lost, and the rows that it has given out cannot be taken "
                "back; consume the Dataset again from its beginning, or hand the frame over without streaming"
            )
        its.tasks.add(task)
        self._next += 1
        number = self._next
        its.seats[number] = seat = _Seat(node, address)
        if its.closed:
            seat.end(its.closed)
        async with its.changed:
            its.changed.notify_all()
        return number

    async def outcome(self, stream: str, number: int) -> str | None:
        """Wait for the end of the job that a seat is part of; returns what went wrong, or None."""
        return await self._streams[stream].seats[number].outcome

    async def leave(self, stream: str, number: int) -> None:
        """Leave a seat."""
        self._streams[stream].seats.pop(number, None)

    async def next_job(self, stream: str, nodes: list[str], seconds: float) -> dict[int, Address] | None:
        """Return a seat on each of the nodes that no job has yet, as soon as there is; None when it takes longer."""
        its = self._streams[stream]
        try:
            async with its.changed:
                complete = its.changed.wait_for(lambda: set(nodes) <= set(its.waiting()))
                await asyncio.wait_for(complete, seconds)
        except asyncio.TimeoutError:
            return None
        numbers = its.waiting().values()
        its.taken.update(numbers)
        return {number: its.seats[number].address for number in numbers}

    async def has_left(self, stream: str, numbers: list[int]) -> bool:
        """Tell whether one of the seats is empty."""
        return any(number not in self._streams[stream].seats for number in numbers)

    async def finish(self, stream: str, numbers: list[int], error: str | None) -> None:
        """Tell the receivers on these seats how their job ended."""
        seats = self._streams[stream].seats
        for number in numbers:
            if number in seats:
                seats[number].end(error)

    async def close(self, stream: str, reason: str) -> None:
        """Turn away all who sit here, and all who come."""
        self._streams[stream].closed = reason
        await self.finish(stream, list(self._streams[stream].seats), reason)
