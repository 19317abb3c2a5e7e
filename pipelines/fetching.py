"""The way back, on Spark's side: how an executor's Python worker gets the rows of a Dataset's blocks.

Free of Ray, because it runs in Spark's workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.errors import HandoffError
from pipelines.landing import Address, connect


@dataclass(frozen=True)
class FetchFromRay:
    """Turns the numbers of blocks into their rows; what ``mapInArrow`` runs on a frame of numbers.

    Attributes:
        addresses: those of the senders, one a node; see `connect`.
    """

    addresses: tuple[Address, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each block in turn.

        Raises:
            HandoffError: there is no sender on this node, or it went away.
        """
        for batch in batches:
            for number in batch.column(0).to_pylist():
                try:
                    with connect(self.addresses) as connection, connection.makefile("rwb") as stream:
                        stream.write(json.dumps({"block": number}).encode() + b"\n")
                        stream.flush()
                        with pa.ipc.open_stream(stream) as reader:
                            yield from reader
                except (OSError, pa.ArrowInvalid) as error:
                    raise HandoffError(f"block {number} of the Dataset cannot be fetched from Ray: {error}") from error
