"""What Spark is started with: settings, secrets and environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pyspark.sql import SparkSession

from connectors.secret import Secret
from pipelines.java import Java
from pipelines.search_path import user_directories
from pipelines.session_options import HADOOP_PREFIX, SessionOptions, parse_size

_DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.python.daemon.module": "pipelines.python_daemon",
    # The master only relays; with a CPU of its own it would take half of a two-core laptop.
    "spark.ray.raydp_spark_master.actor.resource.CPU": "0",
}
# The master and the driver only coordinate, and live briefly: the first compiler alone brings them up in
# 0.72-0.82 x the time. Executors keep both compilers.
_COORDINATOR_FLAGS = "-XX:TieredStopAtLevel=1"
# Rows leave an executor's JVM soon after they came, for Python. The young generation that G1 chooses by itself, six
# tenths of the heap, takes 0.5 GB more of the machine and hands over no faster.
_YOUNG_SHARE = 8
_LEAST_YOUNG_BYTES = 128 * 2**20
DRIVER_FLAGS = "spark.driver.extraJavaOptions"
_MASTER_FLAGS = "spark.ray.raydp_app_master.extraJavaOptions"


def spark_settings(java: Java, options: SessionOptions) -> dict[str, str]:
    """Return what Spark is started with: ours, the user's over them, and the user's JVM flags behind ours.

    Secrets are not among them: see `give_secrets`.
    """
    extra = {key: value for key, value in options.spark_conf if isinstance(value, str)}
    settings = {**_DEFAULTS, **_shuffle_settings(options), **_import_settings(), **extra}
    for key, flags in (
        ("spark.executor.extraJavaOptions", f"{java.flags} {_young_flag(options)}"),
        (DRIVER_FLAGS, f"{java.flags} {java.driver_flags} {_COORDINATOR_FLAGS}"),
        (_MASTER_FLAGS, f"{java.flags} {_COORDINATOR_FLAGS}"),
    ):
        settings[key] = f"{flags} {extra.get(key, '')}".strip()
    return settings


def give_secrets(session: SparkSession, options: SessionOptions) -> None:
    """Set the settings that are secrets in the running Spark: every earlier way ends up on some JVM's command line."""
    for key, value in options.spark_conf:
        if isinstance(value, Secret):
            secret = value.resolve().get_secret_value()
            if key.startswith(HADOOP_PREFIX):
                session.sparkContext._jsc.hadoopConfiguration().set(key.removeprefix(HADOOP_PREFIX), secret)
            else:
                session.conf.set(key, secret)


def worker_environment(java: Java) -> dict[str, str]:
    """Return the variables by which JVMs and Spark's Python workers find `java` and this interpreter.

    Another interpreter that the user has named stays.
    """
    names = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
    return {**java.environment(os.environ), **{name: os.environ.get(name, sys.executable) for name in names}}


@contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, which processes started meanwhile inherit, and put them back at the end."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _young_flag(options: SessionOptions) -> str:
    size = max(_LEAST_YOUNG_BYTES, parse_size(options.executor_memory) // _YOUNG_SHARE)
    return f"-XX:MaxNewSize={size // 2**20}m"


def _import_settings() -> dict[str, str]:
    """Let the executors' Python workers import what this program can import."""
    directories = user_directories()
    return {"spark.executorEnv.PYTHONPATH": os.pathsep.join(directories)} if directories else {}


def _shuffle_settings(options: SessionOptions) -> dict[str, str]:
    """Return four shuffle partitions for each core, and at least eight, in place of Spark's 200 for any cluster.

    Spark joins small ones together by itself, except in what it caches: there each is a task of a Python worker.
    """
    return {"spark.sql.shuffle.partitions": str(max(8, 4 * options.executors * options.executor_cores))}
