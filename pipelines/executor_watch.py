"""Has Spark's executors replaced that are lost and do not come back.

RayDP has Ray start a killed executor's actor again, but lets go of its handle, so that Ray ends the actor for good when
the master's JVM next collects garbage; and it asks for no other. So that is done here.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark import SparkContext

_LOOK_SECONDS = 1.0
# Ray brings a killed executor back within a few seconds; one that is missing for so long does not come by itself, and
# one that has been asked for is there within as much again.
_MISSING_SECONDS = 12.0
_STOP_SECONDS = 5.0


class ExecutorWatch:
    """A thread that looks after the executors while Spark is up.

    Args:
        context: the running Spark.
        executors: how many there are to be.
    """

    def __init__(self, context: SparkContext, executors: int) -> None:
        self._context, self._executors = context, executors
        self._complete = time.monotonic()
        self._asked = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="headrace-executors", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more; safe to call again."""
        self._ended.set()
        self._thread.join(_STOP_SECONDS)

    def _watch(self) -> None:
        with suppress(Py4JError, OSError, AttributeError):  # the driver has gone, or was stopped, as its users notice
            while not self._ended.wait(_LOOK_SECONDS):
                self._replace(time.monotonic())

    def _replace(self, now: float) -> None:
        jvm: Any = self._context._jvm
        driver = self._context._jsc.sc()
        # The map counts the driver's own block manager too.
        living = driver.getExecutorMemoryStatus().size() - 1
        if living >= self._executors:
            self._complete, self._asked = now, 0
        elif now - self._complete > _MISSING_SECONDS * (1 + self._asked) and (not self._asked or not living):
            # The master goes on counting an executor that ended before it had reported itself, so that it must be asked
            # for more than there are to be. While some are living, that may be because there is no room for others.
            with suppress(Py4JJavaError):  # the master does not answer; what waits for executors has a deadline
                driver.requestTotalExecutors(self._executors + self._asked, 0, jvm.scala.collection.immutable.HashMap())
            self._asked += 1
