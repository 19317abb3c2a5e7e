"""One run of an incremental pipeline without an engine, that may be killed on its way: a program for `test_commits`.

python -m tests.pipelines.one_increment DIRECTORY KIND WHERE

reads the new lines of ``DIRECTORY/in``, writes them to a sink of the kind, with the options of ``DIRECTORY/sink.json``,
and keeps its state in ``DIRECTORY/runs``, by the classes that the runner uses. WHERE says at which point it kills
itself, if at all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from connectors import (
    CsvSink,
    DeltaTableSink,
    IcebergTableSink,
    JsonLinesSink,
    ParquetSink,
    Receipt,
    Sink,
    TextLines,
)
from connectors.object_directory import ObjectDirectory
from connectors.sink_directory import LocalDirectory
from connectors.staged_files import StagedFile, Staging
from pipelines.commits import Commits
from pipelines.read_state import ReadState

SINKS: dict[str, type[Sink]] = {
    "parquet": ParquetSink,
    "json_lines": JsonLinesSink,
    "csv": CsvSink,
    "parquet_in_a_store": ParquetSink,
    "delta": DeltaTableSink,
    "delta_merge": DeltaTableSink,
    "iceberg": IcebergTableSink,
    "iceberg_merge": IcebergTableSink,
}
POINTS = ("while writing", "before the commit", "in the commit", "while clearing", "between commit and state")
HAPPENED = {"in the commit", "while clearing", "between commit and state"}
"""The points at which the commit has happened already, or may have."""


def main(directory: Path, kind: str, where: str) -> None:
    source = TextLines(path=str(directory / "in"))
    sink = SINKS[kind](**json.loads((directory / "sink.json").read_text()))
    with ReadState.hold(directory / "runs", "nightly") as state:
        state.settle(sink)
        commits = Commits(state, "a-run")
        with source.plan(since=state.state.cursor) as plan:
            commit = commits.begin(plan.cursor)
            sink.begin(commit, source.row_schema())
            receipts: list[Receipt] = []
            for number, partition in enumerate(plan.partitions):
                batches = (item for item in source.scan(partition) if isinstance(item, pa.RecordBatch))
                receipts.append(sink.write(commit, number, 0, batches))
                if where == "while writing":
                    _die()
            if where == "before the commit":
                _die()
            commits.commit(_Deadly(sink, where), receipts)  # type: ignore[arg-type]


class _Deadly:
    """A sink whose commit is not survived."""

    def __init__(self, sink: Sink, where: str) -> None:
        self._sink, self._where = sink, where

    def commit(self, commit_id: str, receipts: Sequence[Receipt], cursor: str | None = None) -> None:
        step = {"in the commit": "publish", "while clearing": "remove_tree"}.get(self._where)
        if step is not None:
            for kind in (LocalDirectory, ObjectDirectory):
                setattr(kind, step, lambda *names: _die())
            self._die_in_the_staging_of_tables()
        self._sink.commit(commit_id, receipts, cursor)
        if self._where == "between commit and state":
            _die()

    def _die_in_the_staging_of_tables(self) -> None:
        """A sink of tables clears its staging before it publishes, and after; it dies in the first or in the second."""
        clear, times = Staging.clear, iter((False, True) if self._where == "while clearing" else (True,))

        def clear_once(staging: Staging, published: Sequence[StagedFile] = (), *, ended: bool = True) -> None:
            if ended and next(times, True):
                _die()
            clear(staging, published, ended=ended)

        Staging.clear = clear_once  # type: ignore[method-assign]


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
