"""What a filter says of texts."""

from __future__ import annotations

import pyarrow as pa

from pipelines.steps.kernel import run_step
from pipelines.steps.step import RowStep


def judged(step: RowStep, *texts: str) -> list[str | None]:
    """Return, for each text, the rule that it is rejected under, or None where it is kept."""
    ids = [str(row) for row in range(len(texts))]
    columns = {"row_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())}
    outcome = run_step(step, pa.record_batch(columns))
    rules = {row["row_id"]: row["rule"] for row in outcome.rejected.to_pylist()}
    return [rules.get(row) for row in ids]
