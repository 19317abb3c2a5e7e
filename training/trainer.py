"""The contract of everything that learns from rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from ray.data import Dataset

    from training.model import Model


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training came to.

    Attributes:
        number: which epoch, from 1.
        rows: how many rows the workers trained on, all of them together.
        seconds: how long the epoch took.
        train_loss: mean loss over the epoch's rows.
        metrics: metrics on the validation rows by name; empty without a validation split.
    """

    number: int
    rows: int
    seconds: float
    train_loss: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Fit:
    """What a trainer returns: the best model and how it came about.

    Attributes:
        model: the model of `best_epoch`.
        epochs: every epoch, in order.
        best_epoch: the number of the epoch that the model is from.
    """

    model: Model
    epochs: tuple[Epoch, ...]
    best_epoch: int


class Trainer(BaseModel, ABC):
    """Learns a model from Ray Datasets; its fields are its options, in YAML and in Python alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def check(self) -> None:
        """Find what would make `fit` fail whatever the rows; called before anything slow starts.

        Raises:
            TrainingError: something that training needs is not there.
        """

    def warm_up(self) -> None:
        """Import what `fit` will need; called in a thread of its own while the rows are still being computed.

        It must change nothing and may do nothing. What it raises is not looked at: `fit` will raise it again.
        """

    @abstractmethod
    def fit(
        self,
        train: Dataset,
        validation: Dataset | None,
        *,
        storage: Path,
        name: str,
        listener: Callable[[str, int], None] | None = None,
    ) -> Fit:
        """Train on `train`, choose the best epoch by `validation`, and return the model.

        Args:
            train: rows with at least ``row_id``, ``text`` and ``label``, all strings without nulls; in the object
                store, so that it can be read once an epoch.
            validation: the same columns; None trains all epochs and keeps the last.
            storage: a directory for checkpoints, reachable from every worker.
            name: names the training run within `storage`; the same name resumes, a new one starts afresh.
            listener: called in this process as work goes on, with what is being done (``encoding``, ``epoch 2``) and
                how many rows are done.

        Raises:
            LabelError: fewer than two classes, or a validation label that training never saw.
            EncoderError: the encoder cannot be loaded.
            FitError: training failed.
        """
