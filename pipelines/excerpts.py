"""What people are shown of a row that was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import ROW_ID, TEXT
from pipelines.accounting import Example, Rejection
from pipelines.steps.step import Step

MAX_CHARACTERS = 240
"""How much of a text is shown."""

_READ_CHARACTERS = 20_000
"""How much of it personal data is looked for in: what begins where the text is shown ends sooner than that."""


@dataclass(frozen=True)
class Excerpts:
    """Makes examples of rejected rows: with the beginning of the text, and without what any step takes out of texts.

    Attributes:
        steps: all steps of the pipeline, as a row may be rejected before it comes to the one that redacts it.
    """

    steps: Sequence[Step] = ()

    def example(self, rejection: Rejection, batch: pa.RecordBatch | None) -> Example:
        """Return the example of a rejected row.

        Args:
            rejection: what is known of it.
            batch: rows that it is among, as the step was given them; None where there is no more of it to be had.
        """
        text = "" if batch is None else _text(batch, rejection.row_id)
        shown = {"value": self._redact(rejection.value), "reason": self._redact(rejection.reason)}
        return Example(**{**asdict(rejection), **shown}, text=_beginning(self._redact(text)))

    def _redact(self, text: str) -> str:
        text = text[:_READ_CHARACTERS]
        try:
            for step in self.steps:
                text = step.redact(text)
        except Exception:
            # Such a row is rejected by that step, for that reason; what cannot be redacted is not shown.
            return ""
        return text


def _text(batch: pa.RecordBatch, row_id: str) -> str:
    place = pc.index(batch.column(ROW_ID), row_id).as_py()
    return str(batch.column(TEXT)[place].as_py() or "") if place >= 0 and TEXT in batch.schema.names else ""


def _beginning(text: str) -> str:
    line = " ".join(text[: 2 * MAX_CHARACTERS].split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"
