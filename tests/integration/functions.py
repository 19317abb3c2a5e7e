"""Functions that the integration tests run in the executors, which import this module by its name."""

from __future__ import annotations

import json

import psutil
import pyarrow as pa
import pyarrow.compute as pc


def with_ancestors(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Add the process ids of the worker's ancestors, the nearest first, as JSON."""
    pids = json.dumps([process.pid for process in psutil.Process().parents()])
    return batch.append_column("ancestors", pa.array([pids] * batch.num_rows, pa.string()))


def failing_on_seven(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Raise if there is a row whose text is "seven"."""
    if "seven" in batch.column("text").to_pylist():
        raise ValueError("cannot stomach a seven")
    return batch


def failing(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Raise on any row."""
    if batch.num_rows:
        raise ZeroDivisionError("every row is wrong")
    return batch


def without_shouting(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out texts in capitals."""
    return batch.filter(pc.invert(pc.utf8_is_upper(batch.column("text"))))
