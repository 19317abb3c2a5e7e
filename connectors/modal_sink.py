"""The bases of sinks whose option ``mode`` says what becomes of the rows that the target holds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Literal

from pydantic import model_validator
from typing_extensions import Self

from connectors.errors import SinkError, SinkExistsError
from connectors.sink import Sink
from connectors.source import ROW_ID

NewColumns = Literal["refuse", "add"]


class ModalSink(Sink):
    """A sink that refuses a target with rows, replaces them, adds to them, or merges with them by keys.

    Attributes:
        mode: which of them; a sink that cannot do all of it names its own.
        new_columns: ``add`` gives the target the columns that rows bring and it has not, before any is staged; earlier
            rows have nulls for them. ``refuse`` makes them an error.
    """

    mode: Literal["error", "overwrite", "append", "merge"] = "error"
    new_columns: NewColumns = "refuse"

    def accumulates(self) -> bool:
        """Tell whether the mode is ``append`` or ``merge``; see `Sink.accumulates`."""
        return self.mode in ("append", "merge")

    def merges(self) -> bool:
        """Tell whether the mode is ``merge``; see `Sink.merges`."""
        return self.mode == "merge"

    def adding_columns(self) -> Self:
        """Return the sink with ``new_columns: add``; see `Sink.adding_columns`."""
        return self.model_copy(update={"new_columns": "add"})

    def replacing(self) -> Self:
        """Return the sink in the mode ``overwrite``; see `Sink.replacing`."""
        return self.model_copy(update={"mode": "overwrite"})


class KeyedSink(ModalSink):
    """A table that tells rows apart by keys, for the mode ``merge``.

    Attributes:
        keys: the columns that tell rows apart, for ``merge``.
    """

    keys: tuple[str, ...] = (ROW_ID,)

    @abstractmethod
    def holding_rows(self) -> str | None:
        """Return what the table is called in a message if it holds rows, and None if it does not or is not there.

        Raises:
            SinkError: it cannot be asked.
        """

    def check(self) -> None:
        """Refuse a table that holds rows where the mode is ``error``; see `Sink.check`."""
        if self.mode == "error" and (table := self.holding_rows()) is not None:
            raise holds_rows(table)

    @model_validator(mode="after")
    def _has_keys(self) -> Self:
        if not self.keys or len(set(self.keys)) < len(self.keys):
            raise ValueError("'keys' names at least one column, and each once")
        return self

    def require_keys(self, columns: Collection[str]) -> None:
        """See to it that rows of these columns have the keys that they are to be merged by.

        Raises:
            SinkError: they have not.
        """
        missing = [key for key in self.keys if self.mode == "merge" and key not in columns]
        if missing:
            raise SinkError(
                f"there is no column {missing[0]!r} to merge by; there is: {', '.join(columns)}; name others in 'keys'"
            )


def holds_rows(table: str) -> SinkExistsError:
    """Return what to raise where the mode ``error`` meets a table with rows; `table` says which, for a person."""
    return SinkExistsError(
        f"{table} holds rows; choose another one, or set mode: overwrite to replace them, append to add to them, or "
        "merge to replace those with the same keys"
    )
