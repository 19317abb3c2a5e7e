"""The driver's part of a landing: receivers on every node, and the blocks that have arrived at them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import ray

from pipelines.errors import HandoffError
from pipelines.landing import Address
from pipelines.node_actors import ANSWER_SECONDS, addresses_of, end, living_nodes, on_each_node
from pipelines.receiver import BlockLabel, Receiver
from pipelines.settling import Arrived, Settled, Settler, gathered

# Label and block count as one each: so many may lie in the store that the driver has not looked at.
_AHEAD = 8

Task = tuple[int, int]
"""A Spark partition, and the id of an attempt at it."""


class Arrivals:
    """Receivers for the time of a ``with`` block, and the blocks that they give out, settled as they come.

    A block of good size settles at once, so that landing overlaps computing; small ones wait for their neighbours
    until it is known which attempts have succeeded.

    Args:
        settler: makes blocks of a Dataset of what arrives.
    """

    def __init__(self, settler: Settler) -> None:
        self.addresses: tuple[Address, ...] = ()
        self._settler = settler
        self._small: defaultdict[Task, list[Arrived]] = defaultdict(list)
        self._settled: defaultdict[Task, list[Settled]] = defaultdict(list)
        self._rows: defaultdict[Task, int] = defaultdict(int)
        self._failures: list[BaseException] = []
        self._actors: list[Any] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Arrivals:
        nodes = living_nodes()
        self._actors = on_each_node(nodes, Receiver)
        try:
            self.addresses = addresses_of(self._actors)
        except HandoffError:
            self.__exit__()
            raise
        for node, receiver in zip(nodes, self._actors, strict=True):
            stream: Any = receiver.blocks.options(
                num_returns="streaming", _generator_backpressure_num_objects=_AHEAD
            ).remote()
            self._threads.append(threading.Thread(target=self._drain, args=(stream, node), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._actors)
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)

    def check(self) -> None:
        """Raise HandoffError if a receiver was lost, or a block could not settle."""
        if not self._failures:
            return
        error = self._failures[0]
        if isinstance(error, HandoffError):
            raise error
        raise HandoffError(
            f"a receiver of the hand-over was lost: {error}; its node went away or ran out of memory"
        ) from error

    def keep(self, receipts: Mapping[Task, int]) -> list[Settled]:
        """Return the blocks of the attempts that have succeeded, in their order, once all have settled.

        Args:
            receipts: the rows that each of these attempts has sent.

        Raises:
            HandoffError: a receiver was lost, or rows have not arrived.
        """
        self._finish()
        short = [task for task, rows in receipts.items() if self._rows.get(task, 0) != rows]
        if short:
            partition, attempt = short[0]
            raise HandoffError(
                f"partition {partition} sent {receipts[short[0]]} rows in attempt {attempt} and "
                f"{self._rows.get(short[0], 0)} arrived; this is a fault of Headrace's: please report it"
            )
        small = sorted(
            (one for task in receipts for one in self._small.pop(task, ())),
            key=lambda one: (one.label.partition, one.label.sequence),
        )
        kept = [one for task in receipts for one in self._settled.pop(task, ())]
        self._small.clear()
        self._settled.clear()
        piles = gathered(small)
        del small
        while piles:  # one by one, so that what has been gathered goes from the store
            kept.append(self._settler.settle(piles.pop()))
        self._settler.finish()
        return sorted(kept, key=lambda one: one.place)

    def _finish(self) -> None:
        """Wait until every block that was acknowledged has been given out."""
        try:
            ray.get([receiver.stop.remote() for receiver in self._actors], timeout=ANSWER_SECONDS)
        except ray.exceptions.RayError as error:
            raise HandoffError(f"a receiver was lost after the rows had been sent: {error}") from error
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)
            if thread.is_alive():
                raise HandoffError(f"a receiver did not give its blocks out within {ANSWER_SECONDS:.0f} s")
        self.check()

    def _drain(self, stream: Any, node: str) -> None:
        try:
            for reference in stream:
                label: BlockLabel = ray.get(reference)
                task = (label.partition, label.attempt)
                if label.metadata is None:
                    self._drop(task)
                    continue
                one = Arrived(label, next(stream), node)
                self._rows[task] += label.metadata.num_rows or 0
                if one.is_small:
                    self._small[task].append(one)
                else:
                    self._settled[task].append(self._settler.settle([one]))
                del one
            ray.get(stream.completed())  # raises what ended the stream early, if anything did
        except BaseException as error:  # looked at by the thread that waits
            self._failures.append(error)

    def _drop(self, task: Task) -> None:
        for of_tasks in (self._small, self._settled, self._rows):
            of_tasks.pop(task, None)
