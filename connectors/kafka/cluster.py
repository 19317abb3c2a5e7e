"""Talking to a Kafka cluster: how it is reached, what it is asked, and what its errors mean."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from connectors.errors import ConnectionCutError, SourceError, SourceNotFoundError
from connectors.kafka.options import KafkaOptions
from connectors.kafka.positions import LostOffsetError, Watermarks

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

_Answer = TypeVar("_Answer")

_FIRST_TRY_SECONDS = 0.25
"""How long the first try of a question lasts; each further one lasts twice as long."""

_POLL_SECONDS = 0.5

_SHOWN = 8

_READING: Mapping[str, object] = {
    "auto.offset.reset": "error",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "group.id": "headrace",
    # A broker answers at once where there are messages; where a partition ends, nothing is to be waited for.
    "fetch.wait.max.ms": 10,
    # What is fetched beyond a partition's end is thrown away, so little of it is kept ahead.
    "queued.max.messages.kbytes": 16 * 1024,
    "fetch.queue.backoff.ms": 20,
    "max.partition.fetch.bytes": 4 * 1024 * 1024,
}


class Heard:
    """The errors that a client reports on the side, of which the most telling is kept."""

    def __init__(self) -> None:
        self.final: KafkaError | None = None
        self.latest: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error in; called by the client."""
        if _is_final(error):
            self.final = error
        if error.name() != "_ALL_BROKERS_DOWN" or self.latest is None:
            self.latest = error


@dataclass(frozen=True)
class FoundTopic:
    """What a cluster says of a topic.

    Attributes:
        cluster: the id that the cluster gives itself; empty where it has none.
        partitions: the numbers of the topic's partitions.
    """

    cluster: str
    partitions: tuple[int, ...]


