"""Past runs as tables, for ``headrace runs``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from pipelines.run_history import PastRun
from pipelines.summary import format_seconds


def runs_table(runs: Sequence[PastRun]) -> Table:
    """Return a table with a line for each run: pipeline, id, status, duration and accuracy."""
    table = Table(box=None, pad_edge=False)
    for title in ("pipeline", "run", "status", "took", "accuracy"):
        table.add_column(title, justify="right" if title in ("took", "accuracy") else "left")
    for run in runs:
        accuracy = _metrics(run).get("test", {}).get("accuracy")
        table.add_row(
            escape(run.pipeline),
            run.run_id,
            run.status,
            format_seconds(run.seconds) if run.seconds is not None else "",
            f"{accuracy:.3f}" if isinstance(accuracy, float) else "",
        )
    return table


def run_tables(run: PastRun) -> Iterator[RenderableType]:
    """Yield what there is to show of one run: what it was, its rows, its metrics, its stages and its files."""
    facts = Table(box=None, pad_edge=False, show_header=False)
    for name, value in (
        ("pipeline", run.pipeline),
        ("run", run.run_id),
        ("status", run.status),
        ("started", run.started),
        ("error", run.error),
        ("directory", str(run.directory)),
        ("files", ", ".join(sorted(path.name for path in run.directory.iterdir()))),
        *(("fault", fault) for fault in run.faults),
    ):
        if value:
            facts.add_row(name, escape(value))
    yield facts
    steps: Any = run.record.get("steps") or []
    if steps:
        rows = Table(title="rows", title_justify="left", box=None, pad_edge=False)
        for title in ("step", "in", "created", "out", "rejected"):
            rows.add_column(title, justify="left" if title in ("step", "rejected") else "right")
        for step in steps:
            why = ", ".join(f"{rule} {count:,}" for rule, count in step["rejected"].items())
            counts = (f"{step[key]:,}" for key in ("in", "created", "out"))
            rows.add_row(escape(step["name"]), *counts, escape(why))
        yield rows
    if _metrics(run):
        metrics = Table(title="metrics", title_justify="left", box=None, pad_edge=False)
        names = list(dict.fromkeys(name for figures in _metrics(run).values() for name in figures))
        for title in ("", *names):
            metrics.add_column(title, justify="right" if title else "left")
        for who, figures in _metrics(run).items():
            shown = (figures.get(name) for name in names)
            metrics.add_row(escape(who), *("" if figure is None else f"{figure:.3f}" for figure in shown))
        yield metrics
    if run.stages:
        times = " · ".join(
            f"{stage.name} {'unfinished' if stage.seconds is None else format_seconds(stage.seconds)}"
            for stage in run.stages
        )
        yield f"\nstages: {times}"


def _metrics(run: PastRun) -> dict[str, dict[str, Any]]:
    metrics: Any = run.record.get("metrics")
    return dict(metrics) if isinstance(metrics, dict) else {}
