"""The far side of the streaming hand-over: gives rows out while Spark computes, each once, whatever Spark retries.

What has been given out cannot be taken back when its attempt fails. So the blocks of a partition are numbered, and
another attempt at it must bring the same ones again, which are dropped, before it brings more. A partition that comes
out differently the second time ends the hand-over with an error. Most partitions are smaller than a block, and are
given out whole or not at all.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.errors import HandoffError
from pipelines.landing import ACKNOWLEDGED, Address
from pipelines.node_socket import NodeSocket
from pipelines.receiver import ReadFromSocket, filled_blocks

GATHERED_BYTES = 8 * 2**20
"""Small blocks are given out together once they are as large as this: the first batch is not to wait for many."""

# One block waits while another is consumed; beyond that the senders, and so Spark, are held back.
_WAITING = 1


class StreamReceiver:
    """Listens on a Unix socket and yields blocks while its senders fill them; used within a Ray Data read task."""

    def __init__(self) -> None:
        self._given: queue.Queue[pa.Table | BaseException | None] = queue.Queue(maxsize=_WAITING)
        self._partitions: dict[int, Partition] = {}
        self._small: list[pa.Table] = []
        self._lock = threading.Lock()
        self._socket = NodeSocket(self._receive)

    @property
    def address(self) -> Address:
        """Where it listens, within Ray's own directory on this node."""
        return self._socket.address

    def blocks(self) -> Iterator[pa.Table]:
        """Yield blocks until `end` is called.

        Raises:
            HandoffError: what `end` was given, or a partition came out differently when it was computed again.
        """
        while (given := self._given.get()) is not None:
            if isinstance(given, BaseException):
                raise given
            yield given
            del given
        if self._small:
            yield pa.concat_tables(self._small)

    def end(self, error: HandoffError | None = None) -> None:
        """Let `blocks` end after what it has, or raise `error`."""
        self._given.put(error)

    def close(self) -> None:
        """Take no further senders."""
        self._socket.close()

    def _receive(self, connection: socket.socket) -> None:
        stream = ReadFromSocket(connection)
        try:
            partition = json.loads(stream.read_line())["partition"]
            self._take(partition, stream)
            connection.sendall(ACKNOWLEDGED)
        except HandoffError as error:
            self._given.put(error)
        except (OSError, pa.ArrowInvalid, ValueError):
            return  # the sender failed, and Spark knows

    def _take(self, number: int, stream: ReadFromSocket) -> None:
        with self._lock:
            partition = self._partitions.setdefault(number, Partition(number))
        blocks = 0
        for _, block in filled_blocks(stream):
            checksum = fingerprint(block)
            # Held while the block waits to be consumed, so that two attempts at once keep the order.
            with partition.lock:
                if partition.is_new(blocks, checksum):
                    self._give(block)
            blocks += 1
        with partition.lock:
            partition.ends_at(blocks)

    def _give(self, block: pa.Table) -> None:
        """Give a block out, or keep it until there are enough small ones."""
        if block.nbytes < GATHERED_BYTES:
            with self._lock:
                self._small.append(block)
                if sum(one.nbytes for one in self._small) < GATHERED_BYTES:
                    return
                block, self._small = pa.concat_tables(self._small), []
        self._given.put(block)


@dataclass
class Partition:
    """What has been given out of a partition of Spark's.

    Attributes:
        number: its number.
        lock: to be held while a block of it is looked at and given out.
        seen: the fingerprint of each block that was.
        whole: whether an attempt has come to its end.
    """

    number: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    seen: list[int] = field(default_factory=list)
    whole: bool = False

    def is_new(self, block: int, checksum: int) -> bool:
        """Tell whether a block is to be given out.

        Raises:
            HandoffError: one in its place was given out, and differs.
        """
        if block < len(self.seen):
            if self.seen[block] != checksum:
                raise self._different()
            return False
        if self.whole:
            raise self._different()
        self.seen.append(checksum)
        return True

    def ends_at(self, blocks: int) -> None:
        """Note that an attempt has come to its end after so many blocks.

        Raises:
            HandoffError: another has come to more, or to fewer.
        """
        if blocks != len(self.seen):
            raise self._different()
        self.whole = True

    def _different(self) -> HandoffError:
        return HandoffError(
            f"partition {self.number} came out differently when Spark computed it a second time, after rows of it had "
            "been given out; make the frame repeatable (sorted within partitions, random values with a seed) or "
            "persist it, or hand it over without streaming"
        )


def fingerprint(block: pa.Table) -> int:
    """Return a checksum of the rows, whatever lies in memory under their nulls."""
    checksum = _Checksum()
    with pa.ipc.new_stream(checksum, block.schema) as writer:
        for batch in block.to_batches():
            # What Spark leaves under a null is arbitrary; Arrow writes zeros there when it takes rows out.
            nulls = any(column.null_count or pa.types.is_nested(column.type) for column in batch.columns)
            writer.write_batch(batch.take(pa.array(range(batch.num_rows), pa.int64())) if nulls else batch)
    return checksum.value


class _Checksum:
    """A file that keeps only a checksum of what is written to it."""

    closed = False
    value = 0

    def write(self, data: bytes | pa.Buffer) -> int:
        self.value = zlib.crc32(data, self.value)
        return len(data)

    def flush(self) -> None:
        pass
