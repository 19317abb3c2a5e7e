"""The near side of the hand-over: how a pass in a Spark executor's Python worker sends its rows to a receiver.

Free of Ray, because it runs in Spark's workers.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext

from pipelines.errors import HandoffError

if TYPE_CHECKING:
    from pipelines.passes import Batches

ACKNOWLEDGED = b"\x06"
"""What a receiver answers once it holds every row of an attempt."""

GROUP = b"group"
"""The key of a batch's metadata under which the group that its rows belong to is named."""

RECEIPTS = pa.schema([("partition", pa.int64()), ("attempt", pa.int64()), ("rows", pa.int64())])
"""What Spark gets of a partition that has landed: one row, reported only for the attempt that succeeded."""

# A receiver answers as soon as the object store has room; a store that spills to a slow disk needs patience.
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class LandOnRay:
    """Ends a pass by sending its rows to the receiver on this node.

    Attributes:
        addresses: the Unix socket of each node's receiver; the one that this node's file system has is used.
        schema: the columns that the rows are cast to.
        group_by: the string column whose values tell groups apart, each of which gets blocks of its own; None keeps
            all rows in one group named "".
    """

    addresses: tuple[str, ...]
    schema: pa.Schema
    group_by: str | None = None

    def send(self, batches: Batches) -> Batches:
        """Send all rows, wait until they are acknowledged, and yield one row of `RECEIPTS`.

        Raises:
            HandoffError: there is no receiver on this node, or it went away.
        """
        partition, attempt = current_task()
        rows = 0
        try:
            with connect(self.addresses) as connection:
                with connection.makefile("wb") as stream:
                    stream.write(json.dumps({"partition": partition, "attempt": attempt}).encode() + b"\n")
                    with pa.ipc.new_stream(stream, self.schema) as writer:
                        for batch in batches:
                            rows += batch.num_rows
                            for group, part in _groups(batch, self.group_by):
                                writer.write_batch(part.cast(self.schema), custom_metadata={GROUP: group})
                if connection.recv(1) != ACKNOWLEDGED:
                    raise HandoffError(f"the receiver of partition {partition} went away before it held all rows")
        except OSError as error:
            raise HandoffError(f"partition {partition} cannot be sent to its receiver: {error}") from error
        yield pa.RecordBatch.from_pylist([{"partition": partition, "attempt": attempt, "rows": rows}], schema=RECEIPTS)


def _groups(batch: pa.RecordBatch, column: str | None) -> Iterator[tuple[str, pa.RecordBatch]]:
    if column is None:
        yield "", batch
        return
    values = batch.column(column)
    for value in pc.unique(values).to_pylist():
        same = pc.is_null(values) if value is None else pc.fill_null(pc.equal(values, value), False)
        yield value or "", batch.filter(same)


def connect(addresses: Sequence[str]) -> socket.socket:
    """Return a connection to the actor on this node: the first of `addresses` that this file system has.

    Raises:
        HandoffError: there is none.
        OSError: it does not answer.
    """
    here = [address for address in addresses if os.path.exists(address)]
    if not here:
        raise HandoffError(
            f"no end of the hand-over on this node: none of {', '.join(addresses) or 'no address'} exists here; "
            "executors must run on nodes of the Ray cluster that the driver is connected to"
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_SECONDS)
    connection.connect(here[0])
    return connection


def current_task() -> tuple[int, int]:
    """Return the partition that this worker's task computes, and the id of the attempt."""
    context = TaskContext.get()
    assert context is not None
    return context.partitionId(), context.taskAttemptId()
