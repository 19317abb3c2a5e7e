"""Committing to a sink: once, or not at all, and with somebody to account for it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.sink import Receipt, Sink
from pipelines.read_state import Commit, ReadState


@dataclass
class Commits:
    """The one commit of a run.

    Attributes:
        state: how far the source has been read; moved on by the commit. None: it is read as a whole each time.
        run_id: the run.
        commit_id: names the commit to the sink.
    """

    state: ReadState | None = None
    run_id: str = ""
    commit_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    _cursor: str | None = None

    def begin(self, cursor: str | None) -> str:
        """Say how far the source will have been read; before `Sink.begin`. Returns the commit's id."""
        self._cursor = cursor
        if self.state is not None:
            self.state.begin(Commit(self.commit_id, cursor, self.run_id))
        return self.commit_id

    def commit(self, sink: Sink, receipts: Sequence[Receipt]) -> None:
        """Publish the receipts, and then move the state on."""
        if self.state is None:
            sink.commit(self.commit_id, receipts, self._cursor)
        else:
            self.state.commit(sink, receipts)

    def give_up(self, sink: Sink) -> None:
        """Clear what was staged, and leave the state where it was, unless the commit did happen."""
        if self.state is None:
            sink.abort(self.commit_id)
        else:
            self.state.settle(sink)
