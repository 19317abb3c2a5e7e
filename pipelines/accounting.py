"""The account of the rows: how many went into each step, came out, were made and were rejected, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.distributions import Distribution, merge
from pipelines.errors import LawError

MAX_EXAMPLES = 5
"""How many rejected rows per step and rule the account keeps to show; all of them are in the quarantine."""


@dataclass(frozen=True)
class Rejection:
    """One row that a step, or the source, did not keep.

    Attributes:
        row_id: the id that the source gave the row.
        step: the name of the step, or of the source.
        rule: the rule that it broke, e.g. ``too_few_words``.
        value: what broke the rule, as text, cut to a bounded length.
        reason: a sentence for a person; empty where the rule says it all.
        origin: the file, table or topic; empty where only the source knows.
        position: line or record within the origin, counted from 1; 0 where only the source knows.
    """

    row_id: str
    step: str
    rule: str
    value: str
    reason: str = ""
    origin: str = ""
    position: int = 0


@dataclass(frozen=True)
class Example(Rejection):
    """A rejected row as people are shown it: personal data that the pipeline takes out is taken out of this, too.

    Attributes:
        text: the beginning of its text, as the step was given it; empty where there is none.
    """

    text: str = ""


@dataclass
class StepAccount:
    """The rows of one step (or of the source, which takes in what it read), over all successful attempts.

    Attributes:
        name: the step's name, as in the spec.
        rows_in: rows that the step was given.
        created: rows that it made on top of those.
        rows_out: rows that it gave on.
        rejected: rows that it did not keep, by rule.
        seconds: time spent in it, summed over tasks (not wall time); 0 where Spark ran it by itself.
        bytes_out: size of what it gave on, in Arrow's memory layout.
        examples: up to `MAX_EXAMPLES` rejected rows for each rule.
        counts: how often it did what it counts, by what that is called, e.g. ``email``.
        samples: up to `MAX_EXAMPLES` places where it did so, by the same.
        distributions: how the rows that it gave on are spread, see `pipelines.distributions`; of the source and of the
            last step.
    """

    name: str
    rows_in: int = 0
    created: int = 0
    rows_out: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    bytes_out: int = 0
    examples: dict[str, list[Example]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)
    distributions: dict[str, Distribution] = field(default_factory=dict)

    def count(self, counts: Mapping[str, int], samples: Mapping[str, Sequence[str]]) -> None:
        """Add what was counted elsewhere, and samples of it."""
        for name, times in counts.items():
            self.counts[name] = self.counts.get(name, 0) + times
        for name, some in samples.items():
            self.samples[name] = [*self.samples.get(name, ()), *some][:MAX_EXAMPLES]

    def add(self, other: StepAccount) -> None:
        """Add the account of the same step over other rows."""
        self.rows_in += other.rows_in
        self.created += other.created
        self.rows_out += other.rows_out
        self.seconds += other.seconds
        self.bytes_out += other.bytes_out
        self.count(other.counts, other.samples)
        merge(self.distributions, other.distributions)
        for rule, rows in other.rejected.items():
            self.rejected[rule] = self.rejected.get(rule, 0) + rows
        for rule, examples in other.examples.items():
            self.examples[rule] = [*self.examples.get(rule, []), *examples][:MAX_EXAMPLES]

    @property
    def rows_rejected(self) -> int:
        """How many rows were rejected, under all rules together."""
        return sum(self.rejected.values())

    def check(self) -> None:
        """Check that ``in + created = out + rejected``.

        Raises:
            LawError: it does not; the message shows the figures.
        """
        if self.rows_in + self.created != self.rows_out + self.rows_rejected:
            raise LawError(
                f"step {self.name!r} lost or made up rows: {self.rows_in} in + {self.created} created is not "
                f"{self.rows_out} out + {self.rows_rejected} rejected; a step must mark the rows that it drops, and "
                "declare creates_rows if it makes new ones"
            )


def nothing_left(accounts: Sequence[StepAccount]) -> str:
    """Return what to tell of rows none of which is left: how many went into and out of each step, and by which rule."""
    lines = [
        f"  {account.name}: {account.rows_in} in, {account.rows_out} out"
        + "".join(f", {rows} {rule}" for rule, rows in sorted(account.rejected.items()))
        for account in accounts
    ]
    return "no row is left after the steps; look at what rejects them (the quarantine has every row):\n" + "\n".join(
        lines
    )
