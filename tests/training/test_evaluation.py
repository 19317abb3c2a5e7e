from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from training.errors import LabelError
from training.evaluation import BINS, reliability_bins, score

LABELS = ("a", "b", "c")


def random_rows(rows: int = 400) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.5, 0.7, 1.0], rows).astype(np.float32)
    true = [LABELS[generator.choice(3, p=[0.2, 0.3, 0.5])] for _ in range(rows)]
    return true, probabilities


def test_scores_are_what_they_are_by_hand() -> None:
    found = score(["a", "a", "b", "b"], np.array([[0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]), ("a", "b"))
    assert found.rows == 4
    assert found.accuracy == 0.75
    assert found.confusion == ((1, 1), (0, 2))
    assert found.per_class[0].precision == 1.0
    assert found.per_class[0].recall == 0.5
    assert found.per_class[1].precision == pytest.approx(2 / 3)
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    assert found.log_loss == pytest.approx(-np.log([0.8, 0.4, 0.9, 0.7]).mean())
    assert [one.support for one in found.per_class] == [2, 2]


def test_the_calibration_error_is_that_of_torchmetrics() -> None:
    true, probabilities = random_rows()
    targets = torch.tensor([LABELS.index(label) for label in true])
    expected = multiclass_calibration_error(torch.from_numpy(probabilities), targets, 3, n_bins=BINS, norm="l1")
    assert score(true, probabilities, LABELS).calibration_error == pytest.approx(float(expected), abs=1e-6)


def test_the_bins_hold_every_row_once() -> None:
    true, probabilities = random_rows()
    bins = score(true, probabilities, LABELS).reliability
    assert len(bins) == 15
    assert sum(one.rows for one in bins) == len(true)
    assert all(one.lower < one.confidence <= one.upper + 1e-9 for one in bins if one.rows)


def test_the_ends_of_the_range_are_in_the_outer_bins() -> None:
    bins = reliability_bins(np.array([0.0, 1.0]), np.array([False, True]))
    assert (bins[0].rows, bins[-1].rows) == (1, 1)
    assert bins[-1].accuracy == 1.0


def test_a_class_without_rows_scores_nothing_and_breaks_nothing() -> None:
    found = score(["a", "b"], np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]), LABELS)
    assert found.per_class[2].support == 0
    assert found.per_class[2].f1 == 0.0
    assert found.macro_f1 == pytest.approx(2 / 3)


def test_an_evaluation_is_plain_json() -> None:
    true, probabilities = random_rows(20)
    found = score(true, probabilities, LABELS, metric=lambda true, predicted, probabilities: 0.25)
    read = json.loads(json.dumps(found.as_dict()))
    assert read["extra"] == {"<lambda>": 0.25}
    assert read["accuracy"] == found.accuracy


@pytest.mark.parametrize(
    ("true", "error", "told"),
    [
        ([], LabelError, "no rows to score"),
        (["a", "x"], LabelError, "'x'"),
        (["a"] * 3, ValueError, "there are 3 rows"),
    ],
)
def test_what_cannot_be_scored_is_refused(true: list[str], error: type[Exception], told: str) -> None:
    rows = 2 if len(true) == 3 else len(true)
    with pytest.raises(error, match=told):
        score(true, np.full((rows, 3), 1 / 3), LABELS)
