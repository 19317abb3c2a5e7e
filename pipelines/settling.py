"""Turning what has arrived into the blocks of a Dataset: of a good size, and each made by a task that can be run again.

A receiver's blocks are whatever a partition had. A settling task on the same node gathers small ones, and keeps a copy
in durable storage where there is a checkpoint. Its result has lineage: when its node is lost, Ray runs the task again,
which reads the copy, or fails with an error that says how to have one. The task asks the receiver for the blocks, and
is not given them: what it is given stays for as long as its result does.

Free of Ray Data, as the receiver is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.block_files import BlockFile, BlockFiles
from pipelines.errors import BlocksLostError, HandoffError
from pipelines.receiver import SMALL_BYTES, BlockLabel

GATHERED_BYTES = SMALL_BYTES
"""Small blocks are gathered until they are as large as this."""

_GET_SECONDS = 60.0
_SETTLE_SECONDS = 600.0


@dataclass(frozen=True)
class Arrived:
    """A block that a receiver has in the object store: what it said of it, the receiver's actor, and its node."""

    label: BlockLabel
    receiver: Any
    node: str


def forget(blocks: Sequence[Arrived]) -> None:
    """Let the receivers let go of blocks."""
    for node in {one.node for one in blocks}:
        of_node = [one for one in blocks if one.node == node]
        of_node[0].receiver.forget.remote([one.label.number for one in of_node])


@dataclass(frozen=True)
class Settled:
    """A block of a Dataset.

    Attributes:
        place: where it stands among the Dataset's blocks: the partition of its first row, and the place in that.
        group: the group of its rows.
        block: the block.
        rows: how many rows it has.
        size_bytes: how large it is in Arrow's layout.
        schema: its columns.
        file: its copy in the checkpoint.
    """

    place: tuple[int, int]
    group: str
    block: ray.ObjectRef[Any]
    rows: int
    size_bytes: int
    schema: pa.Schema
    file: BlockFile | None


class Settler:
    """Runs settling tasks, a few at a time on each node.

    Args:
        files: where the copies go; None keeps none.

    Attributes:
        at_once: how many tasks run at the same time on a node. One keeps up with Spark where it only copies within the
            node's memory, and takes less of that; two where one waits for the storage that the copies go to.
    """

    def __init__(self, files: BlockFiles | None = None) -> None:
        self.at_once = 2 if files else 1
        self._files = files
        self._running: defaultdict[str, deque[tuple[ray.ObjectRef[Any], Sequence[Arrived]]]] = defaultdict(deque)

    def settle(self, parts: Sequence[Arrived]) -> Settled:
        """Make one block of `parts`, which are of one group and on one node, and have the parts forgotten.

        Returns once fewer than `at_once` are being made on that node.

        Raises:
            HandoffError: it, or one before, did not get done.
        """
        first = parts[0]
        file = self._files.new() if self._files else None
        task: Any = ray.remote(_settle).options(
            num_cpus=0,
            num_returns=2,
            max_retries=-1 if file else 3,
            # Soft, because a task that is run again finds its node gone.
            scheduling_strategy=NodeAffinitySchedulingStrategy(first.node, soft=True),
        )
        block, done = task.remote(first.receiver, [part.label.number for part in parts], file)
        self._running[first.node].append((done, parts))
        self._wait(first.node, self.at_once - 1)
        label = first.label
        rows, size = sum(part.label.rows for part in parts), _bytes(parts)
        return Settled((label.partition, label.sequence), label.group, block, rows, size, label.schema, file)

    def finish(self) -> None:
        """Wait until all that was begun is done.

        Raises:
            HandoffError: a block was lost, or the copy could not be written.
        """
        for node in self._running:
            self._wait(node, 0)

    def _wait(self, node: str, left: int) -> None:
        running = self._running[node]
        while len(running) > left:
            done, parts = running.popleft()
            try:
                ray.get(done, timeout=_SETTLE_SECONDS)
            except ray.exceptions.GetTimeoutError as error:
                raise HandoffError(
                    f"a block did not settle within {_SETTLE_SECONDS:.0f} s; see `ray status`, and "
                    "whether the disk that Ray spills to is full"
                ) from error
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, HandoffError) else HandoffError(str(error)) from error
            except ray.exceptions.RayError as error:
                raise HandoffError(f"a block could not settle: {error}") from error
            forget(parts)


def gathered(arrived: Sequence[Arrived]) -> list[list[Arrived]]:
    """Return which small blocks to make one of: neighbours of one group on one node, in their order.

    Args:
        arrived: small blocks, in the order of partitions.
    """
    piles: defaultdict[tuple[str, str], list[list[Arrived]]] = defaultdict(list)
    for one in arrived:
        of_its_kind = piles[one.node, one.label.group]
        if not of_its_kind or _bytes(of_its_kind[-1]) >= GATHERED_BYTES:
            of_its_kind.append([])
        of_its_kind[-1].append(one)
    for of_its_kind in piles.values():
        if len(of_its_kind) > 1 and _bytes(of_its_kind[-1]) < GATHERED_BYTES:
            rest = of_its_kind.pop()
            of_its_kind[-1] += rest
    return [pile for of_its_kind in piles.values() for pile in of_its_kind]


def _settle(receiver: Any, numbers: list[int], file: BlockFile | None) -> tuple[pa.Table, bool]:
    """Return a receiver's blocks as one, and that it is done; a task, which is run again when its result was lost."""
    lost: Exception | None = None
    try:
        blocks = ray.get(receiver.stored.remote(numbers), timeout=_GET_SECONDS)
        tables = ray.get(blocks, timeout=_GET_SECONDS) if blocks is not None else []
    except (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.GetTimeoutError) as error:
        lost, tables = error, []
    if not tables:
        if file is None:
            raise BlocksLostError(
                "a node that held rows of the hand-over was lost, and they are nowhere else; run it again, or give "
                "it a checkpoint, to_ray(frame, checkpoint=URI), from which lost blocks are read again"
            ) from lost
        return file.read(), True
    table = pa.concat_tables(tables)
    if file is not None:
        file.write(table)
    return table, True


def _bytes(pile: Sequence[Arrived]) -> int:
    return sum(one.label.size_bytes for one in pile)
