"""The way back, on Ray's side: an actor that gives blocks of a Dataset to the executors on its node."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray
from ray.data.block import BlockAccessor

from pipelines.errors import HandoffError
from pipelines.fetching import Answer, Request
from pipelines.landing import Address
from pipelines.node_socket import NodeSocket


class Sender:
    """Listens on a Unix socket and answers a `Request` with an `Answer` and the block's rows, as an Arrow stream.

    It keeps no state between answers, so a task that is retried or speculated asks again and gets the same.

    Args:
        blocks: references to the blocks, in order.
    """

    def __init__(self, blocks: Sequence[ray.ObjectRef[Any]]) -> None:
        self._blocks = blocks
        self._socket = NodeSocket(self._answer)

    def address(self) -> Address:
        """Return where it listens, within Ray's own directory on this node."""
        return self._socket.address

    def stop(self) -> None:
        """Take no further requests."""
        self._socket.close()

    def schemas(self, numbers: Sequence[int]) -> list[pa.Schema]:
        """Return the columns of each of these blocks."""
        return [self._table(number).schema for number in numbers]

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rwb") as stream:
            try:
                request = Request.from_json(stream.readline())
                table: pa.Table | None = None
                try:
                    table = rows_as(self._table(request.block), request.schema)
                    answer = Answer(rows=table.num_rows)
                except Exception as error:  # told to the task that asks, and raised there
                    answer = Answer(error=str(error) if isinstance(error, HandoffError) else _shown(error))
                stream.write(answer.to_json())
                if table is not None:
                    with pa.ipc.new_stream(stream, table.schema) as writer:
                        writer.write_table(table)
                stream.flush()
            except OSError:
                return  # the task went away; Spark asks again if it still wants the rows

    def _table(self, number: int) -> pa.Table:
        return BlockAccessor.for_block(ray.get(self._blocks[number])).to_arrow()


def rows_as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the rows of `table` in the columns of `schema`; one that it lacks is filled with nulls.

    Raises:
        HandoffError: a value is not among those of the type that it is to become.
    """
    columns: list[pa.ChunkedArray] = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
            continue
        column = table[field.name]
        try:
            # Arrow also refuses casts to the very same type, where nulls are hidden by those of a struct around them.
            columns.append(column if column.type == field.type else column.cast(field.type))
        except pa.ArrowException as error:
            raise HandoffError(
                f"column {field.name!r} holds {column.type} and cannot become {field.type}: {error}"
            ) from error
        if column.null_count and not field.nullable:
            raise HandoffError(f"column {field.name!r} holds nulls, and its schema says that it does not")
    return pa.Table.from_arrays(columns, schema=schema)


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
