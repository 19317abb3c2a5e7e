"""What people are shown of rows that were rejected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

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
    """Takes out of what is told of rejected rows whatever a step takes out of texts, and shows the beginnings of some.

    Attributes:
        steps: all steps of the pipeline, as a row may be rejected before it comes to the one that redacts it.
    """

    steps: Sequence[Step] = ()

    def redacted(self, rejections: Sequence[Rejection]) -> list[Rejection]:
        """Return the rejections with their values and reasons redacted."""
        values = self._redact([one.value for one in rejections])
        reasons = self._redact([one.reason for one in rejections])
        return [
            replace(one, value=value, reason=reason)
            for one, value, reason in zip(rejections, values, reasons, strict=True)
        ]

    def example(self, rejection: Rejection, batch: pa.RecordBatch | None) -> Example:
        """Return the example of a rejected row.

        Args:
            rejection: what is known of it, redacted.
            batch: rows that it is among, as the step was given them; None where there is no more of it to be had.
        """
        text = "" if batch is None else _text(batch, rejection.row_id)
        [shown] = self._redact([text[:_READ_CHARACTERS]])
        return Example(**asdict(rejection), text=_beginning(shown))

    def _redact(self, texts: list[str]) -> list[str]:
        steps = [step for step in self.steps if type(step).redact is not Step.redact]
        if not steps or not any(texts):
            return texts
        redacted = pa.array(texts, pa.string())
        try:
            for step in steps:
                redacted = step.redact(redacted)
        except Exception:
            # What cannot be redacted is not shown: the step rejects its row for that, or is told to be at fault.
            return [""] if len(texts) == 1 else [shown for text in texts for shown in self._redact([text])]
        found: list[str] = redacted.to_pylist()
        return found


def _text(batch: pa.RecordBatch, row_id: str) -> str:
    place = pc.index(batch.column(ROW_ID), row_id).as_py()
    return str(batch.column(TEXT)[place].as_py() or "") if place >= 0 and TEXT in batch.schema.names else ""


def _beginning(text: str) -> str:
    line = " ".join(text[: 2 * MAX_CHARACTERS].split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"
