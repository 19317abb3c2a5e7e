from __future__ import annotations

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from training.errors import FitError
from training.metric import UserMetric, apply_metric, load_metric


class Options(BaseModel):
    metric: UserMetric | None = None


def mean_confidence(true: object, predicted: object, probabilities: np.ndarray) -> float:
    return float(probabilities.max(axis=1).mean())


def test_a_function_and_its_reference_are_the_same_option() -> None:
    by_name = Options(metric=f"{__name__}:mean_confidence")
    assert Options(metric=mean_confidence) == by_name
    assert Options.model_validate_json(by_name.model_dump_json()) == by_name
    assert load_metric(f"{__name__}:mean_confidence") is mean_confidence


def test_a_lambda_works_and_refuses_to_be_written() -> None:
    options = Options(metric=lambda true, predicted, probabilities: 1.0)
    assert options.metric(None, None, None) == 1.0
    with pytest.raises(PydanticSerializationError, match="lives in this program only and cannot be written"):
        options.model_dump_json()


@pytest.mark.parametrize("wrong", ["sklearn.metrics", "a b:c", ":f", "m:", 3])
def test_what_is_no_reference_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="module:function"):
        Options(metric=wrong)


def test_options_with_a_metric_have_a_json_schema() -> None:
    assert "pattern" in str(Options.model_json_schema())


@pytest.mark.parametrize("absent", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_an_absent_function_is_named(absent: str) -> None:
    with pytest.raises(FitError, match=f"metric '{absent}' cannot be found"):
        load_metric(absent)


def test_a_metric_gets_labels_and_probabilities() -> None:
    seen = []

    def keep(true: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> float:
        seen.append((true.tolist(), predicted.tolist(), probabilities.shape))
        return 0.5

    found = apply_metric(keep, np.array([0, 1]), np.array([[0.2, 0.8], [0.4, 0.6]], np.float32), ("no", "yes"))
    assert found == 0.5
    assert seen == [(["no", "yes"], ["yes", "yes"], (2, 2))]


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        (lambda true, predicted, probabilities: float("nan"), "returned nan"),
        (lambda true, predicted, probabilities: "much", "could not convert string"),
        (lambda true, predicted: 1.0, "takes 2 positional arguments"),
    ],
)
def test_a_metric_that_does_not_do_says_how_it_is_called(metric: object, told: str) -> None:
    with pytest.raises(FitError, match=told):
        apply_metric(metric, np.array([0]), np.ones((1, 1), np.float32), ("a",))  # type: ignore[arg-type]
