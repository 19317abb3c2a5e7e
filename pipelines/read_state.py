"""How far a pipeline has read its source: kept beside its run records, and moved on by the sink's commits alone.

    runs/<pipeline>/state.json       the cursor, and the commit that is under way, if any
    runs/<pipeline>/.state.lock      held by the one run that may move it

Before anything is written, the state says which commit is going to take the rows up to which cursor. After the sink
has committed, it says that this is done. A crash in between is settled by asking the sink, whose word is the truth:
a commit that it knows has happened and moves the cursor on; one that it does not know is cleared, and its rows are read
again. So rows are never passed over, and never there twice.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from connectors.sink import Receipt, Sink
from pipelines.durable_file import replace_file
from pipelines.errors import StateError

STATE_VERSION = 1
"""The version of the form of ``state.json``."""


@dataclass(frozen=True)
class Commit:
    """A commit and how far the source will have been read with it.

    Attributes:
        commit_id: names it to the sink.
        cursor: the source's cursor behind the last of its rows.
        run_id: the run that makes it.
    """

    commit_id: str
    cursor: str | None
    run_id: str


@dataclass(frozen=True)
class State:
    """What ``state.json`` says.

    Attributes:
        cursor: how far the source has been read; None: not at all.
        last: the latest commit; None: there was none.
        pending: one that was begun, and of which nothing more is known.
        updated: when this was written, in ISO 8601 (UTC).
    """

    cursor: str | None = None
    last: Commit | None = None
    pending: Commit | None = None
    updated: str = ""


class ReadState:
    """The state of one pipeline, held by one run at a time; see `hold`.

    Attributes:
        state: as it is on the disk.
    """

    def __init__(self, path: Path) -> None:
        """Use `hold`."""
        self._path = path
        self.state = read_state(path)

    @classmethod
    @contextmanager
    def hold(cls, runs: Path, pipeline: str) -> Iterator[ReadState]:
        """Hold a pipeline's state for as long as the block lasts; no other process can meanwhile.

        Raises:
            StateError: another run holds it, or it cannot be read.
        """
        directory = runs / pipeline
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / ".state.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                raise StateError(
                    f"another run of {pipeline} ({lock.read() or 'unknown'}) is reading on from the same position; "
                    "wait for its end, or end it"
                ) from error
            lock.truncate(0)
            lock.write(f"process {os.getpid()}")
            lock.flush()
            yield cls(state_path(runs, pipeline))

    def settle(self, sink: Sink) -> Commit | None:
        """Find out from the sink what became of a commit that was cut short.

        Returns:
            The commit, if it had happened: its rows are in the target, and the cursor is behind them now.
        """
        pending = self.state.pending
        if pending is None:
            return None
        if sink.is_committed(pending.commit_id):
            self._done(pending)
            return pending
        sink.abort(pending.commit_id)
        self._write(replace(self.state, pending=None))
        return None

    def begin(self, commit: Commit) -> None:
        """Say what is going to be committed; before the sink begins."""
        self._write(replace(self.state, pending=commit))

    def commit(self, sink: Sink, receipts: Sequence[Receipt]) -> None:
        """Have the sink commit what was begun, and move the cursor on."""
        pending = self.state.pending
        assert pending is not None
        sink.commit(pending.commit_id, receipts, pending.cursor)
        self._done(pending)

    def _done(self, commit: Commit) -> None:
        self._write(State(cursor=commit.cursor, last=commit))

    def _write(self, state: State) -> None:
        self.state = replace(state, updated=datetime.now(timezone.utc).isoformat(timespec="seconds"))
        try:
            replace_file(self._path, json.dumps({"version": STATE_VERSION, **asdict(self.state)}, indent=2) + "\n")
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error}; nothing was committed") from error


def state_path(runs: Path, pipeline: str) -> Path:
    """Return where a pipeline's state is."""
    return runs / pipeline / "state.json"


def read_state(path: Path) -> State:
    """Return what a state file says; where there is none, that nothing has been read.

    Raises:
        StateError: it is damaged, or of a later version.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        if said.pop("version") != STATE_VERSION:
            raise StateError(f"{path} is of a later version; upgrade headrace")
        last, pending = (Commit(**said[key]) if said[key] else None for key in ("last", "pending"))
        return State(said["cursor"], last, pending, said["updated"])
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); restore it from a copy, or take it away to read the source from its "
            "beginning"
        ) from error


def reset_state(runs: Path, pipeline: str, cursor: str | None = None) -> State:
    """Put the cursor of a pipeline somewhere else; None: before the beginning.

    Returns:
        The state before.

    Raises:
        StateError: a run holds it, or a commit of it is not settled.
    """
    with ReadState.hold(runs, pipeline) as held:
        before = held.state
        if before.pending is not None:
            raise StateError(
                f"the commit {before.pending.commit_id} of {pipeline} was cut short, and whether its rows are in the "
                "target is not known; run the pipeline once, which finds out, and reset then"
            )
        held._write(replace(before, cursor=cursor))
        return before
