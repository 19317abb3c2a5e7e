from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import training


def test_the_public_names_are_these() -> None:
    assert training.__all__ == [
        "Baseline",
        "ClassScore",
        "EncoderError",
        "Epoch",
        "Evaluation",
        "Fit",
        "FitError",
        "LabelError",
        "Mistake",
        "Model",
        "ModelError",
        "Predictions",
        "ReliabilityBin",
        "ScratchEncoder",
        "TextClassifier",
        "Trainer",
        "TrainingError",
        "evaluate",
        "fit_baselines",
        "score",
    ]
    assert all(getattr(training, name).__name__ == name for name in training.__all__)
    assert dir(training) == training.__all__


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Modell'; it has Baseline"):
        training.Modell  # noqa: B018


@pytest.mark.parametrize(
    ("program", "forbidden"),
    [
        (
            "from training import TextClassifier; TextClassifier(encoder='a/b')",
            ("ray", "pyspark", "torch", "transformers"),
        ),
        ("from training import Model; Model.load(DIRECTORY).predict(['a goal'])", ("ray", "pyspark", "sklearn")),
    ],
)
def test_what_is_not_needed_is_not_imported(
    program: str, forbidden: tuple[str, ...], tmp_path: Path, tiny_encoder: Path
) -> None:
    from training.encoder import load_encoder

    encoder = load_encoder(str(tiny_encoder))
    training.Model.assemble(encoder, labels=("a", "b"), max_length=16, dropout=0.0, seed=0).save(tmp_path / "model")
    look = f"import sys; print(sorted(set(sys.modules) & {set(forbidden)!r}))"
    code = f"DIRECTORY = {str(tmp_path / 'model')!r}; {program}; {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
