"""A Kafka broker of the tests' own: the mock cluster that is built into librdkafka.

It keeps messages in memory, and takes the requests of producers and consumers. It answers no look-ups of times, hides
nothing of transactions that are open or were given up, and knows no users.
"""

from __future__ import annotations

import ctypes
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

from connectors import Kafka

PRODUCE = 0

UNKNOWN_TOPIC = 3
LEADER_NOT_AVAILABLE = 5
MSG_SIZE_TOO_LARGE = 10
TOPIC_AUTHORIZATION_FAILED = 29

_BROKER = 1


ROWS = 300
"""How many messages of `Broker.reviews` are rows."""

BAD = 6
"""How many are not."""


@dataclass(frozen=True)
class Kept:
    """A message as it lies in a topic."""

    key: str
    value: bytes | None
    headers: dict[str, bytes | None]


@dataclass
class Broker:
    """A cluster of one broker.

    Attributes:
        address: where it listens.
    """

    address: str
    _library: ctypes.CDLL
    _cluster: ctypes.c_void_p
    _topics: list[str] = field(default_factory=list)

    def create(self, partitions: int = 1, name: str | None = None) -> str:
        """Make a topic, and return its name."""
        topic = name or f"reviews-{len(self._topics)}"
        self._topics.append(topic)
        assert self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, 1) == 0
        return topic

    def reviews(self) -> str:
        """Make a topic of three partitions, the last of which is empty, with some messages that are no rows."""
        topic = self.create(partitions=3)
        for partition in (0, 1):
            self.produce(topic, *(review(number) for number in range(ROWS // 2)), partition=partition, key=b"k")
        self.produce(topic, None, b"{", b"[1]", b'{"text": 1}', b'{"text": null}', b"\xff", partition=1)
        return topic

    def source(self, topic: str, **options: Any) -> Kafka:
        """Return the source of a topic."""
        return Kafka(**{"bootstrap_servers": self.address, "topic": topic, "timeout": 10, **options})

    def refuse(self, topic: str, error: int) -> None:
        """Answer questions about a topic with an error from now on; with 0, without."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def refuse_once(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind, as `PRODUCE`, with these errors."""
        push = self._library.rd_kafka_mock_push_request_errors
        push(self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), *map(ctypes.c_int, errors))

    def delete(self, topic: str, partition: int, before: int) -> None:
        """Delete the messages of a partition before an offset, as retention does."""
        deleted = self._library.rd_kafka_mock_partition_delete_records
        assert deleted(self._cluster, topic.encode(), partition, ctypes.c_int64(before)) == 0

    def down(self) -> None:
        """Cut all connections, and take none."""
        assert self._library.rd_kafka_mock_broker_set_down(self._cluster, _BROKER) == 0

    def up(self) -> None:
        """Take connections again."""
        assert self._library.rd_kafka_mock_broker_set_up(self._cluster, _BROKER) == 0

    @contextmanager
    def overheard(self) -> Iterator[list[bytes]]:
        """Yield the requests that clients make of the broker, each without its length, as they come."""
        host, port = self.address.split(":")
        set_address = self._library.rd_kafka_mock_broker_set_host_port
        requests: list[bytes] = []
        with socket.create_server(("127.0.0.1", 0)) as listening:
            set_address(self._cluster, _BROKER, b"127.0.0.1", listening.getsockname()[1])

            def listen() -> None:
                with suppress(OSError):
                    while True:
                        client, _ = listening.accept()
                        behind = socket.create_connection((host, int(port)))
                        for ends, heard in (((client, behind), requests), ((behind, client), [])):
                            threading.Thread(target=_pass_on, args=(*ends, heard), daemon=True).start()

            threading.Thread(target=listen, daemon=True).start()
            try:
                yield requests
            finally:
                set_address(self._cluster, _BROKER, host.encode(), int(port))
                listening.shutdown(socket.SHUT_RDWR)

    def produce(self, topic: str, *values: bytes | None, partition: int = 0, **more: Any) -> None:
        """Append messages to a partition; `more` goes to each, as ``key`` and ``headers``."""
        producer = Producer({"bootstrap.servers": self.address, "message.max.bytes": 64 * 1024 * 1024})
        failed: list[object] = []
        for value in values:
            producer.produce(
                topic,
                value=value,
                partition=partition,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                **more,
            )
            producer.poll(0)
        assert producer.flush(20) == 0
        assert failed == []

    def transaction(self, topic: str, *values: bytes, commit: bool = True) -> None:
        """Append messages to the first partition in a transaction, which leaves a marker behind them."""
        producer = Producer({"bootstrap.servers": self.address, "transactional.id": f"for {topic}"})
        producer.init_transactions(10)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value=value, partition=0)
        producer.flush(10)
        producer.commit_transaction(10) if commit else producer.abort_transaction(10)

    def kept(self, topic: str) -> list[Kept]:
        """Return all messages of a topic of one partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "tests",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[Kept] = []
        while True:
            message = consumer.poll(10)
            assert message is not None
            error = message.error()
            if error is not None:
                assert error.name() == "_PARTITION_EOF"
                consumer.close()
                return found
            headers: Any = message.headers()
            found.append(Kept((message.key() or b"").decode(), message.value(), dict(headers or ())))


def review(number: int) -> bytes:
    """Return a message that is a row."""
    return json.dumps({"text": f"review {number}", "label": f"label {number % 2}", "stars": number}).encode()


@contextmanager
def running() -> Iterator[Broker]:
    """Start a cluster of one broker, and end it with all that it holds."""
    libraries = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    library = ctypes.CDLL(str(next(libraries.glob("librdkafka*.so*"))))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    said = ctypes.create_string_buffer(512)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(configuration, b"log_level", b"0", said, 512)
    client = ctypes.c_void_p(library.rd_kafka_new(0, configuration, said, 512))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, 1))
    address = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    try:
        yield Broker(address, library, cluster)
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _pass_on(source: socket.socket, target: socket.socket, heard: list[bytes]) -> None:
    """Pass what comes from one side on to the other, and keep the frames that it is made of."""
    waiting = b""
    with source, target, suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
            waiting += received
            while len(waiting) >= 4 and len(waiting) >= 4 + (length := int.from_bytes(waiting[:4], "big")):
                heard.append(waiting[4 : 4 + length])
                waiting = waiting[4 + length :]
