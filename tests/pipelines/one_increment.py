"""One run of an incremental pipeline without an engine, that may be killed on its way.

`run` is one in this process. The program

python -m tests.pipelines.one_increment DIRECTORY WHERE

takes source and sink from ``DIRECTORY/ends.json``, as `save` writes it, and keeps its state in ``DIRECTORY/runs``, by
the classes that the runner uses. WHERE says at which point it kills itself, if at all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import connectors
from connectors import BadRow, LanceTableSink, PartitionedSource, PostgresSink, Receipt, Sink
from connectors.files.directory import LocalDirectory
from connectors.object_store.directory import ObjectDirectory
from connectors.tables.staged_files import StagedFile, Staging
from pipelines.commits import Commits
from pipelines.read_state import ReadState

POINTS = ("while writing", "before the commit", "in the commit", "while clearing", "between commit and state")
HAPPENED = {"in the commit", "while clearing", "between commit and state"}
"""The points at which the commit has happened already, or may have."""

NAME = "nightly"


def run(
    directory: Path,
    source: PartitionedSource,
    sink: Sink,
    *,
    where: str = "",
    since: str | None = None,
    full_refresh: bool = False,
) -> int:
    """Read what has come to the source and commit it to the sink, as `pipelines.runner` does.

    Args:
        directory: where the state is kept.
        source: from where.
        sink: to where.
        where: at which of `POINTS` this process is killed; empty: at none.
        since: read on from this cursor instead.
        full_refresh: read all there is, and replace what the sink holds.

    Returns:
        How many rows were read.
    """
    with ReadState.hold(directory / "runs", NAME) as state:
        state.enter(source, sink, afresh=full_refresh)
        if not full_refresh and since is None:
            since = state.state.cursor
        target = sink.replacing() if full_refresh else sink
        commits = Commits(state, "a-run")
        with source.plan(since=since) as plan:
            commit = commits.begin(plan.cursor)
            target.begin(commit, source.row_schema())
            receipts: list[Receipt] = []
            for number, partition in enumerate(plan.partitions):
                batches = (item for item in source.scan(partition) if not isinstance(item, BadRow))
                receipts.append(target.write(commit, number, 0, batches))
                if where == "while writing":
                    _die()
            if where == "before the commit":
                _die()
            commits.commit(_Deadly(target, where) if where else target, receipts)  # type: ignore[arg-type]
    return sum(receipt.rows for receipt in receipts)


def save(directory: Path, source: PartitionedSource, sink: Sink) -> None:
    """Write down between what the program is to move rows."""
    ends = {"source": _described(source), "sink": _described(sink)}
    (directory / "ends.json").write_text(json.dumps(ends))


def main(directory: Path, where: str) -> None:
    ends = json.loads((directory / "ends.json").read_text())
    source, sink = (getattr(connectors, ends[one].pop("class"))(**ends[one]) for one in ("source", "sink"))
    run(directory, source, sink, where=where)


def _described(one: PartitionedSource | Sink) -> dict[str, object]:
    return {"class": type(one).__name__, **one.model_dump(mode="json")}


class _Deadly:
    """A sink whose commit is not survived."""

    def __init__(self, sink: Sink, where: str) -> None:
        self._sink, self._where = sink, where

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        step = {"in the commit": "publish", "while clearing": "remove_tree"}.get(self._where)
        if step is not None:
            for kind in (LocalDirectory, ObjectDirectory):
                setattr(kind, step, lambda *names: _die())
            # In the transaction, of which nothing is left then.
            PostgresSink._clear = lambda *arguments: _die()  # type: ignore[method-assign]
            published = self._where == "in the commit"
            self._die_in_the_staging_of_tables(published=published)
            self._die_in_a_lance_table(published=published)
        self._sink.commit(commit_id, receipts, cursor)
        if self._where == "between commit and state":
            _die()

    def _die_in_the_staging_of_tables(self, *, published: bool) -> None:
        """A sink of lake tables clears its staging before it publishes, and once more after; it dies in one of them."""
        clear = Staging.clear

        def clear_once(staging: Staging, kept: Sequence[StagedFile] = (), *, ended: bool = True) -> None:
            if ended == published:
                _die()
            clear(staging, kept, ended=ended)

        Staging.clear = clear_once  # type: ignore[method-assign]

    def _die_in_a_lance_table(self, *, published: bool) -> None:
        """It clears what is not published, and then publishes; it dies between these, or after both."""
        publish = LanceTableSink._publish

        def publish_and_die(*arguments: Any) -> None:
            if published:
                publish(*arguments)
            _die()

        LanceTableSink._publish = publish_and_die  # type: ignore[method-assign]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
