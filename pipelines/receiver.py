"""The far side of the hand-over: takes what executors send, and gives it out as blocks of a good size.

Receiver       listens, and cuts each attempt's rows into blocks
Filling        the blocks that one attempt's rows fill
"""

from __future__ import annotations

import json
import queue
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from ray.data.block import BlockMetadataWithSchema

from pipelines.landing import ACKNOWLEDGED, GROUP, TRAILER_BYTES, Address
from pipelines.node_socket import NodeSocket

BLOCK_BYTES = 48 * 2**20
"""The size at which a block is full. Ray Data aims at blocks of 1 to 128 MiB, and each sender holds one and a half."""

SMALL_BYTES = 32 * 2**20
"""A block below this is small: the last rows of an attempt stay with the block before until they are as many."""

# Blocks that wait for the object store; beyond that the senders, and so Spark, are held back.
_WAITING = 1


@dataclass(frozen=True)
class BlockLabel:
    """What the driver must know of a block; it arrives just before the block does.

    Attributes:
        partition: the Spark partition that the rows are of.
        attempt: the task attempt that sent them.
        sequence: the block's place among the attempt's blocks.
        group: the group that its rows belong to.
        metadata: rows, bytes and schema, as Ray Data wants them; None says that the attempt broke off, so that none
            of its blocks will be used: no block follows.
    """

    partition: int
    attempt: int
    sequence: int
    group: str
    metadata: BlockMetadataWithSchema | None


class Receiver:
    """Listens on a Unix socket and gives out every block that its senders fill.

    Run it as an actor with ``max_concurrency`` of at least 3: `blocks` runs for as long as there are senders.
    """

    def __init__(self) -> None:
        self._full: queue.Queue[tuple[BlockLabel, pa.Table | None] | None] = queue.Queue(maxsize=_WAITING)
        self._socket = NodeSocket(self._receive)

    def address(self) -> Address:
        """Return where it listens, within Ray's own directory on this node."""
        return self._socket.address

    def blocks(self) -> Iterator[BlockLabel | pa.Table]:
        """Yield a label and then its block, again and again, until `stop` is called and all is given out."""
        while (full := self._full.get()) is not None:
            label, block = full
            del full
            yield label
            if block is not None:
                yield block
            del block

    def stop(self) -> None:
        """Take no further senders, and end `blocks` after what has been acknowledged; safe to call again."""
        if self._socket.close():
            self._full.put(None)

    def _receive(self, connection: socket.socket) -> None:
        """Take one attempt's rows. One that breaks off is never acknowledged, so its blocks are never used."""
        task: dict[str, int] = {}
        with connection:
            stream = ReadFromSocket(connection)
            try:
                task = json.loads(stream.read_line())
                for sequence, (group, block) in enumerate(filled_blocks(stream)):
                    metadata = BlockMetadataWithSchema.from_block(block)
                    self._full.put((BlockLabel(task["partition"], task["attempt"], sequence, group, metadata), block))
                connection.sendall(ACKNOWLEDGED)
            except (OSError, pa.ArrowInvalid, ValueError):  # the sender failed, and Spark knows
                if task:
                    self._full.put((BlockLabel(task["partition"], task["attempt"], 0, "", None), None))


class ReadFromSocket:
    """A connection as the file that Arrow reads from: each message goes from the kernel to where it stays."""

    closed = False

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: int) -> pa.Buffer | bytes:
        """Return the next `size` bytes, or fewer where the connection ends."""
        if not size:
            return b""
        buffer = pa.allocate_buffer(size)
        view = memoryview(buffer)
        got = 0
        while got < size:
            more = self._connection.recv_into(view[got:], size - got, socket.MSG_WAITALL)
            if not more:
                return bytes(view[:got])
            got += more
        return buffer

    def read_line(self) -> bytes:
        """Return the bytes up to the next line feed, byte by byte, as what follows must stay."""
        line = b""
        while (byte := self._connection.recv(1)) not in (b"", b"\n"):
            line += byte
        return line


def filled_blocks(stream: ReadFromSocket) -> Iterator[tuple[str, pa.Table]]:
    """Yield the blocks that a stream of batches fills, each with its group.

    A group's blocks are of `SMALL_BYTES` or more, unless all its rows are less, and of `BLOCK_BYTES` + `SMALL_BYTES` at
    most, give or take a batch. The last one comes once it is certain that the stream is whole.

    Raises:
        OSError, pyarrow.ArrowInvalid, ValueError: the stream breaks off.
    """
    rows = 0
    fillings: dict[str, _Filling] = {}
    with pa.ipc.open_stream(stream) as reader:
        while True:
            try:
                batch, metadata = reader.read_next_batch_with_custom_metadata()
            except StopIteration:
                break
            rows += batch.num_rows
            group = metadata[GROUP].decode() if metadata else ""
            for piece in _pieces(batch):
                block = fillings.setdefault(group, _Filling()).add(piece)
                if block is not None:
                    yield group, block
    if int.from_bytes(stream.read(TRAILER_BYTES), "little") != rows:
        raise ValueError(f"the stream broke off after {rows} rows")
    for group, filling in fillings.items():
        yield group, filling.rest()


@dataclass
class _Filling:
    """The rows of a group that have not been given out: a full block, and what has come since."""

    full: list[pa.RecordBatch] = field(default_factory=list)
    since: list[pa.RecordBatch] = field(default_factory=list)
    full_bytes: int = 0
    since_bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> pa.Table | None:
        """Take a batch; return a block once one is full and enough follows it."""
        if self.full_bytes < BLOCK_BYTES:
            self.full.append(batch)
            self.full_bytes += batch.nbytes
            return None
        self.since.append(batch)
        self.since_bytes += batch.nbytes
        if self.since_bytes < SMALL_BYTES:
            return None
        block = pa.Table.from_batches(self.full)
        self.full, self.full_bytes, self.since, self.since_bytes = self.since, self.since_bytes, [], 0
        return block

    def rest(self) -> pa.Table:
        """Return all that is left as one block."""
        return pa.Table.from_batches([*self.full, *self.since])


def _pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch so that no piece is larger than a small block, as far as its rows allow."""
    rows = max(1, batch.num_rows // -(-batch.nbytes // SMALL_BYTES)) if batch.nbytes else max(1, batch.num_rows)
    for begin in range(0, batch.num_rows, rows):
        yield batch.slice(begin, rows)
