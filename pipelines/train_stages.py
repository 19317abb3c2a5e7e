"""The stages of a run that learn from its rows: train, evaluate, bundle."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipelines.bundle import Bundle, scoring_steps
from pipelines.errors import EmptyResultError
from pipelines.pipeline import Pipeline
from pipelines.run_record import RunRecord
from pipelines.stage import Stage

if TYPE_CHECKING:
    from ray.data import Dataset

    from training.baselines import Baseline
    from training.evaluation import Evaluation
    from training.trainer import Fit, Trainer

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Trained:
    """What training came to; empty for a run that trains nothing.

    Attributes:
        fit: the model, and how it came about.
        evaluation: how good it is on the test rows.
        baselines: the baselines on the same rows.
        splits: the rows of each split.
    """

    fit: Fit | None = None
    evaluation: Evaluation | None = None
    baselines: Sequence[Baseline] = ()
    splits: Mapping[str, int] = field(default_factory=dict)


def train(
    pipeline: Pipeline,
    datasets: Mapping[str, Dataset],
    record: RunRecord,
    stage: Callable[[str], AbstractContextManager[Stage]],
) -> Trained:
    """Train, evaluate and bundle.

    Args:
        pipeline: one that trains.
        datasets: its rows by split.
        record: where checkpoints go, and the bundle.
        stage: begins a stage of this name, for as long as a ``with`` block lasts.

    Raises:
        EmptyResultError: there are no rows to train on, or none to test on.
        TrainingError: the model cannot be trained.
    """
    from training.baselines import fit_baselines
    from training.evaluation import evaluate

    assert pipeline.train is not None
    rows, test = _split(datasets, TRAIN), _split(datasets, TEST)
    checkpoints = record.directory / "checkpoints"
    with stage("train") as this:
        this.rows = rows.count()
        fit = pipeline.train.fit(
            rows,
            datasets.get(VALIDATION),
            storage=checkpoints,
            name=record.run_id,
            listener=lambda note, done: this.progress(done, note),
        )
    with stage("evaluate") as this:
        this.rows = test.count()
        evaluation = evaluate(fit.model, test, metric=getattr(pipeline.train, "metric", None))
        baselines: Sequence[Baseline] = ()
        if pipeline.baselines:
            this.progress(this.rows, "baselines")
            baselines = fit_baselines(rows, test, fit.model.labels, seed=0)
    with stage("bundle"):
        Bundle(pipeline.name, scoring_steps(pipeline.steps), fit.model).save(record.bundle_path)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return Trained(fit, evaluation, baselines, {name: one.count() for name, one in datasets.items()})


def warm_up(trainer: Trainer | None) -> threading.Thread:
    """Let a trainer import what it will need while Spark computes the rows, and this process waits for them."""

    def work() -> None:
        if trainer is not None:
            with suppress(Exception):  # `fit` will raise it again
                trainer.warm_up()

    thread = threading.Thread(target=work, name="headrace-warm-up", daemon=True)
    thread.start()
    return thread


def _split(datasets: Mapping[str, Dataset], name: str) -> Dataset:
    if name not in datasets:
        there = ", ".join(f"{split}: {rows.count()} rows" for split, rows in sorted(datasets.items()))
        raise EmptyResultError(
            f"no row is in the split {name!r} ({there}); training needs rows for train and for test: raise the shares "
            "of the step split, or look at what the steps reject"
        )
    return datasets[name]
