"""The errors of the training.

    TrainingError              the root: catch this to catch them all
    ├── EncoderError           an encoder cannot be found or loaded
    ├── LabelError             the labels cannot be learnt: one class, too few examples, a class training never saw
    ├── ModelError             a saved model cannot be read
    └── FitError               the training itself failed

Every error takes one message, so that it survives pickling between processes.
"""

from __future__ import annotations


class TrainingError(Exception):
    """A model cannot be trained, evaluated or loaded."""


class EncoderError(TrainingError):
    """An encoder cannot be found or loaded."""


class LabelError(TrainingError):
    """The labels cannot be learnt."""


class ModelError(TrainingError):
    """A saved model cannot be read."""


class FitError(TrainingError):
    """The training itself failed."""
