"""The far side of the hand-over: takes what executors send, and keeps it in the object store as blocks of a good size.

The receiver owns these blocks, and they go with it. A reference that the driver held, and handed to a task that has
lineage, would keep a block for as long as that task's result is used: the rows would be there twice.

Free of Ray Data and Spark, which would make each process that receives 50 MB larger and start most of a second later.

Receiver       the actor, which serves one hand-over after the other
_Inbox         listens during one of them, and cuts each attempt's rows into blocks
_Filling       the blocks that one attempt's rows fill
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pyarrow as pa
import ray

from pipelines.landing import ACKNOWLEDGED, GROUP, TRAILER_BYTES, Address
from pipelines.node_socket import NodeSocket

BLOCK_BYTES = 48 * 2**20
"""The size at which a block is full. Ray Data aims at blocks of 1 to 128 MiB, and each sender holds one and a half."""

SMALL_BYTES = 32 * 2**20
"""A block below this is small: the last rows of an attempt stay with the block before until they are as many."""


@dataclass(frozen=True)
class BlockLabel:
    """What the driver must know of a block.

    Attributes:
        partition: the Spark partition that the rows are of.
        attempt: the task attempt that sent them.
        sequence: the block's place among the attempt's blocks.
        group: the group that its rows belong to.
        number: what its receiver knows it by.
        rows: how many rows it has.
        size_bytes: how large it is in Arrow's layout.
        schema: its columns.
    """

    partition: int
    attempt: int
    sequence: int
    group: str
    number: int
    rows: int
    size_bytes: int
    schema: pa.Schema

    @property
    def is_small(self) -> bool:
        """Whether the block is to be gathered with others."""
        return self.size_bytes < SMALL_BYTES


@dataclass(frozen=True)
class BrokenOff:
    """Says, in place of a label, that an attempt broke off, so that none of its blocks will be used."""

    partition: int
    attempt: int


class Receiver:
    """Takes the rows of one hand-over after the other; an actor, as its process is worth keeping.

    It must have ``max_concurrency`` of at least 4: `labels` runs for as long as there are senders. Each block stays
    until `forget` is called for it.
    """

    def __init__(self) -> None:
        # They go on from one hand-over to the next, so that a task of the last one asks for blocks that are gone.
        self._numbers = count()
        self._inbox: _Inbox | None = None

    def begin(self, room: int) -> Address:
        """Make ready for a hand-over, and return where it listens, within Ray's own directory on this node.

        Args:
            room: so many blocks that are not small may be in the store at a time; beyond that the senders, and so
                Spark, are held back.
        """
        self.end()
        self._inbox = _Inbox(room, self._numbers)
        return self._inbox.address

    def labels(self) -> Iterator[BlockLabel | BrokenOff]:
        """Yield the label of each block, until `stop` is called and all is given out."""
        assert self._inbox is not None
        yield from self._inbox.labels()

    def stored(self, numbers: Sequence[int]) -> list[ray.ObjectRef[Any]] | None:
        """Return the blocks of these numbers, or None if one has been forgotten."""
        return self._inbox.stored(numbers) if self._inbox is not None else None

    def forget(self, numbers: Sequence[int]) -> None:
        """Let go of the blocks of these numbers."""
        if self._inbox is not None:
            self._inbox.forget(numbers)

    def stop(self) -> None:
        """Take no further senders, and end `labels` after what has been acknowledged; safe to call again."""
        if self._inbox is not None:
            self._inbox.stop()

    def end(self) -> None:
        """Let go of all that is left of a hand-over, and of attempts that still send."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.end()


class _Inbox:
    """Listens on a Unix socket, for one hand-over, and puts every block that its senders fill into the object store."""

    def __init__(self, room: int, numbers: Iterator[int]) -> None:
        self._labels: queue.SimpleQueue[BlockLabel | BrokenOff | None] = queue.SimpleQueue()
        self._stored: dict[int, tuple[BlockLabel, ray.ObjectRef[Any]]] = {}
        self._numbers = numbers
        self._room = threading.Semaphore(room)
        self._ended = False
        self._socket = NodeSocket(self._receive)

    @property
    def address(self) -> Address:
        return self._socket.address

    def labels(self) -> Iterator[BlockLabel | BrokenOff]:
        while (label := self._labels.get()) is not None:
            yield label

    def stored(self, numbers: Sequence[int]) -> list[ray.ObjectRef[Any]] | None:
        found = [self._stored.get(number) for number in numbers]
        blocks = [one[1] for one in found if one is not None]
        return blocks if len(blocks) == len(found) else None

    def forget(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            found = self._stored.pop(number, None)
            if found is not None and not found[0].is_small:
                self._room.release()

    def stop(self) -> None:
        if self._socket.close():
            self._labels.put(None)

    def end(self) -> None:
        self.stop()
        self._ended = True
        self._socket.hang_up()
        self.forget([*self._stored])  # who waits for room is let in, and finds that all has ended

    def _receive(self, connection: socket.socket) -> None:
        """Take one attempt's rows. One that breaks off is never acknowledged, so its blocks are never used."""
        task: dict[str, int] = {}
        stream = ReadFromSocket(connection)
        try:
            task = json.loads(stream.read_line())
            sequence = count()
            for group, block in filled_blocks(stream):
                self._put(block, **task, sequence=next(sequence), group=group)
                del block  # not to be held while the next one fills, as enumerate would
            connection.sendall(ACKNOWLEDGED)
        # The sender failed, and Spark knows; or the object store did, and Spark will, as nothing is acknowledged.
        except (OSError, pa.ArrowInvalid, ValueError, ray.exceptions.RayError):
            if task:
                self._labels.put(BrokenOff(**task))

    def _put(self, block: pa.Table, partition: int, attempt: int, sequence: int, group: str) -> None:
        size = block.num_rows, block.nbytes, block.schema
        label = BlockLabel(partition, attempt, sequence, group, next(self._numbers), *size)
        if not label.is_small:
            self._room.acquire()
        try:
            if self._ended:
                raise ConnectionAbortedError("the hand-over has ended")
            self._stored[label.number] = label, ray.put(block)
        except (OSError, ray.exceptions.RayError):
            if not label.is_small:
                self._room.release()
            raise
        self._labels.put(label)


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
