"""The contracts of everything that rows come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from connectors.errors import BadRowError, SourceError
from connectors.identity import identity_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ROW_ID = "row_id"
TEXT = "text"
LABEL = "label"

MAX_VALUE_CHARACTERS = 2_000
"""How much of an offending value a record about a bad row keeps: enough to recognise it, small enough to carry."""


@dataclass(frozen=True)
class Partition:
    """A part of a source that one task reads on its own; sources subclass it to say which part.

    Attributes:
        key: names the partition within its source. The same data gives the same keys on every plan, because row
            ids are made from them.
    """

    key: str


@dataclass(frozen=True)
class Plan:
    """What a source is going to read.

    Attributes:
        partitions: disjoint parts that together are the whole, in the order that rows are numbered.
        cursor: how far the source will have been read once all partitions are; None where it keeps no position.
        absent: columns of `PartitionedSource.row_schema` that nothing of the plan has, so that its rows have nulls for
            them: what has come since the cursor may have fewer than what came before.
    """

    partitions: Sequence[Partition]
    cursor: str | None = None
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read as the source's schema wants it.

    Attributes:
        rule: what is wrong, as a stable snake_case name that counts are kept by, e.g. ``malformed_json``.
        reason: what is wrong with this row, for a person.
        origin: the file (or table, or topic) it came from.
        position: where in the origin, counted from 1: the line, or the record.
        value: the raw row or the offending value, cut to `MAX_VALUE_CHARACTERS`.
        row_id: the id it would have had; None lets the base number it like a good row.
    """

    rule: str
    reason: str
    origin: str
    position: int
    value: str
    row_id: str | None = None


@dataclass
class _Numbering:
    """Hands out ``key:position`` ids to the rows of one partition, bad ones included."""

    key: str
    used: int = field(default=0)

    def take(self, count: int) -> pa.StringArray:
        first = self.used
        self.used += count
        return pc.binary_join_element_wise(self.key, pa.array(np.arange(first, self.used)).cast(pa.string()), ":")


class Source(BaseModel, ABC):
    """Where rows come from: the fields of a source are its options, in YAML and in Python alike."""

    # A value that was refused may be a password in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    identity_options: ClassVar[tuple[str, ...] | None] = None
    """The options that say which rows these are and what a cursor counts: where they are, what is left out of them, by
    which column or key they are known. Credentials and what only says how to read (sizes, retries) are none of these.
    None: all options, which is safe, and refuses to read on after any change."""

    def identity(self) -> dict[str, object]:
        """Return what tells the rows from those of another source, as JSON has it.

        It is kept with a cursor: where it has changed, the cursor means nothing, and reading on from it would pass rows
        over. No secret is in it.
        """
        every = (name for name in type(self).model_fields if name != "on_bad_rows")
        return identity_of(self, every if self.identity_options is None else self.identity_options)


