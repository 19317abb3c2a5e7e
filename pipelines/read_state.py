"""How far a pipeline has read its source: kept beside its run records, and moved on by the sink's commits alone.

    runs/<pipeline>/state.json       the cursor, what it is between, and the commit that is under way, if any
    runs/<pipeline>/.state.lock      held by the one run that may move it

Before anything is written, the state says which commit is going to take the rows up to which cursor. After the sink
has committed, it says that this is done. A crash in between is settled by asking the sink, whose word is the truth:
a commit that it knows has happened and moves the cursor on; one that it does not know is cleared, and its rows are read
again. So rows are never passed over, and never there twice.

A cursor says how far one source was read into one sink, and nothing of others; so what these are is kept with it, and a
pipeline that has been given others does not read on; see `pipelines.ends`.
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
from connectors.source import Source
from pipelines.durable_file import replace_file
from pipelines.ends import Ends, sink_changes, source_changes
from pipelines.errors import StateError

STATE_VERSION = 2
"""The version of the form of ``state.json``."""


@dataclass(frozen=True)
class Commit:
    """A commit and how far the source will have been read with it.

    Attributes:
        commit_id: names it to the sink.
        cursor: the source's cursor behind the last of its rows.
        run_id: the run that makes it.
        ends: between what it moves rows; None: that is not known.
    """

    commit_id: str
    cursor: str | None
    run_id: str
    ends: Ends | None = None


@dataclass(frozen=True)
class State:
    """What ``state.json`` says.

    Attributes:
        cursor: how far the source has been read; None: not at all.
        ends: of what source the cursor is, and in what sink the rows before it are; None: whatever the next run has.
        last: the latest commit; None: there was none.
        pending: one that was begun, and of which nothing more is known.
        updated: when this was written, in ISO 8601 (UTC).
    """

    cursor: str | None = None
    ends: Ends | None = None
    last: Commit | None = None
    pending: Commit | None = None
    updated: str = ""


class ReadState:
    """The state of one pipeline, held by one run at a time; see `hold`.

    Attributes:
        state: as it is on the disk.
    """

    def __init__(self, path: Path, pipeline: str) -> None:
        """Use `hold`."""
        self._path, self._pipeline = path, pipeline
        self._ends: Ends | None = None
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
            yield cls(state_path(runs, pipeline), pipeline)

    def enter(self, source: Source, sink: Sink, *, afresh: bool = False) -> Commit | None:
        """Say from where to where rows go now, and find out what became of a commit that was cut short.

        Args:
            source: that of the pipeline.
            sink: that of the pipeline.
            afresh: the run reads all there is and replaces what the sink holds, so that no cursor is read on from.

        Returns:
            The commit, as `settle` does.

        Raises:
            StateError: the cursor is of another source, or the rows before it, or those of the commit, went to another
                sink.
        """
        self._ends = now = Ends.of(source, sink)
        pending = self.state.pending
        if pending is not None and pending.ends is not None and pending.ends.sink != now.sink:
            if not afresh:
                raise self._other_sink(pending, sink_changes(pending.ends, now))
            # Only the other sink could say what became of it, and it makes no difference to this one.
            self._write(replace(self.state, pending=None))
        settled = self.settle(sink)
        if not afresh and self.state.cursor is not None and self.state.ends is not None:
            self._require(self.state.ends, now)
        return settled

    def settle(self, sink: Sink) -> Commit | None:
        """Find out from the sink what became of a commit that was cut short.

        Returns:
            The commit, if it had happened: its rows are in the target, and the cursor is behind them now.
        """
        pending = self.state.pending
        if pending is None:
            return None
        if sink.is_committed(pending.commit_id):
            # Changes no row, and clears what it was kept from clearing.
            sink.commit(pending.commit_id, (), pending.cursor)
            self._done(pending)
            return pending
        sink.abort(pending.commit_id)
        self._write(replace(self.state, pending=None))
        return None

    def begin(self, commit: Commit) -> None:
        """Say what is going to be committed; before the sink begins."""
        self._write(replace(self.state, pending=replace(commit, ends=self._ends)))

    def commit(self, sink: Sink, receipts: Sequence[Receipt]) -> None:
        """Have the sink commit what was begun, and move the cursor on."""
        pending = self.state.pending
        assert pending is not None
        sink.commit(pending.commit_id, receipts, pending.cursor)
        self._done(pending)

    def reset(self, cursor: str | None) -> None:
        """Put the cursor somewhere else, whatever source and sink the next run has; None: before the beginning.

        Raises:
            StateError: a commit is not settled.
        """
        pending = self.state.pending
        if pending is not None:
            raise StateError(
                f"the commit {pending.commit_id} of {self._pipeline} was cut short, and whether its rows are in the "
                "target is not known; run the pipeline once, which finds out, and reset then"
            )
        self._write(replace(self.state, cursor=cursor, ends=None))

    def _require(self, before: Ends, now: Ends) -> None:
        """See to it that the cursor says something of the source and the sink that there are now."""
        source, sink = source_changes(before, now), sink_changes(before, now)
        found = [f"its source has changed: {source}"] * bool(source) + [f"its sink has changed: {sink}"] * bool(sink)
        if found:
            raise StateError(
                f"how far {self._pipeline} has been read ({self._path}) says nothing any more, as "
                f"{', and '.join(found)}; reading on from there would pass rows over. Set it back; or run once with "
                "--full-refresh, which reads all and replaces what the sink holds; or, to read all and add it to what "
                f"the sink holds, first `headrace state reset {self._pipeline}`; or give the pipeline another name. "
                "Where the rows are the same, and only come under another name: "
                f"`headrace state reset {self._pipeline} --keep-cursor`"
            )

    def _other_sink(self, pending: Commit, changes: str) -> StateError:
        return StateError(
            f"the commit {pending.commit_id} of {self._pipeline} was cut short on its way to another sink, which alone "
            f"can say what became of it: {changes}. Set the sink back and run once; or run once with --full-refresh, "
            "which reads all and replaces what the new sink holds; or give the pipeline another name"
        )

    def _done(self, commit: Commit) -> None:
        self._write(State(cursor=commit.cursor, ends=commit.ends, last=commit))

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
        StateError: it is damaged, or of another version.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        version = said.pop("version")
        if version != STATE_VERSION:
            raise _of_another_version(path, version)
        last, pending = (_commit(said[key]) for key in ("last", "pending"))
        return State(said["cursor"], _ends(said["ends"]), last, pending, said["updated"])
    except FileNotFoundError:
        return State()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); restore it from a copy, or take it away to read the source from its "
            "beginning"
        ) from error


def reset_state(runs: Path, pipeline: str, cursor: str | None = None, *, keep_cursor: bool = False) -> State:
    """Put the cursor of a pipeline somewhere else; None: before the beginning.

    Args:
        runs: the directory of all run records.
        pipeline: the pipeline's name.
        cursor: where to.
        keep_cursor: leave it where it is, and only forget what it was between: the next run's source and sink are the
            ones that it counts for.

    Returns:
        The state before.

    Raises:
        StateError: a run holds it, or a commit of it is not settled.
    """
    with ReadState.hold(runs, pipeline) as held:
        before = held.state
        held.reset(before.cursor if keep_cursor else cursor)
        return before


def _of_another_version(path: Path, version: object) -> StateError:
    if version == 1:
        return StateError(
            f"{path} was written by an earlier headrace and does not say of what source its cursor is; take it away, "
            "and run once with --full-refresh"
        )
    return StateError(f"{path} is of a later version; upgrade headrace")


def _commit(said: dict[str, object] | None) -> Commit | None:
    return Commit(**{**said, "ends": _ends(said["ends"])}) if said else None  # type: ignore[arg-type]


def _ends(said: object) -> Ends | None:
    return Ends(**said) if said is not None else None  # type: ignore[arg-type]