@dataclass(frozen=True)
class KafkaCluster:
    """A cluster that can be asked and read; made by `reaching`.

    Attributes:
        options: how it is reached.
        consumer: the client, which commits no offsets and joins no group.
        heard: what went wrong lately.
    """

    options: KafkaOptions
    consumer: Consumer
    heard: Heard

    def find(self, topic: str, option: str = "topic") -> FoundTopic:
        """Return what the cluster says of a topic.

        Args:
            topic: its name.
            option: which option names it, for the error.

        Raises:
            SourceNotFoundError: there is no such topic.
            SourceError: the cluster cannot be reached, or does not let the user see the topic.
        """
        from confluent_kafka import KafkaException

        def ask(seconds: float) -> tuple[FoundTopic, KafkaError | None]:
            answer = self.consumer.list_topics(topic, timeout=seconds)
            found = answer.topics[topic]
            if found.error is not None and found.error.name() == "LEADER_NOT_AVAILABLE":  # a topic that was just made
                raise KafkaException(found.error)
            return FoundTopic(answer.cluster_id or "", tuple(sorted(found.partitions))), found.error

        found, error = self._ask(ask)
        if error is None and found.partitions:
            return found
        if error is not None and error.name() not in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"):
            raise SourceError(self.options.told(error, f"about the topic {topic!r}"))
        names = sorted(name for name in self._topics() if not name.startswith("__"))
        close = difflib.get_close_matches(topic, names, n=3)
        meant = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
        listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        raise SourceNotFoundError(
            f"Kafka at {self.options.bootstrap_servers} has no topic {topic!r}; {meant}the user can see: "
            f"{listed or 'none'}; create the topic, or name another one in the option {option!r}"
        )

    def watermarks(self, topic: str, partition: int) -> Watermarks:
        """Return the first offset that a partition still has, and the one that comes after its last readable one."""
        from confluent_kafka import TopicPartition

        place = TopicPartition(topic, partition)

        def ask(seconds: float) -> tuple[int, int]:
            found = self.consumer.get_watermark_offsets(place, timeout=seconds)
            return found if found is not None else _timed_out()

        return Watermarks(*self._ask(ask))

    def offsets_at(self, topic: str, times: Mapping[int, int]) -> dict[int, int | None]:
        """Return, of each partition, the offset of the first message at or after a time; None where there is none.

        Args:
            topic: its name.
            times: partition to milliseconds since 1970.
        """
        from confluent_kafka import KafkaException, TopicPartition

        if not times:
            return {}
        wanted = [TopicPartition(topic, partition, at) for partition, at in sorted(times.items())]

        def ask(seconds: float) -> list[TopicPartition]:
            found = self.consumer.offsets_for_times(wanted, timeout=seconds)
            for one in found:
                if one.error is not None:
                    raise KafkaException(one.error)
            return found

        return {one.partition: one.offset if one.offset >= 0 else None for one in self._ask(ask)}

    def messages(self, topic: str, partition: int, start: int, stop: int) -> Iterator[Message]:
        """Yield the messages from the offset `start` to before `stop`, in their order.

        Offsets that hold no message (compacted away, or markers of transactions) are passed over. When the connection
        is cut, the client takes it up again with growing waits, from behind the last message it got.

        Raises:
            LostOffsetError: the offset to read next has been deleted, or was never there.
            ConnectionCutError: nothing has come for as long as the option 'timeout' says.
            SourceError: the cluster will not give the messages.
        """
        from confluent_kafka import TopicPartition

        self.consumer.assign([TopicPartition(topic, partition, start)])
        place = f"{topic}/{partition}"
        position, deadline = start, time.monotonic() + self.options.timeout
        said = ""
        while position < stop:
            message = self.consumer.poll(_POLL_SECONDS)
            error = message.error() if message is not None else None
            if message is not None and error is None:
                self.heard.latest = None
                position = int(message.offset() or 0) + 1
                if position > stop:
                    return
                yield message
                # The reader's own work between two messages is not the cluster's silence.
                deadline = time.monotonic() + self.options.timeout
            elif message is not None and error is not None and error.name() == "_PARTITION_EOF":
                end = int(message.offset() or 0)
                if end >= stop:
                    return
                said = f"the end of what can be read is offset {end}, and {stop} was seen before, as after a truncation"
            elif error is not None and error.name() in _LOST:
                raise LostOffsetError(place, position)
            elif error is not None:
                self.heard(error)
            if self.heard.final is not None:
                raise SourceError(self.options.told(self.heard.final, f"about {place} at offset {position}"))
            if time.monotonic() > deadline:
                latest = self.options.told(self.heard.latest, f"about {place}") if self.heard.latest else said
                raise ConnectionCutError(
                    f"{place} at {self.options.bootstrap_servers}: nothing came from offset {position} on for "
                    f"{self.options.timeout:g} s; {latest or 'run again, or raise the option timeout'}"
                )

    def _topics(self) -> list[str]:
        return list(self._ask(lambda seconds: self.consumer.list_topics(timeout=seconds)).topics)

    def _ask(self, ask: Callable[[float], _Answer]) -> _Answer:
        """Return what `ask` returns within so many seconds; try again while that may help, with an end."""
        from confluent_kafka import KafkaException

        deadline, seconds = time.monotonic() + self.options.timeout, _FIRST_TRY_SECONDS
        while True:
            try:
                return ask(min(seconds, max(0.1, deadline - time.monotonic())))
            except KafkaException as error:
                self.consumer.poll(0.1)  # what the client has heard from brokers meanwhile comes in here
                said = error.args[0]
                final = said if _is_final(said) else self.heard.final
                if final is not None or time.monotonic() > deadline:
                    raise SourceError(self.options.told(final or self.heard.latest or said)) from None
                seconds *= 2


@contextmanager
def reaching(options: KafkaOptions, isolation: str) -> Iterator[KafkaCluster]:
    """Yield the cluster; nothing is asked of it yet.

    Args:
        options: how it is reached.
        isolation: ``read_committed`` or ``read_uncommitted``.

    Raises:
        SourceError: the client is missing, or refuses the settings.
    """
    heard = Heard()
    settings = {**_READING, "isolation.level": isolation, **options.settings()}
    consumer = options.client("Consumer", {**settings, "error_cb": heard})
    try:
        yield KafkaCluster(options, consumer, heard)
    finally:
        consumer.close()


_LOST = ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE", "_LOG_TRUNCATION")

_FINAL = (
    "_AUTHENTICATION",
    "_SSL",
    "_UNKNOWN_PARTITION",
    "_UNKNOWN_TOPIC",
    "_UNSUPPORTED_FEATURE",
    "CLUSTER_AUTHORIZATION_FAILED",
    "ILLEGAL_SASL_STATE",
    "SASL_AUTHENTICATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "UNSUPPORTED_SASL_MECHANISM",
)


def _is_final(error: KafkaError) -> bool:
    """Tell whether an error will be the same at the next try."""
    return bool(error.fatal()) or error.name() in _FINAL


def _timed_out() -> tuple[int, int]:
    from confluent_kafka import KafkaError, KafkaException

    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
