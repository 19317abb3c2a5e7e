"""The contract of everything that rows go to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from connectors.errors import SinkError
from connectors.identity import identity_of


@dataclass(frozen=True)
class Receipt:
    """What one successful write attempt left staged, for `Sink.commit` to publish.

    Attributes:
        partition: which partition was written, from 0.
        attempt: which attempt at it, unique among the partition's attempts.
        rows: how many rows were staged.
        bytes: how many bytes they take in the target.
        staged: where they lie, in the sink's own terms (file names, say); empty where nothing was written.
    """

    partition: int
    attempt: int
    rows: int
    bytes: int
    staged: tuple[str, ...] = ()


class Sink(BaseModel, ABC):
    """Where rows go to, in two phases, so that retried and speculated tasks publish nothing twice.

    `begin` and `commit` (or `abort`) run once, in the driver; `write` runs in executors, any number of times
    for a partition and possibly at the same time. Instances are pickled and hold options only. The fields are
    the sink's options.
    """

    # A value that was refused may be a password in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity_options: ClassVar[tuple[str, ...] | None] = None
    """The options that say where the rows go, and neither who writes them nor how. None: all options, which is safe,
    and has an incremental pipeline refuse to go on after any change."""

    def identity(self) -> dict[str, object]:
        """Return what tells the target from others, as JSON has it.

        It is kept with the cursor of the rows that it has been given, which says nothing of another target. No secret
        is in it.
        """
        return identity_of(self, type(self).model_fields if self.identity_options is None else self.identity_options)

    def check(self) -> None:
        """Find what would make `begin` fail, as far as it can be known without the rows; changes nothing.

        It is called in the driver before anything slow starts. By default it looks at nothing.

        Raises:
            SinkExistsError: the target holds data and the mode forbids touching it.
            SinkError: the target cannot be reached.
        """

    @abstractmethod
    def begin(self, commit_id: str, schema: pa.Schema) -> None:
        """Prepare to stage rows of `schema`; called before any `write`.

        Raises:
            SinkExistsError: the target holds data and the mode forbids touching it.
            SinkError: the target cannot be written, or cannot hold the schema.
        """

    @abstractmethod
    def write(self, commit_id: str, partition: int, attempt: int, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Stage one attempt's rows where no reader sees them, and say what was staged.

        Attempts never touch each other's staging. What an attempt that fails leaves behind is cleared by
        `commit` or `abort`.
        """

    @abstractmethod
    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        """Publish exactly what the receipts name, once, and clear all other staging of this commit.

        Calling it again with the same `commit_id` changes nothing. Where the target can, the commit id and
        the cursor are stored with the rows in one transaction.
        """

    @abstractmethod
    def is_committed(self, commit_id: str) -> bool:
        """Tell whether a commit has happened, as the target itself knows it; called in the driver.

        This is how a run finds out what became of one that was cut short, so it must not be a guess: once `commit`
        could have published a row that readers see and will go on to see, the answer is yes.

        Raises:
            SinkError: the target cannot be asked.
        """

    @abstractmethod
    def abort(self, commit_id: str) -> None:
        """Clear all staging of a commit that will not happen; safe to call at any time, and again."""

    def accumulates(self) -> bool:
        """Tell whether what one commit has published stays when the next one comes.

        An incremental pipeline wants that, as each of its commits holds no more than what is new.
        """
        return True

    def merges(self) -> bool:
        """Tell whether a row that comes again takes the place of the one before, by its keys, and is not added."""
        return False

    def adding_columns(self) -> Sink:
        """Return the sink that adds columns to its target which rows bring and it has not; itself where it cannot."""
        return self

    def replacing(self) -> Sink:
        """Return the sink whose commit replaces all that the target holds, in the same transaction.

        Raises:
            SinkError: the target cannot do that.
        """
        raise SinkError(
            f"{type(self).__name__} cannot replace what its target holds, as a full refresh wants; empty the target "
            "yourself, and reset the pipeline's state"
        )


def cast_rows(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """Return the rows of `batch` as the columns that a sink stores.

    Raises:
        SinkError: the batch has other columns, or values that `schema` cannot hold.
    """
    if batch.schema.names != schema.names:
        raise SinkError(
            f"a batch has the columns {', '.join(batch.schema.names)}; begun with {', '.join(schema.names)}"
        )
    try:
        return pa.Table.from_batches([batch]).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise SinkError(f"rows cannot be stored as the sink's columns: {error}") from error
