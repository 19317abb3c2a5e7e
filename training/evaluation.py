"""How good a classifier is on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from training.errors import LabelError
from training.metric import Metric, apply_metric, load_metric

if TYPE_CHECKING:
    from ray.data import Dataset

    from training.model import Model

BINS = 15
"""Bins of confidence, as in Guo et al. 2017, "On Calibration of Modern Neural Networks"."""

MISTAKES = 20
"""How many of the most confident mistakes are kept: what a person will read through."""


@dataclass(frozen=True)
class ClassScore:
    """How well one class is told from the others.

    Attributes:
        label: the class.
        precision: share of the rows predicted so that are so; 0 when none is predicted so.
        recall: share of the rows that are so that are predicted so; 0 when none is so.
        f1: harmonic mean of the two.
        support: rows that are so.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows whose predicted class has a probability above `lower` and up to `upper`.

    Attributes:
        lower: the least confidence, itself in the bin only when it is 0.
        upper: the most.
        rows: how many there are.
        confidence: their mean confidence; 0 in an empty bin.
        accuracy: the share of them that is right; 0 in an empty bin.
    """

    lower: float
    upper: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Mistake:
    """A row that was classified wrongly.

    Attributes:
        row_id: which row.
        text: its beginning.
        label: what it is.
        predicted: what it was taken for.
        confidence: the probability of that.
    """

    row_id: str
    text: str
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """How good a classifier is.

    Attributes:
        rows: how many rows were scored.
        labels: the classes, in the order of all that goes by class.
        accuracy: share of the rows that are right.
        macro_precision: mean precision over the classes, each counting alike.
        macro_recall: mean recall.
        macro_f1: mean F1.
        log_loss: mean of -ln(probability of the true class), in nats.
        calibration_error: expected calibration error (Guo et al. 2017): the mean distance of confidence from accuracy
            over 15 bins of equal width, weighted by rows.
        per_class: scores by class.
        confusion: rows by true class (outer) and predicted class (inner).
        reliability: the bins of the calibration error.
        extra: the user's own metric by name, where there is one.
        mistakes: the most confident wrong predictions, the most confident first.
    """

    rows: int
    labels: tuple[str, ...]
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    log_loss: float
    calibration_error: float
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    extra: dict[str, float] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


def evaluate(
    model: Model,
    test: Dataset,
    *,
    metric: str | Metric | None = None,
    listener: Callable[[str, int], None] | None = None,
) -> Evaluation:
    """Score a model on held-out rows, in Ray actors of one CPU each.

    Args:
        model: a trained model.
        test: rows with ``row_id``, ``text`` and ``label``, prepared as the training rows were.
        metric: a function of yours, reported under `Evaluation.extra`.
        listener: called in this process with ``evaluating`` and how many rows are done.

    Raises:
        LabelError: there are no rows, no labels, or a label that the model does not know.
        FitError: the metric cannot be found, or failed.
    """
    from training.labels import check_known, count_labels
    from training.preparation import quiet
    from training.scoring import score_rows

    with quiet(test):
        check_known(count_labels(test, split="test"), model.labels, split="test")
        found = score_rows(model, test, listener or (lambda doing, rows: None))
    positions = {label: position for position, label in enumerate(model.labels)}
    true = np.array([positions[label] for label in found.labels], dtype=np.int64)
    return replace(
        _scored(true, found.probabilities, model.labels, metric),
        mistakes=_worst(found.mistakes),
    )


def score(
    true_labels: Sequence[str],
    probabilities: NDArray[np.floating[Any]],
    labels: tuple[str, ...],
    *,
    metric: str | Metric | None = None,
) -> Evaluation:
    """Score probabilities against the truth.

    Args:
        true_labels: the label of each row.
        probabilities: ``[rows, classes]``, each row adding up to one.
        labels: the classes, in the order of the columns.
        metric: a function of yours, reported under `Evaluation.extra`.

    Raises:
        LabelError: there are no rows, or a label is not among the classes.
        ValueError: the shapes do not fit.
        FitError: the metric cannot be found, or failed.
    """
    if probabilities.shape != (len(true_labels), len(labels)):
        raise ValueError(
            f"probabilities are of shape {probabilities.shape}, and there are {len(true_labels)} rows and "
            f"{len(labels)} labels"
        )
    if not len(true_labels):
        raise LabelError("there are no rows to score; look at the split's shares and at the steps before it")
    unknown = sorted(set(true_labels) - set(labels))
    if unknown:
        raise LabelError(f"the labels {unknown} are not among the classes {list(labels)}")
    positions = {label: position for position, label in enumerate(labels)}
    true = np.array([positions[label] for label in true_labels], dtype=np.int64)
    return _scored(true, probabilities, labels, metric)


def _scored(
    true: NDArray[np.int64],
    probabilities: NDArray[np.floating[Any]],
    labels: tuple[str, ...],
    metric: str | Metric | None,
) -> Evaluation:
    predicted, known = probabilities.argmax(axis=1), np.arange(len(labels))
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    columns = precision_recall_fscore_support(true, predicted, labels=known, zero_division=0)
    reliability = reliability_bins(exact.max(axis=1), predicted == true)
    extra = {}
    if metric is not None:
        function = load_metric(metric)
        name = metric.partition(":")[2] if isinstance(metric, str) else getattr(metric, "__name__", "metric")
        extra[name] = apply_metric(function, true, probabilities.astype(np.float32), labels)
    return Evaluation(
        rows=len(true),
        labels=labels,
        accuracy=float((predicted == true).mean()),
        macro_precision=float(columns[0].mean()),
        macro_recall=float(columns[1].mean()),
        macro_f1=float(columns[2].mean()),
        log_loss=float(log_loss(true, exact, labels=known)),
        calibration_error=sum(one.rows * abs(one.accuracy - one.confidence) for one in reliability) / len(true),
        per_class=tuple(
            ClassScore(label, float(precision), float(recall), float(f1), int(support))
            for label, precision, recall, f1, support in zip(labels, *columns, strict=True)
        ),
        confusion=tuple(tuple(int(rows) for rows in row) for row in confusion_matrix(true, predicted, labels=known)),
        reliability=reliability,
        extra=extra,
    )


def reliability_bins(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Return `BINS` bins of equal width over 0 to 1, each without its lower and with its upper end.

    Args:
        confidence: the predicted class's probability, ``[rows]``.
        right: whether the prediction is right, ``[rows]``.
    """
    number = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    rows = np.bincount(number, minlength=BINS)
    sums = np.bincount(number, weights=confidence, minlength=BINS), np.bincount(number, weights=right, minlength=BINS)
    means = [total / np.maximum(rows, 1) for total in sums]
    return tuple(
        ReliabilityBin(n / BINS, (n + 1) / BINS, int(rows[n]), float(means[0][n]), float(means[1][n]))
        for n in range(BINS)
    )


def _worst(mistakes: Sequence[Mistake]) -> tuple[Mistake, ...]:
    return tuple(sorted(mistakes, key=lambda mistake: (-mistake.confidence, mistake.row_id))[:MISTAKES])
