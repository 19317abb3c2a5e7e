"""Telling from a failed Spark job what went wrong in the Python worker."""

from __future__ import annotations

import re

import connectors.errors
import pipelines.errors
from pipelines.errors import HandoffError, SessionError

# Spark reports a worker's error as the text of its traceback, whose last part names the class and the message; what
# follows begins with a tab (the JVM's frames) or is Spark's own "Driver stacktrace".
_RAISED = re.compile(
    r"^(?:Caused by: )?((?:connectors|pipelines)\.errors)\.(\w+): (.*?)(?=\n\s*\tat |\n\nDriver stacktrace|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = re.compile(r"^([\w.]+(?:Error|Exception|\.Arrow\w+)): (.*)$", re.MULTILINE)
_LOST = re.compile(r"failed (\d+) times, most recent failure: .*?ExecutorLostFailure \(.*?\) Reason: (.*)")
# py4j puts a colon before what the JVM threw, and a line of its own before that.
_THROWN = re.compile(r"^: (.+)$", re.MULTILINE)


def failure_of(error: BaseException) -> Exception:
    """Return the error that a failed Spark job stands for.

    One that Headrace raised in a worker comes back as what it was; executors that were lost again and again become a
    `SessionError`; any other becomes a `HandoffError` with the line of Spark's report that says most.
    """
    report = str(error)
    # A traceback shows causes first, so the last one is what was raised in the end.
    for raised in [*_RAISED.finditer(report)][-1:]:
        module = connectors.errors if raised.group(1) == "connectors.errors" else pipelines.errors
        kind = getattr(module, raised.group(2), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(raised.group(3).strip())
    lost = _LOST.search(report)
    if lost:
        return SessionError(
            f"Spark gave up, as its executor was lost {lost.group(1)} times while it computed the same rows "
            f"({lost.group(2)[:300]}); mostly it was killed for lack of memory: give the session more executor_memory, "
            "or the frame more and smaller partitions; `dmesg` and the session's log tell more"
        )
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    python = _PYTHON.findall(report)
    said = [f"{kind}: {message}" for kind, message in python[-1:]] or _THROWN.findall(report) or lines
    what = said[0] if said else type(error).__name__
    return HandoffError(f"Spark could not compute the rows: {what[:1000]}; the whole report is in the session's log")
