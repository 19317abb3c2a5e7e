"""The way back, on Ray's side: an actor that gives blocks of a Dataset to the executors on its node."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data.block import BlockAccessor

from pipelines.landing import Address
from pipelines.node_socket import NodeSocket


class Sender:
    """Listens on a Unix socket and answers the number of a block with its rows, as an Arrow stream.

    It keeps no state between answers, so a task that is retried or speculated asks again and gets the same.

    Args:
        blocks: references to the blocks, in order.
        schema: the columns that every block is cast to.
    """

    def __init__(self, blocks: Sequence[ray.ObjectRef[Any]], schema: pa.Schema) -> None:
        self._blocks = blocks
        self._schema = schema
        self._socket = NodeSocket(self._answer)

    def address(self) -> Address:
        """Return where it listens, within Ray's own directory on this node."""
        return self._socket.address

    def stop(self) -> None:
        """Take no further requests."""
        self._socket.close()

    def _answer(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:
            try:
                number = json.loads(stream.readline())["block"]
                table = BlockAccessor.for_block(ray.get(self._blocks[number])).to_arrow()
                with pa.ipc.new_stream(stream, self._schema) as writer:
                    writer.write_table(table.select(self._schema.names).cast(self._schema))
                stream.flush()
            except OSError:
                return  # the task went away; Spark asks again if it still wants the rows
