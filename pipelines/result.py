"""What a run returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.accounting import StepAccount
from pipelines.run_record import StageTime
from pipelines.summary import print_summary

if TYPE_CHECKING:
    from ray.data import Dataset

    from training.baselines import Baseline
    from training.evaluation import Evaluation
    from training.trainer import Epoch

_WIDTH = 100


@dataclass(frozen=True, repr=False)
class Result:
    """A run that has ended well.

    Attributes:
        pipeline: the pipeline's name.
        run_id: the run's.
        directory: its record, ``runs/<pipeline>/<run-id>/``.
        accounts: the rows of the source and of each step, in order.
        stages: the stages and their wall times.
        rejected: how many rows are in the quarantine.
        report: the page about the run.
        bundle: the row steps and the model, for `pipelines.bundle.Bundle.load`; None where nothing was trained.
        sink: where the rows went, for a pipeline that ends in a sink.
        evaluation: how good the model is on the test rows; None where nothing was trained.
        baselines: the baselines on the same rows.
        epochs: how training went.
        notices: what a person should know of the run, such as a node that was lost and made up for.
        datasets: the rows by split (under "" without a split), as long as the session lives that the run was given;
            empty for a run that had a session of its own, or that ended in a sink.
    """

    pipeline: str
    run_id: str
    directory: Path
    accounts: Sequence[StepAccount]
    stages: Sequence[StageTime]
    rejected: int
    report: Path | None = None
    bundle: Path | None = None
    sink: str | None = None
    evaluation: Evaluation | None = None
    baselines: Sequence[Baseline] = ()
    epochs: Sequence[Epoch] = ()
    notices: Sequence[str] = ()
    datasets: Mapping[str, Dataset] = field(default_factory=dict)

    def __repr__(self) -> str:
        figures = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        rows = f"{self.accounts[-1].rows_out} rows, {self.rejected} rejected" if self.accounts else "no rows"
        return f"<Result of {self.pipeline} {self.run_id}: {rows}{figures}; report: {self.report}>"

    def __str__(self) -> str:
        """Return the summary that a run ends with, as text."""
        console = Console(file=StringIO(), width=_WIDTH, force_jupyter=False)
        print_summary(console, self)
        return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]

    @property
    def metrics(self) -> dict[str, float]:
        """The headline figures on the test rows by name; empty where nothing was trained."""
        return headline(self.evaluation) if self.evaluation else {}


def headline(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation that are single numbers, by name."""
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "log_loss", "calibration_error")
    return {**{name: getattr(evaluation, name) for name in names}, **evaluation.extra}
