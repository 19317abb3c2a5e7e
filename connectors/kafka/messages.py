"""Rows made of Kafka messages, and what is wrong with those that none can be made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from connectors.columns import ColumnNames, Layout
from connectors.files.json_records import coerce_object, coercers, parse_object
from connectors.files.lines import MAX_RECORD_BYTES, Fault, decode
from connectors.source import MAX_VALUE_CHARACTERS, TEXT, BadRow

if TYPE_CHECKING:
    from confluent_kafka import Message

Format = Literal["json", "text", "bytes"]
"""What a message's value is."""

Metadata = Literal["key", "partition", "offset", "timestamp"]
"""What a message has beside its value."""

_KEY = "__headrace_key"

_METADATA: dict[Metadata, pa.Field] = {
    "key": pa.field("kafka_key", pa.binary()),
    "partition": pa.field("kafka_partition", pa.int32()),
    "offset": pa.field("kafka_offset", pa.int64()),
    "timestamp": pa.field("kafka_timestamp", pa.timestamp("us", "UTC")),
}

_PLAIN = {
    "text": pa.schema([(TEXT, pa.string())]),
    "bytes": pa.schema([(TEXT, pa.string()), ("value", pa.binary())]),
}


def plain_schema(kind: Literal["text", "bytes"]) -> pa.Schema:
    """Return the columns of a format that has the same ones always."""
    return _PLAIN[kind]


@dataclass(frozen=True)
class MessageForm:
    """How rows are made of messages.

    Attributes:
        topic: the topic they are in.
        format: what their values are.
        encoding: of values that are text.
        names: which columns are which.
        found: the columns that values have.
        metadata: what else becomes a column.
    """

    topic: str
    format: Format
    encoding: str
    names: ColumnNames
    found: pa.Schema
    metadata: tuple[Metadata, ...]

    def layout(self) -> Layout:
        """Return how rows are made of the columns of `table`.

        Raises:
            SourceSchemaError: a column that the options name is not there.
        """
        names = self.names if self.names.row_id is not None else replace(self.names, row_id=_KEY)
        return names.over(self._schema(), f"the topic {self.topic!r}")

    def reader(self) -> Callable[[Message], list[object] | Fault]:
        """Return what gives the values of a message's columns, or says what is wrong with it."""
        parse = self._parser()

        def read(message: Message) -> list[object] | Fault:
            value = message.value()
            if value is None:
                return Fault("tombstone", "the value is null, as that of a message that deletes a key")
            values = parse(value)
            if isinstance(values, Fault):
                return values
            return values + [_beside(message, one) for one in self.metadata]

        return read

    def rows(
        self, partition: int, offsets: list[int], values: list[list[object]], layout: Layout
    ) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of messages of a partition, good ones in one batch, and the others each by itself."""
        place = f"{self.topic}/{partition}"
        schema = self._schema()
        columns: list[object] = list(zip(*values, strict=True))
        if self.names.row_id is None:
            columns.insert(0, [f"{place}/{offset}" for offset in offsets])
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        positions = pa.array(offsets, pa.int64())
        table = pa.RecordBatch.from_arrays(arrays, schema=schema)
        for item in layout.rows(table, positions, origin=place, name=place):
            if isinstance(item, BadRow):
                row_id = f"{place}/{item.position}" if item.rule == "null_id" else item.row_id
                yield replace(item, row_id=row_id, position=item.position + 1)
            else:
                yield item

    def _schema(self) -> pa.Schema:
        key = [] if self.names.row_id is not None else [pa.field(_KEY, pa.string())]
        return pa.schema([*key, *self.found, *(_METADATA[one] for one in self.metadata)])

    def _parser(self) -> Callable[[bytes], list[object] | Fault]:
        if self.format == "bytes":
            return _as_bytes
        if self.format == "text":
            return self._as_text
        columns = coercers(self.found)

        def as_json(value: bytes) -> list[object] | Fault:
            row = parse_object(value, self.encoding)
            return row if isinstance(row, Fault) else coerce_object(row, columns)

        return as_json

    def _as_text(self, value: bytes) -> list[object] | Fault:
        text = decode(value, self.encoding)
        return text if isinstance(text, Fault) else [text]


def bad_row(fault: Fault, message: Message) -> BadRow:
    """Return the bad row that a message is; its position is one more than its offset, as positions count from 1."""
    place, offset = f"{message.topic()}/{message.partition()}", int(message.offset() or 0)
    head = (message.value() or b"")[:MAX_VALUE_CHARACTERS]
    shown = head.decode("utf-8", "backslashreplace")
    return BadRow(fault.rule, fault.reason, place, offset + 1, shown, f"{place}/{offset}")


def size_of(message: Message) -> int:
    """Return how many bytes a message's key and value have."""
    return len(message.value() or b"") + len(message.key() or b"")


def _as_bytes(value: bytes) -> list[object] | Fault:
    if len(value) > MAX_RECORD_BYTES:
        return Fault("too_long", f"longer than {MAX_RECORD_BYTES:,} bytes, so it is not taken for one record")
    return [value.decode("utf-8", "backslashreplace"), value]


def _beside(message: Message, what: Metadata) -> object:
    if what == "key":
        return message.key()
    if what == "partition":
        return message.partition()
    if what == "offset":
        return message.offset()
    kind, milliseconds = message.timestamp()
    return milliseconds * 1000 if kind and milliseconds >= 0 else None
