from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import connectors
from pipelines.java import find_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def pytest_configure(config: pytest.Config) -> None:
    # pyspark 3.5 leaves the sockets that it collects results through to the garbage collector, and compares
    # versions by a class that is deprecated.
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket:ResourceWarning")
    config.addinivalue_line("filterwarnings", "ignore:distutils Version classes are deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A plain local Spark, without Ray: two cores, one session for all tests of this directory."""
    from pyspark.sql import SparkSession

    java = find_java()
    root = str(Path(connectors.__file__).parent.parent)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in java.environment(os.environ).items():
            environment.setenv(name, value)
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        environment.setenv("PYTHONPATH", root + os.pathsep + os.environ.get("PYTHONPATH", ""))
        session = (
            SparkSession.builder.master("local[2]")
            .appName("connectors")
            .config("spark.driver.extraJavaOptions", java.flags)
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
            .getOrCreate()
        )
        yield session
        session.stop()
