"""The closing summary of a run: rows, metrics beside the baselines, times, and where things are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.accounting import StepAccount
from pipelines.run_record import StageTime

if TYPE_CHECKING:
    from training.baselines import Baseline
    from training.evaluation import Evaluation


class FinishedRun(Protocol):
    """What the summary needs to know of a run that has ended well."""

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""

    @property
    def accounts(self) -> Sequence[StepAccount]:
        """The rows of each step, in the pipeline's order."""

    @property
    def stages(self) -> Sequence[StageTime]:
        """The stages and their times."""

    @property
    def evaluation(self) -> Evaluation | None:
        """How good the model is on the test rows; None where nothing was trained."""

    @property
    def baselines(self) -> Sequence[Baseline]:
        """The baselines on the same rows; empty where nothing was trained."""

    @property
    def notices(self) -> Sequence[str]:
        """What a person should know of the run."""

    @property
    def report(self) -> Path | None:
        """Where the report is."""

    @property
    def bundle(self) -> Path | None:
        """Where the bundle is; None where nothing was trained."""

    @property
    def sink(self) -> str | None:
        """Where the rows went; None where there is no sink."""


def print_summary(console: Console, run: FinishedRun) -> None:
    """Print the summary of `run`: rows by step, metrics beside the baselines, times, and where things are."""
    console.print()
    console.print(_rows_table(run.accounts))
    if run.evaluation is not None:
        console.print(_metrics_table(run.evaluation, run.baselines))
    times = [f"{stage.name} {format_seconds(stage.seconds)}" for stage in run.stages if stage.seconds is not None]
    if times:
        console.print(Text("Time    " + " · ".join(times)))
    for account in run.accounts:
        if account.counts:
            counted = ", ".join(f"{what} {count:,}" for what, count in sorted(account.counts.items()))
            console.print(Text(f"Counted {account.name}: {counted}"))
    for notice in run.notices:
        console.print(Text(f"Note    {notice}"), soft_wrap=True)
    for name, path in (("Sink", run.sink), ("Report", run.report), ("Bundle", run.bundle)):
        if path is not None:
            # A path is never broken, so that it can be selected, or clicked where the terminal knows how.
            console.print(Text(f"{name:<7} {path}"), soft_wrap=True)


def format_seconds(seconds: float) -> str:
    """Return a time for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``1 h 02 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"


def _rows_table(accounts: Sequence[StepAccount]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Rows", title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("step", no_wrap=True)
    for name in ("in", "created", "out", "rejected"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why")
    for account in accounts:
        why = ", ".join(f"{rule} {count:,}" for rule, count in sorted(account.rejected.items()) if count)
        counts = (account.rows_in, account.created, account.rows_out, account.rows_rejected)
        shown = (f"{count:,}" if count or position in (0, 2) else "–" for position, count in enumerate(counts))
        table.add_row(Text(account.name), *shown, Text(why, style="dim"))
    return table


def _metrics_table(evaluation: Evaluation, baselines: Sequence[Baseline]) -> Table:
    title = f"Test ({evaluation.rows:,} rows)"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column("", min_width=10)
    for name in ("accuracy", "macro F1", "log loss", "calibration error"):
        table.add_column(name, justify="right", min_width=5)
    rows = [("this model", evaluation), *((baseline.name, baseline.evaluation) for baseline in baselines)]
    for position, (name, scores) in enumerate(rows):
        figures = (scores.accuracy, scores.macro_f1, scores.log_loss, scores.calibration_error)
        style = "bold" if position == 0 else ""
        table.add_row(Text(name), *(f"{figure:.3f}" for figure in figures), style=style)
    return table
