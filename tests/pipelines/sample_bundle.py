"""A bundle of a few thousand weights, untrained, for tests that load and use one."""

from __future__ import annotations

from pathlib import Path

from pipelines.bundle import Bundle
from pipelines.steps import NormalizeText, WordCount
from tests.training.sample_rows import tiny_encoder_files
from training.encoder import load_encoder
from training.model import Model


def tiny_model(directory: Path) -> Model:
    """Return a model that tells money from sport by chance; `directory` takes its encoder's files."""
    directory.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder(str(tiny_encoder_files(directory)))
    return Model.assemble(encoder, labels=("money", "sport"), max_length=12, dropout=0.1, seed=3)


def tiny_bundle(directory: Path) -> Bundle:
    """Return a bundle of that model, whose texts have two words at least."""
    return Bundle("news", (NormalizeText(), WordCount(min=2)), tiny_model(directory))
