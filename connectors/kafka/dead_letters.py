"""Copies of the messages that no row could be made of, sent to a topic of their own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from connectors.errors import SourceError
from connectors.kafka.options import KafkaOptions

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message, Producer

_ROOM = {"message.max.bytes": 64 * 1024 * 1024}
_KEPT_ONCE = {"enable.idempotence": True, "acks": "all"}

_UNDER_WAY_BYTES = 16 * 1024 * 1024
"""How much may be under way before the sender waits."""

_PREFIX = "headrace."


@dataclass(frozen=True)
class DeadLetter:
    """A copy of a message, with what was wrong with it. The same message and fault give the same copy.

    Attributes:
        key: names the message: ``topic/partition/offset``.
        value: the message's; empty where it had none, since a null would delete the key from a compacted topic.
        headers: the message's own, and then ours.
    """

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def size(self) -> int:
        """How many bytes it takes, about."""
        return 1000 + len(self.value) + sum(len(value or b"") for _, value in self.headers)

    @classmethod
    def of(cls, message: Message, rule: str, reason: str) -> DeadLetter:
        """Return the copy of a message that breaks a rule."""
        _, milliseconds = message.timestamp()
        place = f"{message.topic()}/{message.partition()}/{message.offset()}"
        ours: dict[str, object] = {
            "rule": rule,
            "reason": reason,
            "topic": message.topic(),
            "partition": message.partition(),
            "offset": message.offset(),
            "timestamp": milliseconds,
        }
        headers = [(f"{_PREFIX}{name}", str(value).encode()) for name, value in ours.items()]
        key = message.key()
        if key is not None:
            headers.append((f"{_PREFIX}key", key))
        return cls(place.encode(), message.value() or b"", (*_headers(message), *headers))

    def without_value(self) -> DeadLetter:
        """Return the copy without the value, and with a header that says how long that was."""
        left_out = (f"{_PREFIX}value_left_out", f"{len(self.value)} bytes".encode())
        return replace(self, value=b"", headers=(*self.headers, left_out))


@dataclass
class DeadLetters:
    """Sends copies to a topic; made by `sending`.

    Attributes:
        options: how the cluster is reached.
        topic: where they go.
    """

    options: KafkaOptions
    topic: str
    _producer: Producer | None = None
    _open: int = 0
    _too_large: list[DeadLetter] = field(default_factory=list)
    _failed: KafkaError | None = None

    def send(self, message: Message, rule: str, reason: str) -> None:
        """Send a copy of a message; that it has arrived is known after `finish`.

        Raises:
            SourceError: copies do not get through.
        """
        self._send(DeadLetter.of(message, rule, reason))
        self._wait(_UNDER_WAY_BYTES)

    def finish(self) -> None:
        """Return once all copies have arrived. A value that the topic has no room for is left out of its copy.

        Raises:
            SourceError: they do not within the option 'timeout'.
        """
        self._wait(0)
        while self._too_large:
            letter = self._too_large.pop()
            # A broker refuses all that came with one that is too large, so each is tried by itself.
            self._send(letter)
            self._wait(0)
            if letter in self._too_large:
                self._too_large.remove(letter)
                self._send(letter.without_value())
                self._wait(0)

    def _send(self, letter: DeadLetter) -> None:
        from confluent_kafka import KafkaException

        if self._producer is None:
            limit = {"delivery.timeout.ms": max(1000, round(self.options.timeout * 1000))}
            settings = {**_ROOM, **limit, **self.options.settings(), **_KEPT_ONCE}
            self._producer = self.options.client("Producer", settings)

        def arrived(error: KafkaError | None, _: object) -> None:
            self._open -= letter.size
            if error is not None:
                self._refused(error, letter)

        try:
            self._producer.produce(
                self.topic, value=letter.value, key=letter.key, headers=list(letter.headers), on_delivery=arrived
            )
            self._open += letter.size
        except KafkaException as error:
            self._refused(error.args[0], letter)

    def _refused(self, error: KafkaError, letter: DeadLetter) -> None:
        if error.name() in ("MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE") and letter.value:
            self._too_large.append(letter)
        else:
            self._failed = error

    def _wait(self, left: int) -> None:
        """Wait until no more than `left` bytes are under way."""
        # The client gives each copy up by itself after the timeout; the second one is for a client that does not.
        deadline = time.monotonic() + 2 * self.options.timeout
        while self._producer is not None and self._failed is None and self._open > left and time.monotonic() < deadline:
            self._producer.poll(0.1)
        if self._failed is not None or self._open > left:
            said = self.options.told(self._failed) if self._failed is not None else "nothing was heard of them"
            raise SourceError(f"bad messages could not be sent to the dead-letter topic {self.topic!r}: {said}")

    def _leave(self) -> None:
        if self._producer is not None and self._open:
            self._producer.purge()
            self._producer.flush(1.0)


@contextmanager
def sending(options: KafkaOptions, topic: str | None) -> Iterator[DeadLetters | None]:
    """Yield what sends copies to a topic; None where there is no topic. What is not finished at the end is given up."""
    if topic is None:
        yield None
        return
    letters = DeadLetters(options, topic)
    try:
        yield letters
    finally:
        letters._leave()


def _headers(message: Message) -> Sequence[tuple[str, bytes | None]]:
    found: Any = message.headers() or ()
    items = found.items() if isinstance(found, dict) else found
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in items]
