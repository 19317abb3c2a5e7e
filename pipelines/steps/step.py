"""The contracts of the steps between a source and the hand-over."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from connectors.source import MAX_VALUE_CHARACTERS, ROW_ID

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

REJECTS = pa.schema([(ROW_ID, pa.string()), ("rule", pa.string()), ("value", pa.string())])
"""What a row step says of each row that it does not keep: its id, the rule that it broke, the value that broke it."""

REASON = "reason"
"""The column that may stand beside those of `REJECTS`: a sentence for a person, where the rule does not say it all."""

REJECTED_RULE = "_rejected_rule"
"""The column in which a table step marks the rows that it does not keep: null keeps, a rule's name rejects."""

REJECTED_VALUE = "_rejected_value"
"""The column that goes with `REJECTED_RULE`: what tripped the rule, as text; may be absent."""


@dataclass(frozen=True)
class Outcome:
    """What a row step made of a batch.

    Attributes:
        kept: the rows that go on, in order.
        rejected: one row of `REJECTS`, and a `REASON` where there is one, for each row that does not.
        counts: how often the step did what its account is to tell, by what that is called, e.g. ``email``.
        samples: a few of the places where it did so, by the same, as a person is to see them.
    """

    kept: pa.RecordBatch
    rejected: pa.RecordBatch
    counts: Mapping[str, int] = field(default_factory=dict)
    samples: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def keep(cls, batch: pa.RecordBatch) -> Outcome:
        """Keep every row."""
        return cls(batch, _NO_REJECTS)

    @classmethod
    def mark(cls, batch: pa.RecordBatch, rules: pa.Array, values: pa.Array) -> Outcome:
        """Keep the rows that have no rule against them, and reject the others.

        Args:
            batch: the rows, with their ``row_id``.
            rules: strings, as long as the batch: null keeps a row, a rule's name rejects it under that name.
            values: as long as the batch, castable to string: what to report of a rejected row.
        """
        keep = pc.is_null(rules)
        if pc.all(keep, min_count=0).as_py():
            return cls.keep(batch)
        drop = pc.invert(keep)
        shown = pc.utf8_slice_codeunits(values.filter(drop).cast(pa.string()), 0, MAX_VALUE_CHARACTERS)
        columns = [batch.column(ROW_ID).filter(drop), rules.filter(drop), shown]
        return cls(batch.filter(keep), pa.RecordBatch.from_arrays(columns, schema=REJECTS))


_NO_REJECTS = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in REJECTS], schema=REJECTS)


class Step(BaseModel, ABC):
    """One thing done to the rows; its fields are its options, in YAML and in Python alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training_only: ClassVar[bool] = False
    """True for a step that is about labels or splits, and so has no part in scoring and serving."""

    creates_rows: ClassVar[bool] = False
    """True for a step that may give out more rows than it took in."""

    makes_split: ClassVar[bool] = False
    """True for a step that says which split each row is in."""

    @property
    def name(self) -> str:
        """What the step is called in counts and reasons: its class's name in snake_case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()

    def redact(self, texts: pa.StringArray) -> pa.StringArray:
        """Return pieces of texts as people may be shown them, where another step rejected the row; by default as given.

        A step that takes out of all texts what nobody is to read takes it out here, too.

        Args:
            texts: without nulls.
        """
        return texts


class RowStep(Step):
    """A step that looks at each row by itself: an Arrow kernel, free of Spark and Ray.

    The same object runs fused with its neighbours in the executors, and inside the bundle when texts are scored.
    """

    @abstractmethod
    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows to keep and the rows to reject; must not depend on how rows are batched.

        A row that makes this raise is rejected by the caller under the rule ``error``; only when every row of a
        batch does is the step held to be at fault.

        Args:
            batch: zero or more rows with at least ``row_id`` and ``text``, both strings without nulls.
        """

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return the columns that must come in where those of `output` are wanted of what goes out; None is all.

        The source of a pipeline is asked for no others, so a step that says too few would not find what it looks at.
        ``row_id``, ``text``, ``label`` and ``split`` come in anyhow. By default all are wanted, as is right for a step
        that may look at any. What a class says holds for its own `apply`, and not for a subclass's.
        """
        return None

    def output_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the columns that come out when `schema` goes in; as found by applying the step to no rows."""
        empty = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
        return self.apply(empty).kept.schema


class TableStep(Step):
    """A step that needs rows together: a shuffle, a join, a query."""

    reads_twice: ClassVar[bool] = False
    """True when `apply` uses its input more than once (or not to its end), so that it must be computed beforehand."""

    @abstractmethod
    def apply(self, frame: DataFrame) -> DataFrame:
        """Return the frame that comes out; lazily, starting no job.

        Every row that goes in comes out, and one that is not to be kept is marked in `REJECTED_RULE`: the next pass
        takes the marked rows off, counts them and records them. ``row_id`` must be carried along.
        """
