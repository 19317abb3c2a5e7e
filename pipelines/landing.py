"""The near side of the hand-over: how a pass in a Spark executor's Python worker sends its rows to a receiver.

Free of Ray, because it runs in Spark's workers.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import HandoffError

if TYPE_CHECKING:
    from pipelines.feeds import Batches

ACKNOWLEDGED = b"\x06"
"""What a receiver answers once it holds every row of an attempt."""

GROUP = b"group"
"""The key of a batch's metadata under which the group that its rows belong to is named."""

TRAILER_BYTES = 8
"""Behind the rows comes how many there were, as a little-endian number of so many bytes."""

RECEIPTS = pa.schema([("partition", pa.int64()), ("attempt", pa.int64()), ("rows", pa.int64())])
"""What Spark gets of a partition that has landed: one row, reported only for the attempt that succeeded."""

# A receiver answers as soon as the object store has room; a store that spills to a slow disk needs patience.
_TIMEOUT_SECONDS = 600.0
_CONNECT_SECONDS = 30.0


@dataclass(frozen=True)
class Address:
    """Where an actor of the hand-over is reached by the executors on its node.

    Attributes:
        path: its Unix socket.
        raylet: the process id of its node's raylet, which tells nodes apart that share a machine.
    """

    path: str
    raylet: int


@dataclass(frozen=True)
class LandOnRay:
    """Ends a pass by sending its rows to the receiver on this node.

    Attributes:
        addresses: those of the receivers, one a node; see `connect`.
        schema: the columns that the rows are cast to.
        group_by: the string column whose values tell groups apart, each of which gets blocks of its own; None keeps
            all rows in one group named "".
        patient: wait without end while the receiver lives, as it takes rows only as fast as they are consumed.
    """

    addresses: tuple[Address, ...]
    schema: pa.Schema
    group_by: str | None = None
    patient: bool = False

    def send(self, batches: Batches) -> Batches:
        """Send all rows, wait until they are acknowledged, and yield one row of `RECEIPTS`.

        Raises:
            HandoffError: there is no receiver on this node, or it went away.
        """
        partition, attempt = current_task()
        rows = self.deliver(partition, attempt, batches)
        yield pa.RecordBatch.from_pylist([{"partition": partition, "attempt": attempt, "rows": rows}], schema=RECEIPTS)

    def deliver(self, partition: int, attempt: int, batches: Batches) -> int:
        """Send the rows of one attempt at a partition, wait until they are acknowledged, and return their number.

        Raises:
            HandoffError: there is no receiver on this node, or it went away.
        """
        with connect(self.addresses) as connection:
            connection.settimeout(None if self.patient else _TIMEOUT_SECONDS)
            stream = _Stream(connection, partition)
            stream.write(json.dumps({"partition": partition, "attempt": attempt}).encode() + b"\n")
            rows = 0
            with pa.ipc.new_stream(stream, self.schema) as writer:
                for batch in batches:
                    rows += batch.num_rows
                    for group, part in _groups(batch, self.group_by):
                        writer.write_batch(part.cast(self.schema), custom_metadata={GROUP: group})
            # A stream that ends here is told from one that was cut off between two batches.
            stream.write(rows.to_bytes(TRAILER_BYTES, "little"))
            stream.await_acknowledgement()
        return rows


class _Stream:
    """A connection as the file that Arrow writes to; Arrow hands its buffers over without a copy.

    Its errors are told from those of the rows' source, which may be an `OSError` as well.
    """

    closed = False

    def __init__(self, connection: socket.socket, partition: int) -> None:
        self._connection = connection
        self._partition = partition

    def write(self, data: bytes | pa.Buffer) -> int:
        """Send `data`."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise HandoffError(f"partition {self._partition} cannot be sent to its receiver: {error}") from error
        return len(data)

    def flush(self) -> None:
        """Do nothing, as nothing is held back."""

    def await_acknowledgement(self) -> None:
        """Wait until the receiver says that it holds every row."""
        try:
            answer = self._connection.recv(1)
        except OSError as error:
            raise HandoffError(f"the receiver of partition {self._partition} does not answer: {error}") from error
        if answer != ACKNOWLEDGED:
            raise HandoffError(f"the receiver of partition {self._partition} went away before it held all rows")


def _groups(batch: pa.RecordBatch, column: str | None) -> Iterator[tuple[str, pa.RecordBatch]]:
    if column is None:
        yield "", batch
        return
    values = batch.column(column)
    for value in pc.unique(values).to_pylist():
        same = pc.is_null(values) if value is None else pc.fill_null(pc.equal(values, value), False)
        yield value or "", batch.filter(same)


def connect(addresses: Sequence[Address]) -> socket.socket:
    """Return a connection to the actor on this node.

    That is the one whose socket this file system has; where several nodes share a machine, the one whose raylet this
    process descends from.

    Raises:
        HandoffError: there is none, or it does not answer.
    """
    here = [address for address in addresses if os.path.exists(address.path)]
    if not here:
        raise HandoffError(
            "no end of the hand-over on this node: none of "
            f"{', '.join(address.path for address in addresses) or 'no address'} exists here; executors must run on "
            "nodes of the Ray cluster that the driver is connected to"
        )
    chosen = here[0]
    if len(here) > 1:
        ancestors = set(_ancestors())
        chosen = next((address for address in here if address.raylet in ancestors), chosen)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_CONNECT_SECONDS)
    try:
        connection.connect(chosen.path)
    except OSError as error:
        connection.close()
        raise HandoffError(f"the hand-over's end on this node, {chosen.path}, does not answer: {error}") from error
    return connection


def current_task() -> tuple[int, int]:
    """Return the partition that this worker's task computes, and the id of the attempt."""
    from pyspark import TaskContext  # the receivers know this module too, and have no use for Spark

    context = TaskContext.get()
    assert context is not None
    return context.partitionId(), context.taskAttemptId()


def _ancestors() -> Iterator[int]:
    """Yield the process ids of this process's parent, of that one's parent, and so on (Linux)."""
    process = os.getppid()
    while process > 1:
        yield process
        # The name of the process stands in brackets and may hold anything; the parent is the second field behind it.
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
