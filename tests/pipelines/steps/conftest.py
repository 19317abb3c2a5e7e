from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def jobs_of(spark: SparkSession) -> Callable[[Callable[[], object]], int]:
    """Counts the Spark jobs that a call starts."""

    def count(call: Callable[[], object]) -> int:
        group = uuid.uuid4().hex
        spark.sparkContext.setJobGroup(group, "counted")
        call()
        return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))

    return count
