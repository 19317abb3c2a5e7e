from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.sample_rows import tiny_encoder_files


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a pretrained encoder of a few thousand weights, laid out as on the hub."""
    return tiny_encoder_files(tmp_path_factory.mktemp("encoder"))
