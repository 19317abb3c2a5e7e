"""How right `RedactPii` is, by kind, over all samples in all sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipelines.steps.redact_pii import RedactPii
from tests.pipelines.steps.pii.samples import NEAR_MISSES, POSITIVES, SENTENCES, near_misses


@dataclass(frozen=True)
class Score:
    """What was found of one kind.

    Attributes:
        hidden: sentences with data of the kind.
        plain: sentences with what only looks like it; at least three for each with data.
        missed: those of the former that do not come out with the placeholder exactly where the data was.
        alarms: those of the latter that come out with a placeholder of the kind.
    """

    hidden: int
    plain: int
    missed: tuple[str, ...]
    alarms: tuple[str, ...]

    @property
    def recall(self) -> float:
        """The share of what is there that was found."""
        return 1 - len(self.missed) / self.hidden

    @property
    def precision(self) -> float:
        """The share of what was found that is there."""
        found = self.hidden - len(self.missed)
        return found / (found + len(self.alarms))


def score(kind: str) -> Score:
    """Return how right the step is on a kind of data."""
    hidden = [sentence.format(data) for data in POSITIVES[kind] for sentence in SENTENCES]
    expected = [sentence.format(f"<{kind.upper()}>") for _ in POSITIVES[kind] for sentence in SENTENCES]
    looks_like = [*NEAR_MISSES[kind], *(miss for data in POSITIVES[kind] for miss in near_misses(kind, data))]
    plain = [sentence.format(miss) for miss in looks_like for sentence in SENTENCES]
    missed = [text for text, now, wanted in zip(hidden, redacted(hidden), expected, strict=True) if now != wanted]
    alarms = [text for text, now in zip(plain, redacted(plain), strict=True) if f"<{kind.upper()}>" in now]
    return Score(len(hidden), len(plain), tuple(missed), tuple(alarms))


def redacted(texts: Sequence[str]) -> list[str]:
    """Return the texts as the step leaves them by default."""
    ids = pa.array([str(row) for row in range(len(texts))], pa.string())
    batch = pa.record_batch({"row_id": ids, "text": pa.array(texts, pa.string())})
    found: list[str] = RedactPii().apply(batch).kept.column("text").to_pylist()
    return found
