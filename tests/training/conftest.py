from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.sample_rows import tiny_encoder_files


def pytest_configure(config: pytest.Config) -> None:
    # Ray 2.60 warns of its own deprecated settings whenever it copies them, and leaves files and sockets of the
    # processes it starts to the garbage collector.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:ray.data.context")
    config.addinivalue_line("filterwarnings", "ignore:unclosed:ResourceWarning")
    config.addinivalue_line("filterwarnings", "ignore:subprocess .* is still running:ResourceWarning")


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    import ray

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 * 1024 * 1024, log_to_driver=False
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a pretrained encoder of a few thousand weights, laid out as on the hub."""
    return tiny_encoder_files(tmp_path_factory.mktemp("encoder"))
