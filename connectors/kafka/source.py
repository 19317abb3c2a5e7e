"""A source of the messages of a Kafka topic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from connectors.batches import gather
from connectors.columns import ColumnNames
from connectors.errors import EmptySourceError
from connectors.files.json_types import parse_type
from connectors.files.lines import Encoding, Fault
from connectors.kafka.cluster import KafkaCluster, reaching
from connectors.kafka.dead_letters import DeadLetters, sending
from connectors.kafka.head import head_schema
from connectors.kafka.messages import Format, MessageForm, Metadata, bad_row, plain_schema, size_of
from connectors.kafka.options import KafkaOptions
from connectors.kafka.positions import (
    Bound,
    KafkaCursor,
    LostMessages,
    LostOffsetError,
    Watermarks,
    Window,
    begin_at,
    cut,
    lost_messages,
)
from connectors.options import Items
from connectors.source import TEXT, BadRow, Partition, PartitionedSource, Plan

if TYPE_CHECKING:
    from confluent_kafka import Message


@dataclass(frozen=True)
class KafkaPartition(Partition):
    """A range of offsets of a topic's partition.

    Attributes:
        number: of the topic's partition.
        start: the first offset.
        stop: the offset behind the last one.
        found: the columns that values have.
    """

    number: int
    start: int
    stop: int
    found: pa.Schema


@dataclass(frozen=True)
class _Read:
    """A message whose values are known.

    Attributes:
        offset: its offset.
        values: of its columns.
        message: itself, where it may still become a dead letter.
    """

    offset: int
    values: list[object]
    message: Message | None


class Kafka(KafkaOptions, PartitionedSource):
    """The messages of a Kafka topic, up to where it ends when the plan is made.

    A plan's cursor holds the offset that comes next in each of the topic's partitions, and the next plan reads on from
    there; as offsets are given in the order that messages arrive, none comes late. Nothing is kept in the cluster: no
    consumer group is joined, and no offset committed. Large partitions of the topic are cut into ranges of offsets.
    ``row_id`` is ``topic/partition/offset``, unless `id_column` is given.

    A message is a bad row if its value is null (unless `tombstones` says ``skip``), cannot be decoded, is longer than
    `MAX_RECORD_BYTES`, is no JSON object, holds a value of another type than its column has, or has no text; its
    position is one more than its offset, as positions count from 1. In JSON, a key that is missing is null, and one
    that is no column is left out.

    Offsets without a message (compacted away, or markers of transactions) are passed over. Offsets that were deleted
    before they were read are an error, unless `lost_messages` says otherwise. Where messages of transactions that are
    still open are in the way, a plan ends before them. A topic that was deleted, made again and has grown past the
    cursor since cannot be told from the old one.

    With a `dead_letter_topic`, bad messages are also copied there, with their own headers and those named
    ``headrace.rule``, ``.reason``, ``.topic``, ``.partition``, ``.offset``, ``.timestamp`` and ``.key``. The copies of
    a partition have all arrived before its reading ends, else it fails. They are sent at least once: a task that is
    retried, a preview or a second run over the same messages sends them again, with the same key
    (``topic/partition/offset``) and the same headers, so that a topic with ``cleanup.policy=compact`` comes to keep one
    of each. A value that is too large for that topic is left out of the copy, which says so. Under ``on_bad_rows:
    fail`` nothing is sent.

    Attributes:
        topic: its name.
        format: what values are: ``json`` (an object, whose keys are columns), ``text``, or ``bytes``: as they are in
            the column ``value``, and in ``text`` as UTF-8, in which what is not is written as escapes.
        text_column: the key that becomes ``text``, of JSON.
        label_column: the key that becomes ``label``, and must not be missing, of JSON; None takes ``label``, if there
            is one, as it is.
        id_column: a key, unique in the topic, that becomes ``row_id``, of JSON.
        types: key to type (``string``, ``int64``, ``float64``, ``bool``, ``list<…>``), of JSON: then exactly these keys
            are read. Empty infers them from the first `HEAD_MESSAGES` messages that are there; as those change while
            the topic does, name the types where a pipeline is scheduled.
        encoding: of values that are text, decoded strictly.
        metadata: what else becomes a column: ``key`` (``kafka_key``, bytes), ``partition`` (``kafka_partition``),
            ``offset`` (``kafka_offset``) and ``timestamp`` (``kafka_timestamp``).
        start: where a plan without a cursor begins: ``earliest``, a time in ISO 8601 with its zone (the first message
            of each partition at or after it), or offsets as ``0:1200, 1:900`` (other partitions from the earliest one).
        end: where a plan ends, before: ``latest``, a time, or offsets likewise.
        tombstones: what a message with a null value is.
        lost_messages: ``skip`` goes on without messages that were deleted before they were read.
        isolation: ``read_uncommitted`` also reads messages of transactions that are open or were given up.
        partition_offsets: how many offsets a task reads at most.
        dead_letter_topic: where copies of bad messages go.
    """

    identity_options: ClassVar[tuple[str, ...]] = ("topic",)

    topic: str = Field(min_length=1)
    format: Format = "json"
    text_column: str = TEXT
    label_column: str | None = None
    id_column: str | None = None
    types: Items[str] = ()
    encoding: Encoding = "utf-8"
    metadata: tuple[Metadata, ...] = ()
    start: str = "earliest"
    end: str = "latest"
    tombstones: Literal["bad_row", "skip"] = "bad_row"
    lost_messages: LostMessages = "fail"
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"
    partition_offsets: int = Field(default=250_000, ge=1)
    dead_letter_topic: str | None = Field(default=None, min_length=1)

    @field_validator("types")
    @classmethod
    def _are_known(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for _, name in value:
            parse_type(name)
        return value

    @field_validator("metadata")
    @classmethod
    def _are_named_once(cls, value: tuple[Metadata, ...]) -> tuple[Metadata, ...]:
        if len(set(value)) < len(value):
            raise ValueError("each is named once at most")
        return value

    @field_validator("start")
    @classmethod
    def _is_a_start(cls, value: str) -> str:
        Bound.parse(value, "earliest")
        return value

    @field_validator("end")
    @classmethod
    def _is_an_end(cls, value: str) -> str:
        Bound.parse(value, "latest")
        return value

    @model_validator(mode="after")
    def _reads_what_it_can(self) -> Self:
        given = [name for name in ("label_column", "id_column", "types") if getattr(self, name)]
        given += ["text_column"] * (self.text_column != TEXT)
        if given and self.format != "json":
            raise ValueError(f"{given[0]!r} goes with format: json, and not with {self.format}")
        if self.dead_letter_topic == self.topic:
            raise ValueError(
                "'dead_letter_topic' is another one than 'topic', or bad messages would come back for ever"
            )
        return self

    def read_schema(self) -> pa.Schema:
        """Return the declared or inferred columns; see `PartitionedSource.read_schema`."""
        if self._infers():
            with reaching(self, self.isolation) as cluster:
                return self._form(self._inferred(cluster, self._marks(cluster))).layout().schema
        return self._form(self._declared()).layout().schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield ranges of offsets; see `PartitionedSource.plan`. Columns and predicate are not used.

        Raises:
            SourceError: messages were deleted before they were read, or the cursor is not one of this topic.
        """
        with reaching(self, self.isolation) as cluster:
            found = cluster.find(self.topic)
            if self.dead_letter_topic is not None:
                cluster.find(self.dead_letter_topic, "dead_letter_topic")
            marks = {one: cluster.watermarks(self.topic, one) for one in found.partitions}
            cursor = KafkaCursor.parse(since) if since is not None else None
            if cursor is not None:
                cursor.check(found.cluster, self.topic, found.partitions)
            window = Window.parse(self.start, self.end, self.lost_messages)
            ranges = window.ranges(self.topic, marks, cursor, lambda times: cluster.offsets_at(self.topic, times))
            if cursor is None and all(start >= stop for start, stop in ranges.values()):
                raise EmptySourceError(
                    f"the topic {self.topic!r} at {self.bootstrap_servers} holds no message from {self.start} to "
                    f"{self.end}"
                )
            schema = self._inferred(cluster, marks) if self._infers() else self._declared()
            self._form(schema).layout()
        parts = [
            KafkaPartition(f"{self.topic}/{number}/{first}", number, first, last, schema)
            for number, (start, stop) in ranges.items()
            for first, last in cut(start, stop, self.partition_offsets)
        ]
        reached = {number: max(start, stop) for number, (start, stop) in ranges.items()}
        yield Plan(tuple(parts), KafkaCursor(found.cluster, self.topic, reached).text())

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the messages of a range of offsets; where the connection is cut, go on. See `PartitionedSource.read`.

        Raises:
            SourceError: messages were deleted since the plan was made, or the cluster will not give them.
        """
        assert isinstance(partition, KafkaPartition)
        form = self._form(partition.found)
        layout = form.layout()
        dead_letters = self.dead_letter_topic if self.on_bad_rows == "quarantine" else None
        with sending(self, dead_letters) as letters:

            def convert(rows: list[_Read]) -> Iterator[pa.RecordBatch | BadRow]:
                messages = {row.offset: row.message for row in rows} if letters is not None else {}
                offsets, values = [row.offset for row in rows], [row.values for row in rows]
                for item in form.rows(partition.number, offsets, values, layout):
                    if isinstance(item, BadRow) and letters is not None:
                        message = messages[item.position - 1]
                        assert message is not None
                        letters.send(message, item.rule, item.reason)
                    yield item

            yield from gather(self._records(partition, form, letters), convert)
            if letters is not None:
                letters.finish()

    def _records(
        self, partition: KafkaPartition, form: MessageForm, letters: DeadLetters | None
    ) -> Iterator[tuple[int, _Read] | BadRow]:
        values_of = form.reader()
        for message in self._messages(partition):
            if message.value() is None and self.tombstones == "skip":
                continue
            values = values_of(message)
            if isinstance(values, Fault):
                if letters is not None:
                    letters.send(message, values.rule, values.reason)
                yield bad_row(values, message)
            else:
                kept = message if letters is not None else None
                yield size_of(message), _Read(int(message.offset() or 0), values, kept)

    def _messages(self, partition: KafkaPartition) -> Iterator[Message]:
        """Yield a partition's messages; see `lost_messages` for what happens where some are gone."""
        start = partition.start
        with reaching(self, self.isolation) as cluster:
            while True:
                try:
                    yield from cluster.messages(self.topic, partition.number, start, partition.stop)
                    return
                except LostOffsetError as lost:
                    place = f"{self.topic}/{partition.number}"
                    marks = cluster.watermarks(self.topic, partition.number)
                    start = begin_at(place, lost.offset, marks, self.lost_messages)
                    if start == lost.offset:  # the broker that refused it has another view than the one that answered
                        raise lost_messages(place, start, start + 1) from None

    def _marks(self, cluster: KafkaCluster) -> dict[int, Watermarks]:
        return {one: cluster.watermarks(self.topic, one) for one in cluster.find(self.topic).partitions}

    def _infers(self) -> bool:
        return self.format == "json" and not self.types

    def _inferred(self, cluster: KafkaCluster, marks: Mapping[int, Watermarks]) -> pa.Schema:
        return head_schema(cluster, self.topic, marks, self.encoding)

    def _declared(self) -> pa.Schema:
        if self.format == "json":
            return pa.schema([(name, parse_type(kind)) for name, kind in self.types])
        return plain_schema(self.format)

    def _form(self, found: pa.Schema) -> MessageForm:
        names = ColumnNames(self.text_column, self.label_column, self.id_column)
        return MessageForm(self.topic, self.format, self.encoding, names, found, self.metadata)
