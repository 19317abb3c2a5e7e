"""A source of rows that are in this process already."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from connectors.columns import ColumnNames, Layout
from connectors.errors import EmptySourceError
from connectors.source import BATCH_BYTES, BadRow, Partition, PartitionedSource

MAX_SPEC_ROWS = 10_000
"""More rows than this are not written into a spec: it would be no text for people any more."""

MIN_PARTITION_ROWS = 10_000
"""Fewer rows than this are not worth a task of their own."""

_JSON_TYPES = (str, int, float, bool, type(None))


class Rows:
    """Rows as the option of a model: made of dictionaries, a pandas frame or an Arrow table; equal if the content is.

    Attributes:
        table: the rows.
    """

    def __init__(self, table: pa.Table) -> None:
        # Taking every row lays the buffers out afresh: slices and what lies under a null would show in the digest.
        self.table = table.take(np.arange(table.num_rows)).combine_chunks()

    @classmethod
    def of(cls, value: object) -> Rows:
        """Return the rows that `value` holds.

        Raises:
            ValueError: it is none of the kinds allowed, or a column mixes types.
        """
        if isinstance(value, Rows):
            return value
        try:
            return cls(_table(value))
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            raise ValueError(f"the rows do not form columns of one type each: {error}") from error

    @cached_property
    def digest(self) -> str:
        """A SHA-256 over the columns' names, types and values, in hexadecimal; the same in every process."""
        return hashlib.sha256(_to_ipc(self.table)).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{self.table.num_rows:,} rows of {', '.join(self.table.column_names)}>"

    def __reduce__(self) -> tuple[Callable[[bytes], Rows], tuple[bytes]]:
        return _from_ipc, (_to_ipc(self.table),)

    def to_spec(self) -> list[dict[str, object]]:
        """Return the rows as a spec writes them.

        Raises:
            ValueError: there are more than `MAX_SPEC_ROWS`, or a spec's text would not bring them back the
            same.
        """
        if self.table.num_rows > MAX_SPEC_ROWS:
            raise ValueError(
                f"Memory holds {self.table.num_rows:,} rows, and a spec at most {MAX_SPEC_ROWS:,}; write them to "
                "Parquet and read them with ParquetSource"
            )
        rows: list[dict[str, object]] = self.table.to_pylist()
        if not all(_is_plain(row) for row in rows) or Rows.of(rows) != self:
            raise ValueError(
                "Memory holds rows that a spec's text cannot bring back as they are: columns "
                f"{', '.join(f'{field.name} ({field.type})' for field in self.table.schema)}, of which only strings, "
                "int64, float64, booleans, and lists and objects of those can be written; write them to Parquet and "
                "read them with ParquetSource"
            )
        return rows

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take what `of` takes, and give what `to_spec` gives."""
        return core_schema.no_info_plain_validator_function(
            cls.of,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda rows: rows.to_spec()),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        """Describe what a spec holds: a list of objects."""
        return {"type": "array", "items": {"type": "object"}}


@dataclass(frozen=True)
class RowRange(Partition):
    """The rows from `start` to before `stop`, counted from 0."""

    start: int
    stop: int


class Memory(PartitionedSource):
    """Rows that the program holds already; sent to the executors with the source, so for small data and tests.

    Two are equal if their rows are, column by column, type by type. In a spec, `rows` is a list of objects. A row
    without a text is a bad row. ``row_id`` is ``memory:N``, counted from 1, unless `id_column` is given.

    Attributes:
        rows: a list of dictionaries, a pandas frame (its index is left out) or an Arrow table.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if
            there is one, as it is. A list column makes the rows multi-label.
        id_column: a key column that becomes ``row_id``; None numbers the rows.
    """

    identity_options: ClassVar[tuple[str, ...]] = ()

    rows: Rows
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    def read_schema(self) -> pa.Schema:
        """Return the columns of the rows; see `PartitionedSource.read_schema`."""
        return self._layout().schema

    def partitions(self) -> Sequence[Partition]:
        """Return ranges of rows; see `PartitionedSource.partitions`."""
        table = self.rows.table
        if not table.num_rows:
            raise EmptySourceError("Memory holds no rows; give it at least one")
        step = max(MIN_PARTITION_ROWS, -(-table.num_rows // 16))
        starts = range(0, table.num_rows, step)
        return [RowRange(f"memory:{start + 1}", start, min(start + step, table.num_rows)) for start in starts]

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a range."""
        assert isinstance(partition, RowRange)
        layout = self._layout()
        table = self.rows.table
        rows = max(1, BATCH_BYTES * table.num_rows // max(1, table.nbytes))
        for start in range(partition.start, partition.stop, rows):
            stop = min(start + rows, partition.stop)
            batch = table.slice(start, stop - start).combine_chunks().to_batches()[0]
            positions = pa.array(np.arange(start + 1, stop + 1))
            yield from layout.rows(batch, positions, origin="memory", name="memory")

    def _layout(self) -> Layout:
        names = ColumnNames(self.text_column, self.label_column, self.id_column)
        return names.over(self.rows.table.schema, "Memory")


def _table(value: object) -> pa.Table:
    if isinstance(value, pa.Table):
        return value.replace_schema_metadata()
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value]).replace_schema_metadata()
    # A frame can only be given where pandas was imported, and importing it takes a server half a second.
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return pa.Table.from_pandas(value, preserve_index=False).replace_schema_metadata()
    if isinstance(value, Sequence) and all(isinstance(row, Mapping) for row in value):
        names = list(dict.fromkeys(name for row in value for name in row))
        return pa.table({name: pa.array([row.get(name) for row in value]) for name in names})
    raise ValueError(f"a list of dictionaries, a pandas frame or an Arrow table is wanted, not {type(value).__name__}")


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(member) for member in value.values())
    if isinstance(value, list):
        return all(_is_plain(member) for member in value)
    # Not a number is not equal to itself, and JSON has no word for it.
    return type(value) in _JSON_TYPES and value == value


def _to_ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _from_ipc(data: bytes) -> Rows:
    with pa.ipc.open_stream(data) as reader:
        return Rows(reader.read_all())
