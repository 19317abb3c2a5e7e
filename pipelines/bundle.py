"""The bundle: a model together with the row steps that its texts must go through; what is scored and served with.

pipeline.yaml   a spec that holds the pipeline's name and its row steps, and nothing else
model/          the model, as `training.model.Model` saves it
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.source import ROW_ID, TEXT
from pipelines.durable_file import replace_file
from pipelines.errors import BundleError, SpecError
from pipelines.pipeline import Pipeline
from pipelines.spec import load
from pipelines.steps.kernel import prepare
from pipelines.steps.step import RowStep, Step

if TYPE_CHECKING:
    from training.model import Model

SPEC = "pipeline.yaml"


@dataclass(frozen=True)
class Prediction:
    """What a bundle says of one text.

    Attributes:
        label: the likeliest label; None where a step keeps the model from seeing the text.
        probabilities: probability by label, in the model's order; empty where `label` is None.
        rejected: the step and the rule that the text was rejected by, as ``step: rule``; None where it was not.
    """

    label: str | None
    probabilities: dict[str, float]
    rejected: str | None = None


@dataclass(frozen=True)
class Bundle:
    """Row steps and a model; free of Ray and Spark.

    Attributes:
        pipeline: the name of the pipeline that it came from.
        steps: the row steps that texts go through, in order; those for training only are not among them.
        model: what classifies the prepared texts.
    """

    pipeline: str
    steps: tuple[RowStep, ...]
    model: Model

    def predict(self, texts: Sequence[str], batch_size: int = 64) -> list[Prediction]:
        """Classify raw texts, which go through the same row steps as those that the model learnt from.

        Args:
            texts: raw texts.
            batch_size: how many the model sees at once.

        Returns:
            One prediction for each text, in order; a text that a step rejects has no label and the reason.
        """
        ids = pa.array([str(number) for number in range(len(texts))], pa.string())
        batch = pa.RecordBatch.from_arrays([ids, pa.array(texts, pa.string())], names=[ROW_ID, TEXT])
        prepared = prepare(self.steps, batch)
        found = self.model.predict(prepared.batch.column(TEXT).to_pylist(), batch_size)
        labelled: Iterator[Prediction] = (
            Prediction(label, dict(zip(found.labels, map(float, row), strict=True)))
            for label, row in zip(found.predicted, found.probabilities, strict=True)
        )
        return [
            Prediction(None, {}, reason) if reason is not None else next(labelled)
            for reason in prepared.reasons.to_pylist()
        ]

    def save(self, directory: Path) -> None:
        """Write the bundle to a new directory, all of it or nothing.

        Raises:
            BundleError: the place is taken or cannot be written.
            SpecError: a step holds a function that has no name to be imported by.
        """
        if directory.exists():
            raise BundleError(f"{directory} exists already, and a bundle is never written over another; name a new one")
        spec = Pipeline(name=self.pipeline, steps=self.steps).to_yaml()
        directory.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        try:
            self.model.save(unfinished / "model")
            replace_file(unfinished / SPEC, spec)
            unfinished.chmod(0o755)
            os.rename(unfinished, directory)
        except OSError as error:
            raise BundleError(f"the bundle cannot be written to {directory}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    @classmethod
    def load(cls, directory: str | Path) -> Bundle:
        """Read a bundle.

        Raises:
            BundleError: there is none, it is damaged, or a step of its is not installed here.
            ModelError: its model is damaged.
        """
        from training.model import Model

        path = Path(directory) / SPEC
        if not path.is_file():
            raise BundleError(
                f"{directory} is no bundle: it has no {SPEC}; a run that trains leaves one in "
                "runs/<pipeline>/<run-id>/bundle"
            )
        try:
            pipeline = load(path)
        except SpecError as error:
            raise BundleError(f"the steps of the bundle {directory} cannot be read: {error}") from error
        return cls(pipeline.name, scoring_steps(pipeline.steps), Model.load(Path(directory) / "model"))


def scoring_steps(steps: Sequence[Step]) -> tuple[RowStep, ...]:
    """Return the steps that have a part in scoring: the row steps that are not for training only."""
    return tuple(step for step in steps if isinstance(step, RowStep) and not step.training_only)
