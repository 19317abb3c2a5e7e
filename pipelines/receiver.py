"""The far side of the hand-over: a Ray actor that turns what executors send into blocks in the object store."""

from __future__ import annotations

import json
import queue
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

import pyarrow as pa
from ray.data.block import BlockMetadataWithSchema

from pipelines.landing import ACKNOWLEDGED, GROUP
from pipelines.node_socket import NodeSocket

BLOCK_BYTES = 64 * 2**20
"""The size at which a block is closed: half of Ray Data's own target, as two wait while a third is filled."""

# Blocks that wait for the object store; beyond that the senders, and so Spark, are held back.
_WAITING = 2


@dataclass(frozen=True)
class BlockLabel:
    """What the driver must know of a block; it arrives just before the block does.

    Attributes:
        partition: the Spark partition that the rows are of.
        attempt: the task attempt that sent them.
        sequence: the block's place among the attempt's blocks.
        group: the group that its rows belong to.
        metadata: rows, bytes and schema, as Ray Data wants them.
    """

    partition: int
    attempt: int
    sequence: int
    group: str
    metadata: BlockMetadataWithSchema


class Receiver:
    """Listens on a Unix socket and gives out every block that its senders fill.

    Run it as an actor with ``max_concurrency`` of at least 3: `blocks` runs for as long as there are senders.
    """

    def __init__(self) -> None:
        self._full: queue.Queue[tuple[BlockLabel, pa.Table] | None] = queue.Queue(maxsize=_WAITING)
        self._socket = NodeSocket(self._receive)

    def address(self) -> str:
        """Return the path of the socket, within Ray's own directory on this node."""
        return str(self._socket.path)

    def blocks(self) -> Iterator[BlockLabel | pa.Table]:
        """Yield a label and then its block, again and again, until `stop` is called and all is given out."""
        while (full := self._full.get()) is not None:
            label, block = full
            yield label  # not `yield from full`: Ray drives the generator by send, which a tuple's iterator lacks
            yield block

    def stop(self) -> None:
        """Take no further senders, and end `blocks` after what has been acknowledged; safe to call again."""
        if self._socket.close():
            self._full.put(None)

    def _receive(self, connection: socket.socket) -> None:
        """Take one attempt's rows. One that breaks off is never acknowledged, so its blocks are never used."""
        with connection, connection.makefile("rb") as stream:
            try:
                self._fill(stream)
            except (OSError, pa.ArrowInvalid, ValueError):
                return  # the sender failed, and Spark knows
            connection.sendall(ACKNOWLEDGED)

    def _fill(self, stream: BufferedReader) -> None:
        task = json.loads(stream.readline())
        open_blocks: dict[str, list[pa.RecordBatch]] = {}
        sequence = 0
        with pa.ipc.open_stream(stream) as reader:
            while True:
                try:
                    batch, metadata = reader.read_next_batch_with_custom_metadata()
                except StopIteration:
                    break
                group = metadata[GROUP].decode() if metadata else ""
                batches = open_blocks.setdefault(group, [])
                batches.append(batch)
                if sum(one.nbytes for one in batches) >= BLOCK_BYTES:
                    self._close_block(task, sequence, group, open_blocks.pop(group))
                    sequence += 1
        for group, batches in open_blocks.items():
            self._close_block(task, sequence, group, batches)
            sequence += 1

    def _close_block(self, task: dict[str, int], sequence: int, group: str, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches).combine_chunks()
        metadata = BlockMetadataWithSchema.from_block(table)
        label = BlockLabel(task["partition"], task["attempt"], sequence, group, metadata)
        self._full.put((label, table))
