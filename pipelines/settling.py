"""Turning what has arrived into the blocks of a Dataset: of a good size, and each made by a task that can be run again.

A receiver's blocks are whatever a partition had. A settling task on the same node gathers small ones, and keeps a copy
in durable storage where there is a checkpoint. Its result has lineage: when its node is lost, Ray runs the task again,
which reads the copy, or fails with an error that says how to have one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.data.block import BlockMetadata, BlockMetadataWithSchema
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.block_files import BlockFile, BlockFiles
from pipelines.errors import BlocksLostError, HandoffError
from pipelines.receiver import SMALL_BYTES, BlockLabel

GATHERED_BYTES = SMALL_BYTES
"""Small blocks are gathered until they are as large as this."""

# As many settling tasks at once on a node: one copies while the next one starts.
_AT_ONCE = 2
_GET_SECONDS = 60.0
_SETTLE_SECONDS = 600.0


@dataclass(frozen=True)
class Arrived:
    """A receiver's block in the object store, what the receiver said of it, and the node that it is on."""

    label: BlockLabel
    block: ray.ObjectRef[Any]
    node: str

    @property
    def metadata(self) -> BlockMetadataWithSchema:
        """Its rows, bytes and schema."""
        assert self.label.metadata is not None
        return self.label.metadata

    @property
    def is_small(self) -> bool:
        """Whether it is to be gathered with others."""
        return (self.metadata.size_bytes or 0) < SMALL_BYTES


@dataclass(frozen=True)
class Settled:
    """A block of a Dataset.

    Attributes:
        place: where it stands among the Dataset's blocks: the partition of its first row, and the place in that.
        group: the group of its rows.
        block: the block.
        metadata: rows, bytes and schema, as Ray Data wants them.
        file: its copy in the checkpoint.
    """

    place: tuple[int, int]
    group: str
    block: ray.ObjectRef[Any]
    metadata: BlockMetadataWithSchema
    file: BlockFile | None


class Settler:
    """Runs settling tasks, a few at a time on each node.

    Args:
        files: where the copies go; None keeps none.
    """

    def __init__(self, files: BlockFiles | None = None) -> None:
        self._files = files
        self._running: defaultdict[str, deque[ray.ObjectRef[Any]]] = defaultdict(deque)

    def settle(self, parts: Sequence[Arrived]) -> Settled:
        """Make one block of `parts`, which are of one group and on one node; wait while too many are being made.

        Raises:
            HandoffError: those before did not get done.
        """
        first = parts[0]
        self._wait(first.node, _AT_ONCE - 1)
        file = self._files.new() if self._files else None
        task: Any = ray.remote(_settle).options(
            num_cpus=0,
            num_returns=2,
            max_retries=-1 if file else 3,
            # Soft, because a task that is run again finds its node gone.
            scheduling_strategy=NodeAffinitySchedulingStrategy(first.node, soft=True),
        )
        # In a list, so that Ray hands the references over and not the blocks: they may be lost, and are told apart.
        block, done = task.remote([part.block for part in parts], file)
        self._running[first.node].append(done)
        metadata = _together([part.metadata for part in parts])
        return Settled((first.label.partition, first.label.sequence), first.label.group, block, metadata, file)

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
            try:
                ray.get(running.popleft(), timeout=_SETTLE_SECONDS)
            except ray.exceptions.GetTimeoutError as error:
                raise HandoffError(
                    f"a block did not settle within {_SETTLE_SECONDS:.0f} s; see `ray status`, and "
                    "whether the disk that Ray spills to is full"
                ) from error
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, HandoffError) else HandoffError(str(error)) from error
            except ray.exceptions.RayError as error:
                raise HandoffError(f"a block could not settle: {error}") from error


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


def _settle(blocks: list[ray.ObjectRef[Any]], file: BlockFile | None) -> tuple[pa.Table, bool]:
    """Return the blocks as one, and that it is done; a task, which is run again when its result was lost."""
    try:
        table = pa.concat_tables(ray.get(blocks, timeout=_GET_SECONDS))
    except (ray.exceptions.ObjectLostError, ray.exceptions.GetTimeoutError) as error:
        if file is None:
            raise BlocksLostError(
                "a node that held rows of the hand-over was lost, and they are nowhere else; run it again, or give "
                "it a checkpoint, to_ray(frame, checkpoint=URI), from which lost blocks are read again"
            ) from error
        return file.read(), True
    if file is not None:
        file.write(table)
    return table, True


def _bytes(pile: Sequence[Arrived]) -> int:
    return sum(one.metadata.size_bytes or 0 for one in pile)


def _together(parts: Sequence[BlockMetadataWithSchema]) -> BlockMetadataWithSchema:
    return BlockMetadataWithSchema.from_metadata(
        BlockMetadata(
            num_rows=sum(part.num_rows or 0 for part in parts),
            size_bytes=sum(part.size_bytes or 0 for part in parts),
            exec_stats=None,
            input_files=None,
        ),
        parts[0].schema,
    )
