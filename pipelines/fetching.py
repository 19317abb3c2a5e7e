"""The way back, on Spark's side: how an executor's Python worker gets the rows of a Dataset's blocks.

Free of Ray, because it runs in Spark's workers.

    worker  ── Request, a line of JSON ──>  sender
    worker  <── Answer, a line of JSON; where there is no error, an Arrow stream behind it ──  sender
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines.errors import HandoffError
from pipelines.landing import Address, connect

# A block that was spilled to a slow disk, or comes from another node, takes its time.
_TIMEOUT_SECONDS = 600.0
_LOST = "its sender was lost; see `ray status`, and whether a node has run out of memory"


@dataclass(frozen=True)
class Request:
    """What is wanted of a sender.

    Attributes:
        block: the number of a block.
        schema: the columns that its rows are to have.
    """

    block: int
    schema: pa.Schema

    @classmethod
    def from_json(cls, line: bytes) -> Request:
        """Return what `to_json` made a line of."""
        fields = json.loads(line)
        return cls(fields["block"], pa.ipc.read_schema(pa.py_buffer(base64.b64decode(fields["schema"]))))

    def to_json(self) -> bytes:
        """Return it as a line."""
        schema = base64.b64encode(self.schema.serialize()).decode()
        return json.dumps({"block": self.block, "schema": schema}).encode() + b"\n"


@dataclass(frozen=True)
class Answer:
    """What comes before a block's rows.

    Attributes:
        rows: how many rows follow; an Arrow stream that is cut off between two batches looks like one that ends.
        error: why none follow; "" if they do.
    """

    rows: int = 0
    error: str = ""

    @classmethod
    def from_json(cls, line: bytes) -> Answer:
        """Return what `to_json` made a line of."""
        return cls(**json.loads(line))

    def to_json(self) -> bytes:
        """Return it as a line."""
        return json.dumps({"rows": self.rows, "error": self.error}).encode() + b"\n"


@dataclass(frozen=True)
class FetchFromRay:
    """Turns the numbers of blocks into their rows; what ``mapInArrow`` runs on a frame of numbers.

    Attributes:
        addresses: those of the senders, one a node; see `connect`.
        schema: the columns that the rows are to have.
    """

    addresses: tuple[Address, ...]
    schema: pa.Schema

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each block in turn.

        Raises:
            HandoffError: there is no sender on this node, it went away, or it cannot give the rows.
        """
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from self._rows(number)

    def _rows(self, number: int) -> Iterator[pa.RecordBatch]:
        rows = 0
        try:
            with connect(self.addresses) as connection:
                connection.settimeout(_TIMEOUT_SECONDS)
                with connection.makefile("rwb") as stream:
                    stream.write(Request(number, self.schema).to_json())
                    stream.flush()
                    answer = Answer.from_json(stream.readline() or Answer(error=_LOST).to_json())
                    if answer.error:
                        raise HandoffError(f"block {number} of the Dataset cannot be given to Spark: {answer.error}")
                    with pa.ipc.open_stream(stream) as reader:
                        for batch in reader:
                            rows += batch.num_rows
                            yield batch
        except (OSError, pa.ArrowInvalid, ValueError) as error:
            raise HandoffError(f"block {number} of the Dataset cannot be fetched from Ray: {error}") from error
        if rows != answer.rows:
            raise HandoffError(f"block {number} of the Dataset broke off at row {rows} of {answer.rows}: {_LOST}")
