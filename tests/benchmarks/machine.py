"""The Ray and the Spark that contenders run on: the same for all of them, each kind in a process of its own.

Ray is told of twice the CPUs that Spark's executor takes: the tasks of other contenders ask Ray for CPUs, and must find
all of the machine's idle once the executor has done its part.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray

from pipelines import Session
from pipelines.java import Java, find_java
from pipelines.session_options import SessionOptions, parse_size
from pipelines.spark_settings import changed_environment, spark_settings, worker_environment

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# toPandas collects the whole frame in the driver's JVM.
_SPARK_CONF = {"spark.driver.memory": "4g", "spark.driver.maxResultSize": "0"}


@dataclass(frozen=True)
class Machine:
    """What Ray and Spark are given.

    Attributes:
        cores: cores of the one executor.
        executor_memory: its heap.
        object_store_memory: the size of the object store.
        partitions: how many partitions the frames have.
        scratch: a directory on a local disk.
        jars: what Spark gets besides its own JARs, as it lists them; empty for nothing.
    """

    cores: int = os.cpu_count() or 1
    executor_memory: str = "1g"
    object_store_memory: str = "5g"
    partitions: int = 16
    scratch: str = "/tmp"
    jars: str = ""

    def __str__(self) -> str:
        return (
            f"executor of {self.cores} cores, {self.executor_memory}; {self.partitions} partitions; object store of "
            f"{self.object_store_memory}; Ray told of {2 * self.cores} CPUs"
        )

    def options(self) -> SessionOptions:
        """Return it as options of a session."""
        return SessionOptions.model_validate(
            {
                "executors": 1,
                "executor_cores": self.cores,
                "executor_memory": self.executor_memory,
                "spark_conf": _SPARK_CONF | ({"spark.jars": self.jars} if self.jars else {}),
            }
        )


@contextmanager
def headrace_session(machine: Machine) -> Iterator[Session]:
    """Run a session of ours."""
    with _ray(machine), Session(machine.options()) as session:
        yield session


@contextmanager
def raydp_session(machine: Machine) -> Iterator[SparkSession]:
    """Run a RayDP session as RayDP itself starts it, with the settings that ours gives to Spark."""
    import raydp

    with _ray(machine) as java:
        settings = spark_settings(java, machine.options())
        try:
            yield raydp.init_spark("raydp", 1, machine.cores, machine.executor_memory, configs=settings)
        finally:
            raydp.stop_spark()


@contextmanager
def _ray(machine: Machine) -> Iterator[Java]:
    java = find_java()
    with changed_environment(worker_environment(java)):
        ray.init(
            address="local",
            namespace=f"benchmark-{uuid.uuid4().hex[:8]}",
            num_cpus=2 * machine.cores,
            object_store_memory=parse_size(machine.object_store_memory),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        try:
            yield java
        finally:
            ray.shutdown()
