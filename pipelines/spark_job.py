"""Running a Spark job so that it can be watched, cancelled when interrupted, and given up when nothing happens."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from py4j.protocol import Py4JError
from pyspark import InheritableThread, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row

from pipelines.errors import SessionError
from pipelines.spark_errors import failure_of

STALL_SECONDS = 120.0
"""How long a job may have no task running on any executor before it is given up."""

_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 60.0


def collect(frame: DataFrame, description: str, watch: Callable[[], None] = lambda: None) -> list[Row]:
    """Compute a small frame and return its rows.

    Args:
        frame: what to compute.
        description: what Spark's own pages call the job.
        watch: called a few times a second, and may raise to end the job.

    Raises:
        SessionError: no task has run for `STALL_SECONDS`.
        Exception: what `failure_of` makes of Spark's failure, or what `watch` raised; the job is cancelled first.
    """
    context = frame.sparkSession.sparkContext
    group = f"headrace-{uuid.uuid4().hex[:8]}"
    rows: list[Row] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            context.setJobGroup(group, description, interruptOnCancel=True)
            rows.extend(frame.collect())
        except BaseException as error:  # looked at by the thread that waits
            failures.append(error)

    thread = InheritableThread(target=work, name="headrace-spark-job", daemon=True)
    thread.start()
    try:
        busy = time.monotonic()
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            watch()
            if _has_tasks(context, group):
                busy = time.monotonic()
            elif time.monotonic() - busy > STALL_SECONDS:
                raise SessionError(
                    f"no Spark task has run for {STALL_SECONDS:.0f} s ({description}): the executors are gone, or none "
                    "was given; see `ray status` and the session's log"
                )
    except BaseException:
        context.cancelJobGroup(group)
        thread.join(_CANCEL_SECONDS)
        raise
    if failures:
        if isinstance(failures[0], (PySparkException, Py4JError, OSError)):
            raise failure_of(failures[0]) from failures[0]
        raise failures[0]
    return rows


def _has_tasks(context: SparkContext, group: str) -> bool:
    tracker = context.statusTracker()
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info else ():
            details = tracker.getStageInfo(stage)
            if details and details.numActiveTasks:
                return True
    return False
