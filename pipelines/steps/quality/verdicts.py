"""Bringing the rules of a filter together: each text is rejected under the first that it breaks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from pipelines.steps.step import Outcome

Figures = NDArray[np.int64] | NDArray[np.float64]
"""A value for each text."""


@dataclass
class Verdicts:
    """What is held against the texts of a batch so far.

    Attributes:
        rows: how many texts there are.
    """

    rows: int
    _rules: list[str | None] = field(init=False)
    _values: list[str | None] = field(init=False)
    _open: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self._rules = [None] * self.rows
        self._values = [None] * self.rows
        self._open = np.ones(self.rows, bool)

    @property
    def open(self) -> NDArray[np.bool_]:
        """Which texts have broken no rule so far."""
        return self._open

    def add(self, rule: str, broken: ArrayLike, values: ArrayLike) -> None:
        """Hold a rule against the texts that break it, and have broken none before.

        Args:
            rule: its name.
            broken: for each text, whether it does.
            values: for each text, the value that the rule is about.
        """
        shown = np.broadcast_to(np.asarray(values), self.rows)
        for row in np.flatnonzero(np.asarray(broken, bool) & self._open):
            self.add_one(rule, row, shown[row])

    def add_one(self, rule: str, row: int, value: object) -> None:
        """Hold a rule against one text, unless it has broken one before."""
        if self._open[row]:
            self._open[row] = False
            self._rules[row], self._values[row] = rule, _shown(value)

    def below(self, rule: str, values: Figures, least: float | None) -> None:
        """Hold a rule against the texts of which a value is below the least that it may be; None sets no limit."""
        if least is not None:
            self.add(rule, values < least, values)

    def above(self, rule: str, values: Figures, most: float | None) -> None:
        """Hold a rule against the texts of which a value is above the most that it may be; None sets no limit."""
        if most is not None:
            self.add(rule, values > most, values)

    def outcome(self, batch: pa.RecordBatch) -> Outcome:
        """Return the batch, without the texts that have broken a rule."""
        return Outcome.mark(batch, pa.array(self._rules, pa.string()), pa.array(self._values, pa.string()))


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, (float, np.floating)) else str(value)