class PartitionedSource(Source):
    """A source in pure Python: says its schema, plans its partitions, and reads one.

    Instances are pickled to the executors and so must hold options only, no connections and no open files. The
    rows carry ``text`` (string), ``label`` (string or list of strings) where they are labelled, and any further
    columns under their own names.

    Attributes:
        on_bad_rows: ``quarantine`` sets a malformed row aside with its reason and goes on; ``fail`` raises
            `BadRowError` at the first one.
    """

    on_bad_rows: Literal["quarantine", "fail"] = "quarantine"

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        """See to it that a source plans.

        Raises:
            TypeError: the class reads, and has neither `partitions` nor `plan`.
        """
        super().__pydantic_init_subclass__(**kwargs)
        plans = cls.partitions is not PartitionedSource.partitions or cls.plan is not PartitionedSource.plan
        if not plans and cls.read is not PartitionedSource.read:
            raise TypeError(f"{cls.__name__} must define partitions() (or plan(), see PartitionedSource)")

    @abstractmethod
    def read_schema(self) -> pa.Schema:
        """Return the columns that `read` yields.

        Called in the driver, once per run, before any partition is read; it may look at the data, but briefly.
        A ``row_id`` column (string, not null, unique in the source) means that the source has keys of its own;
        without one, the base numbers the rows of each partition.

        Raises:
            SourceNotFoundError: there is nothing at the place named.
            SourceSchemaError: a column that was asked for is absent.
        """

    def partitions(self) -> Sequence[Partition]:
        """Return disjoint parts that together are the whole; what a source defines that needs no more than that.

        One that keeps positions, holds a snapshot open, or reads less where less is wanted overrides `plan` instead.

        Raises:
            SourceNotFoundError: there is nothing at the place named.
            EmptySourceError: the place exists and holds nothing.
        """
        raise NotImplementedError

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Return a context manager that yields what is to be read; all reading happens before it exits.

        A source whose store has snapshots holds one open in between. Here, it yields the `partitions`.

        Args:
            since: the cursor of an earlier plan: only what came after it is wanted. A source without positions
                raises `SourceError` when one is given.
            columns: the columns that are wanted, of `row_schema`, beside ``row_id``; a hint, so more may be read. Those
                that are wanted come with the types, values and ids that they have among all; a row that is bad in
                others alone may be a good one then.
            predicate: the rows that are wanted; a hint, so the caller filters again. A source that leaves rows out
                gives ids of its own, as those that the base counts out would not be the same.

        Raises:
            SourceNotFoundError: there is nothing at the place named.
            EmptySourceError: the place exists and holds nothing.
        """
        if since is not None:
            raise SourceError(
                f"{type(self).__name__} keeps no position, so it cannot read on from a cursor; leave 'since' out"
            )
        yield Plan(tuple(self.partitions()))

    def reads_again(self) -> bool:
        """Tell whether reading on gives rows again that were given before the cursor, as a window for late ones does.

        A sink must then merge them by their keys, see `Sink.merges`, or they are there twice.
        """
        return False

    @abstractmethod
    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of one of the plan's partitions, as batches of `read_schema`, and its malformed rows as met.

        Called in an executor, once per attempt: a retried task reads again and must yield the same rows in the
        same order. Batches should stay near `BATCH_BYTES` however wide the rows are.
        """

    def scan(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield what `read` yields, with a ``row_id`` on every row and every bad row; this is what engines call.

        Raises:
            BadRowError: a row is malformed and `on_bad_rows` is ``fail``.
        """
        numbering = _Numbering(partition.key)
        for item in self.read(partition):
            if isinstance(item, BadRow):
                if self.on_bad_rows == "fail":
                    raise BadRowError(
                        f"{item.origin}, position {item.position}: {item.reason} ({item.rule}); mend the row, or set "
                        "on_bad_rows: quarantine to set such rows aside and go on"
                    )
                yield item if item.row_id else _identified(item, numbering.take(1)[0].as_py())
            elif ROW_ID in item.schema.names:
                yield item
            else:
                ids = numbering.take(item.num_rows)
                yield pa.RecordBatch.from_arrays([ids, *item.columns], schema=_with_row_id(item.schema))

    def row_schema(self) -> pa.Schema:
        """Return the columns that `scan` yields: those of `read_schema`, with ``row_id`` first if it is not there."""
        schema = self.read_schema()
        return schema if ROW_ID in schema.names else _with_row_id(schema)


BATCH_BYTES = 8 * 1024 * 1024
"""The size that a source's batches aim at: large enough to amortise a call, small enough for several in flight."""


class SparkSource(Source):
    """A source that Spark itself reads, such as a catalog table; it runs in Spark alone.

    The rows are numbered by Spark partition and position, so ids are stable as long as Spark's partitioning is.
    """

    @abstractmethod
    def load(self, spark: SparkSession) -> DataFrame:
        """Return the frame to read, with ``text`` and, where the rows are labelled, ``label``.

        It reads no rows; a source may look at the store, but briefly.

        Raises:
            SourceNotFoundError: the table or path does not exist.
            SourceSchemaError: a column that was asked for is absent.
        """


def _with_row_id(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(ROW_ID, pa.string()), *schema])


def _identified(row: BadRow, row_id: str) -> BadRow:
    return BadRow(row.rule, row.reason, row.origin, row.position, row.value[:MAX_VALUE_CHARACTERS], row_id)
