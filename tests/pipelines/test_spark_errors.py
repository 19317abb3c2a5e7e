"""What is said of a Spark job that failed, by what Spark reports."""

from __future__ import annotations

import pytest

from connectors.errors import BadRowError
from pipelines.errors import HandoffError, SessionError
from pipelines.spark_errors import failure_of

TAIL = """
Driver stacktrace:
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2898)
\tat org.apache.spark.scheduler.DAGScheduler.$anonfun$abortStage$2(DAGScheduler.scala:2834)
"""
LOST = (
    "An error occurred while calling o878.collectToPython.\n: org.apache.spark.SparkException: Job aborted due to "
    "stage failure: Task 0 in stage 1.0 failed 4 times, most recent failure: Lost task 0.8 in stage 1.0 (TID 15) "
    "(192.0.2.2 executor 8): ExecutorLostFailure (executor 8 exited caused by one of the running tasks) Reason: Remote "
    "RPC client disassociated. Likely due to containers exceeding thresholds, or network issues. Check driver logs for "
    f"WARN messages.{TAIL}"
)
STOPPED = (
    "An error occurred while calling o634.collectToPython.\n: org.apache.spark.SparkException: Job 3 cancelled because "
    f"SparkContext was shut down\n\tat org.apache.spark.scheduler.DAGScheduler.run(DAGScheduler.scala:1){TAIL}"
)
WORKER = (
    "\n  An exception was thrown from the Python worker. Please see the stack trace below.\nTraceback (most recent "
    'call last):\n  File "steps.py", line 16, in fail\n    raise {error}\n{error}\n'
)


def test_executors_that_were_lost_are_counted_and_the_cure_is_named() -> None:
    failure = failure_of(RuntimeError(LOST))
    assert type(failure) is SessionError
    assert "its executor was lost 4 times" in str(failure)
    assert "Remote RPC client disassociated" in str(failure)
    assert "executor_memory" in str(failure)


@pytest.mark.parametrize("raised", ["LookupError: no such page: 泉", "pyarrow.lib.ArrowInvalid: out of bounds"])
def test_what_a_worker_raised_is_said(raised: str) -> None:
    failure = failure_of(RuntimeError(WORKER.format(error=raised)))
    assert type(failure) is HandoffError
    assert f"rows: {raised}; the whole report is" in str(failure)


def test_what_the_jvm_threw_is_said_rather_than_that_something_was_called() -> None:
    failure = failure_of(RuntimeError(STOPPED))
    assert "rows: org.apache.spark.SparkException: Job 3 cancelled because SparkContext was shut down;" in str(failure)


def test_an_error_of_ours_comes_back_as_what_it_was() -> None:
    failure = failure_of(RuntimeError(WORKER.format(error="connectors.errors.BadRowError: row 3: no text")))
    assert type(failure) is BadRowError
    assert str(failure) == "row 3: no text"


@pytest.mark.parametrize("report", ["", "[Errno 32] Broken pipe"])
def test_a_report_that_says_little_is_said_as_it_is(report: str) -> None:
    assert (report or "BrokenPipeError") in str(failure_of(BrokenPipeError(report)))
