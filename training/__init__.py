"""What learns from rows: trainers, the models they return, and how good those are.

Names are imported when they are first used, so that checking a spec needs no torch, and serving a model no Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.baselines import Baseline, fit_baselines
    from training.classifier import TextClassifier
    from training.encoder import ScratchEncoder
    from training.errors import EncoderError, FitError, LabelError, ModelError, TrainingError
    from training.evaluation import ClassScore, Evaluation, Mistake, ReliabilityBin, evaluate, score
    from training.model import Model, Predictions
    from training.trainer import Epoch, Fit, Trainer

__all__ = [
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

_ROOMS = {
    "baselines": ("Baseline", "fit_baselines"),
    "classifier": ("TextClassifier",),
    "encoder": ("ScratchEncoder",),
    "errors": ("EncoderError", "FitError", "LabelError", "ModelError", "TrainingError"),
    "evaluation": ("ClassScore", "Evaluation", "Mistake", "ReliabilityBin", "evaluate", "score"),
    "model": ("Model", "Predictions"),
    "trainer": ("Epoch", "Fit", "Trainer"),
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that holds it."""
    for module, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"training.{module}"), name)
    raise AttributeError(f"module 'training' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
