"""The driver's part of a landing: receivers on every node, and the blocks that have arrived at them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ray

from pipelines.errors import HandoffError
from pipelines.idle_receivers import give_back, take
from pipelines.landing import Address
from pipelines.node_actors import ANSWER_SECONDS, answers_of, end, living_nodes
from pipelines.receiver import BlockLabel, BrokenOff
from pipelines.settling import Arrived, Settled, Settler, forget, gathered

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
        self._nodes: list[str] = []
        self._actors: list[Any] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Arrivals:
        self._nodes = living_nodes()
        self._actors = take(self._nodes)
        try:
            self.addresses = answers_of([actor.begin.remote(self._settler.at_once) for actor in self._actors])
        except HandoffError:
            end(self._actors)
            raise
        for node, receiver in zip(self._nodes, self._actors, strict=True):
            self._threads.append(threading.Thread(target=self._drain, args=(receiver, node), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            give_back(self._nodes, self._actors)
        else:
            end(self._actors)
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)
        # An error that somebody keeps, as a notebook keeps the last one, keeps this too, and must not keep blocks.
        self._settled.clear()

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
        self._settled.clear()
        forget([one for of_others in self._small.values() for one in of_others])
        self._small.clear()
        kept += self._gather(gathered(small))
        self._settler.finish()
        return sorted(kept, key=lambda one: one.place)

    def _gather(self, piles: Sequence[Sequence[Arrived]]) -> list[Settled]:
        """Settle piles, on all nodes at the same time."""
        of_nodes: defaultdict[str, list[Sequence[Arrived]]] = defaultdict(list)
        for pile in piles:
            of_nodes[pile[0].node].append(pile)
        with ThreadPoolExecutor(max(1, len(of_nodes))) as threads:
            settled = threads.map(lambda of_node: [*map(self._settler.settle, of_node)], of_nodes.values())
            return [one for of_node in settled for one in of_node]

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

    def _drain(self, receiver: Any, node: str) -> None:
        try:
            stream: Any = receiver.labels.options(num_returns="streaming").remote()
            for reference in stream:
                self._take(ray.get(reference), receiver, node)
            ray.get(stream.completed())  # raises what ended the stream early, if anything did
        except BaseException as error:  # looked at by the thread that waits
            self._failures.append(error)

    def _take(self, label: BlockLabel | BrokenOff, receiver: Any, node: str) -> None:
        task = (label.partition, label.attempt)
        if isinstance(label, BrokenOff):
            forget(self._small.pop(task, ()))
            self._settled.pop(task, None)
            self._rows.pop(task, None)
            return
        one = Arrived(label, receiver, node)
        self._rows[task] += label.rows
        if label.is_small:
            self._small[task].append(one)
        else:
            self._settled[task].append(self._settler.settle([one]))
