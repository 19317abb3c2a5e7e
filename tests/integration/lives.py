"""Whole lives of a session, each in a process of its own: what was seen is printed as one line of JSON.

Run as ``python -m tests.integration.lives NAME``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator

import psutil
import ray

from pipelines.errors import PreflightError, SessionError
from pipelines.java import find_java
from pipelines.session import Session

MARK = "HEADRACE_TEST_LIFE"
"""The environment variable that all processes of a life have, orphans included."""

SECRET = "c0rrect-horse-battery"
SMALL = {"executors": 1, "executor_cores": 1, "object_store_memory": "200m"}


def in_a_foreign_ray() -> dict[str, object]:
    """A session in a Ray that runs already: it stays, and all else goes."""
    os.environ.update(find_java().environment(os.environ))
    os.environ["HEADRACE_TEST_KEY"] = SECRET
    ray.init(address="local", num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, log_to_driver=False)
    seen: dict[str, object] = {}
    with Session(**SMALL, spark_conf={"spark.hadoop.fs.test.secret.key": "${env:HEADRACE_TEST_KEY}"}) as session:
        context = session.spark.sparkContext
        seen["rows"] = session.spark.range(10).count()
        seen["hadoop"] = context._jsc.hadoopConfiguration().get("fs.test.secret.key")
        seen["in_conf"] = SECRET in str(context.getConf().getAll())
        lines = [" ".join(process.cmdline()) for process in _ours()]
        seen["command_lines"] = len(lines)
        seen["in_command_line"] = [line[:200] for line in lines if SECRET in line]
        seen["in_log"] = SECRET in session.log.read_text(encoding="utf-8", errors="replace")
    seen["ray_is_up"] = ray.is_initialized() and ray.get(ray.put("still here"))
    seen["cpus"] = ray.available_resources().get("CPU")
    seen["left_by_session"] = [line for line in _named(_ours()) if "java" in line.partition(" ")[0]]
    return seen


def failing() -> dict[str, object]:
    """Starts that cannot finish and blocks that raise, one after another in one process."""
    before = {name: os.environ.get(name) for name in ("JAVA_HOME", "PATH")}
    seen: dict[str, object] = {}
    try:
        with Session(executors=64, executor_cores=8, executor_memory="99g"):
            seen["started"] = True
    except PreflightError as error:
        seen["refused"] = str(error)
    seen["started_by_refused"] = _named(_ours())
    hurried = Session(**SMALL, start_timeout=3)
    begun = time.monotonic()
    try:
        with hurried:
            seen["started"] = True
    except SessionError as error:
        seen["too_slow"] = str(error)
    seen["took"] = time.monotonic() - begun
    seen["left_by_start"] = _named(_ours())
    seen["log_of_start"] = hurried.log.exists()
    hurried.log.unlink(missing_ok=True)
    raising = Session(**SMALL)
    try:
        with raising:
            seen["rows"] = raising.spark.range(10).count()
            raise LookupError("a mistake in the notebook")
    except LookupError as error:
        seen["raised"] = str(error)
    seen["left_by_block"] = _named(_ours())
    seen["ray_is_up"] = ray.is_initialized()
    seen["log_of_block"] = raising.log.exists()
    raising.log.unlink(missing_ok=True)
    seen["environment_is_back"] = before == {name: os.environ.get(name) for name in before}
    return seen


def _ours() -> list[psutil.Process]:
    """Return the processes that descend from this one, those included whose parents have gone."""
    mark = os.environ[MARK]
    own = os.getpid()
    return [process for process in marked(mark) if process.pid != own]


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield the processes of the life that is marked so, as far as they still run."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue  # not ours to look at, or gone by now


def _named(processes: list[psutil.Process]) -> list[str]:
    return [" ".join(process.cmdline())[:200] for process in processes]


if __name__ == "__main__":
    print(json.dumps({"in_a_foreign_ray": in_a_foreign_ray, "failing": failing}[sys.argv[1]]()))
