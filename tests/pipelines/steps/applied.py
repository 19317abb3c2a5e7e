"""Applying a row step to a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipelines.steps.kernel import run_step
from pipelines.steps.step import Outcome, RowStep


def applied(step: RowStep, texts: Sequence[str], **columns: object) -> Outcome:
    """Return what a step makes of rows of these texts, whose ids are a, b, c, … and which have these columns, too."""
    ids = [chr(ord("a") + row) for row in range(len(texts))]
    given = {"row_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string()), **columns}
    return run_step(step, pa.record_batch(given))


def texts_of(step: RowStep, *texts: str) -> list[str]:
    """Return the texts that a step keeps."""
    kept: list[str] = applied(step, texts).kept.column("text").to_pylist()
    return kept


def rules_of(outcome: Outcome) -> dict[str, tuple[str, Any]]:
    """Return, for each row that was rejected, the rule and the value."""
    return {row["row_id"]: (row["rule"], row["value"]) for row in outcome.rejected.to_pylist()}
