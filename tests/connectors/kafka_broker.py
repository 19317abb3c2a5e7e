"""A Kafka broker of the tests' own: the mock cluster that is built into librdkafka.

It keeps messages in memory, and takes the requests of producers and consumers. It answers no look-ups of times, hides
nothing of transactions that are open or were given up, and knows no users.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

UNKNOWN_TOPIC = 3
TOPIC_AUTHORIZATION_FAILED = 29

_BROKER = 1


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

    def refuse(self, topic: str, error: int) -> None:
        """Answer questions about a topic with an error from now on; with 0, without."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

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

    def messages(self, topic: str, partitions: Sequence[int] = (0,)) -> list[confluent_kafka.Message]:
        """Return all messages of a topic."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "tests",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found, open_ = [], len(partitions)
        while open_:
            message = consumer.poll(10)
            assert message is not None
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().name() == "_PARTITION_EOF"
                open_ -= 1
        consumer.close()
        return found


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
