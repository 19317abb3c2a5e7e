from __future__ import annotations

import pytest
from pydantic import ValidationError

from training import ScratchEncoder, TextClassifier


def test_yaml_and_python_give_the_same_classifier() -> None:
    options = {"encoder": {"vocabulary": 500, "layers": 2}, "frozen": False, "labels": ["b", "a"]}
    assert TextClassifier.model_validate(options) == TextClassifier(
        encoder=ScratchEncoder(vocabulary=500, layers=2), frozen=False, labels=("b", "a")
    )
    classifier = TextClassifier(encoder="a/b", metric="m:f")
    assert TextClassifier.model_validate_json(classifier.model_dump_json()) == classifier
    assert len({classifier, TextClassifier(encoder="a/b", metric="m:f"), TextClassifier(encoder="a/b")}) == 2


@pytest.mark.parametrize(
    ("options", "epochs", "rate"),
    [
        ({"encoder": "a/b"}, 20, 1e-3),
        ({"encoder": "a/b", "frozen": False}, 3, 3e-5),
        ({"encoder": ScratchEncoder(), "frozen": False}, 3, 2e-3),
        ({"encoder": "a/b", "epochs": 7, "learning_rate": 0.5}, 7, 0.5),
    ],
)
def test_defaults_suit_the_way_of_training(options: dict[str, object], epochs: int, rate: float) -> None:
    classifier = TextClassifier.model_validate(options)
    assert (classifier.actual_epochs, classifier.actual_learning_rate) == (epochs, rate)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encoder": {}}, "set frozen: false"),
        ({"encoder": "a/b", "token_dropout": 0.1}, "token_dropout needs tokens"),
        ({"encoder": "a/b", "batch_size": 2, "workers": 3}, "leaves some of 3 workers without a row"),
        ({"encoder": "a/b", "labels": ["x"]}, "labels must be two or more different ones"),
        ({"encoder": "a/b", "labels": ["x", "x"]}, "labels must be two or more different ones"),
        ({"encoder": {"positions": 64}, "frozen": False}, "more than the 64 positions"),
        ({"encoder": "a/b", "epoch": 3}, "Extra inputs are not permitted"),
        ({"encoder": "a/b", "epochs": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TextClassifier.model_validate(options)
