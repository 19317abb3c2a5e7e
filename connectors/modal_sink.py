"""The base of sinks whose option ``mode`` says what becomes of the rows that the target holds."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Self

from connectors.sink import Sink

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
