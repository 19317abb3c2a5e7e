"""Running a Spark job so that it can be watched, cancelled when interrupted, and given up when nothing happens."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark import InheritableThread, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, Row

from pipelines.errors import SessionError
from pipelines.spark_errors import failure_of

STALL_SECONDS = 120.0
"""How long a job may have no task running on any executor before it is given up."""

_LOOK_SECONDS = 0.2
_CANCEL_SECONDS = 60.0
_ANEW = "bring a new Spark up: session.release_spark(), then session.start_spark()"


def collect(frame: DataFrame, description: str, watch: Callable[[], None] = lambda: None) -> list[Row]:
    """Compute a small frame and return its rows.

    Args:
        frame: what to compute.
        description: what Spark's own pages call the job.
        watch: called a few times a second, and may raise to end the job.

    Raises:
        SessionError: no task has run for `STALL_SECONDS`, or Spark's driver has gone.
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
    progress = _Progress(context, group, description)
    try:
        while thread.is_alive():
            thread.join(_LOOK_SECONDS)
            watch()
            progress.check()
    except _DriverGoneError:
        thread.join(_CANCEL_SECONDS)
        raise
    except BaseException:
        context.cancelJobGroup(group)
        thread.join(_CANCEL_SECONDS)
        raise
    if failures:
        if isinstance(failures[0], (Py4JNetworkError, OSError)):
            raise _driver_gone(failures[0]) from failures[0]
        if isinstance(failures[0], (PySparkException, Py4JError)):
            raise failure_of(failures[0]) from failures[0]
        raise failures[0]
    return rows


class _DriverGoneError(SessionError):
    """Spark's driver does not answer, so that nothing can be cancelled."""


def _driver_gone(error: BaseException) -> _DriverGoneError:
    return _DriverGoneError(f"Spark's driver has gone ({error}); see the session's log, and {_ANEW}")


class _Progress:
    """Sees to it that a job gets on."""

    def __init__(self, context: SparkContext, group: str, description: str) -> None:
        self._context, self._group, self._description = context, group, description
        self._busy = time.monotonic()

    def check(self) -> None:
        """Raise SessionError if the job does not get on."""
        try:
            if self._context._jsc is None:
                raise ConnectionError("it was stopped")
            if _has_tasks(self._context, self._group):
                self._busy = time.monotonic()
        except (Py4JError, OSError) as error:
            raise _driver_gone(error) from error
        if time.monotonic() - self._busy > STALL_SECONDS:
            raise SessionError(
                f"no Spark task has run for {STALL_SECONDS:.0f} s ({self._description}): the executors are gone, or "
                f"none was given; see `ray status` and the session's log, and {_ANEW}"
            )


def _has_tasks(context: SparkContext, group: str) -> bool:
    tracker = context.statusTracker()
    for job in tracker.getJobIdsForGroup(group):
        info = tracker.getJobInfo(job)
        for stage in info.stageIds if info else ():
            details = tracker.getStageInfo(stage)
            if details and details.numActiveTasks:
                return True
    return False
