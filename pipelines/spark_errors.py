"""Telling from a failed Spark job what went wrong in the Python worker."""

from __future__ import annotations

import re

import connectors.errors
import pipelines.errors
from pipelines.errors import HandoffError

# Spark reports a worker's error as the text of its traceback, whose last part names the class and the message; what
# follows begins with a tab (the JVM's frames) or is Spark's own "Driver stacktrace".
_RAISED = re.compile(
    r"^(?:Caused by: )?((?:connectors|pipelines)\.errors)\.(\w+): (.*?)(?=\n\s*\tat |\n\nDriver stacktrace|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = re.compile(r"^([\w.]+(?:Error|Exception)): (.*)$", re.MULTILINE)


def failure_of(error: BaseException) -> Exception:
    """Return the error that a failed Spark job stands for.

    One that Headrace raised in a worker comes back as what it was; any other becomes a `HandoffError` with the line
    of Spark's report that says most.
    """
    report = str(error)
    # A traceback shows causes first, so the last one is what was raised in the end.
    for raised in [*_RAISED.finditer(report)][-1:]:
        module = connectors.errors if raised.group(1) == "connectors.errors" else pipelines.errors
        kind = getattr(module, raised.group(2), None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind(raised.group(3).strip())
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    python = _PYTHON.findall(report)
    said = f"{python[-1][0]}: {python[-1][1]}" if python else (lines[0] if lines else type(error).__name__)
    return HandoffError(f"Spark could not compute the rows: {said[:1000]}; the whole report is in the session's log")
