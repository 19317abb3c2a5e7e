"""Kafka as a source, against the mock cluster that is built into librdkafka.

That cluster answers no look-ups of times: that they are asked for is tested here, what is made of an answer in
`test_kafka_positions`, and the answer itself nowhere. It does not hide the messages of transactions that are open or
were given up, so that ``isolation`` does is not tested; the markers of transactions, offsets without a message, are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import (
    EmptySourceError,
    Kafka,
    Partition,
    SourceError,
    SourceSchemaError,
)
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.kafka_broker import BAD, ROWS, Broker, review, running
from tests.connectors.reading import read

PASSWORD = "s3cret: p@ss/word'%"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as broker:
        yield broker


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.reviews()


class TestKafka(SourceContract):
    row_count = ROWS + BAD

    @pytest.fixture
    def source(self, broker: Broker, topic: str) -> PartitionedSource:
        return broker.source(topic, partition_offsets=100)


class TestKafkaOfTextWithEverything(SourceContract):
    secret_values = (PASSWORD,)
    row_count = ROWS + BAD - 2

    @pytest.fixture
    def source(self, broker: Broker, topic: str, tmp_path: Path) -> PartitionedSource:
        (tmp_path / "password").write_text(PASSWORD)
        return broker.source(
            topic,
            format="text",
            metadata=["key", "partition", "offset", "timestamp"],
            tombstones="skip",
            start="0:1",
            options={"ssl.keystore.password": f"${{file:{tmp_path / 'password'}}}"},
        )


class TestReading:
    def test_objects_are_rows_whose_columns_are_inferred(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(
            topic,
            b'{"text": "one", "label": "good", "stars": 5}',
            '{"text": "\\u6cc9 泉", "label": "bad", "tags": ["a"]}'.encode(),
        )
        assert _rows(broker.source(topic)) == [
            {"row_id": f"{topic}/0/0", "text": "one", "label": "good", "stars": 5, "tags": None},
            {"row_id": f"{topic}/0/1", "text": "泉 泉", "label": "bad", "stars": None, "tags": ["a"]},
        ]

    def test_types_that_are_declared_are_read_and_nothing_else(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b'{"body": "one", "stars": 5, "extra": 1}', b'{"body": "two", "stars": "five"}')
        source = broker.source(topic, types={"body": "string", "stars": "int64"}, text_column="body")
        good, bad = read(source)
        assert good == [{"row_id": f"{topic}/0/0", "text": "one", "stars": 5}]
        assert [(row.rule, row.position, row.row_id) for row in bad] == [("type_drift", 2, f"{topic}/0/1")]

    def test_a_key_of_the_messages_own_may_be_the_id(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b'{"row_id": "a", "text": "one"}', b'{"row_id": null, "text": "two"}')
        with pytest.raises(SourceSchemaError, match="'id_column'"):
            _rows(broker.source(topic))
        good, bad = read(broker.source(topic, id_column="row_id"))
        assert good == [{"row_id": "a", "text": "one"}]
        assert [(row.rule, row.row_id, row.position) for row in bad] == [("null_id", f"{topic}/0/1", 2)]

    def test_text_and_bytes_are_as_they_are(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, "泉\n".encode(), b"\xff\x00", b"")
        good, bad = read(broker.source(topic, format="text"))
        assert [row["text"] for row in good] == ["泉\n", ""]
        assert [(row.rule, row.value) for row in bad] == [("undecodable", "\\xff\x00")]
        good, bad = read(broker.source(topic, format="bytes"))
        assert [(row["text"], row["value"]) for row in good] == [
            ("泉\n", "泉\n".encode()),
            ("\\xff\x00", b"\xff\x00"),
            ("", b""),
        ]
        assert bad == []
        assert [row["text"] for row in _rows(broker.source(topic, format="text", encoding="latin-1"))] == [
            "æ³\x89\n",
            "",
        ]

    def test_what_a_message_has_beside_its_value_may_be_columns(self, broker: Broker) -> None:
        topic = broker.create(partitions=2)
        broker.produce(topic, b"one", partition=1, key=b"\xff", timestamp=1_769_817_600_123)
        broker.produce(topic, b"two", partition=1)
        source = broker.source(topic, format="text", metadata=["key", "partition", "offset", "timestamp"])
        first, second = _rows(source)
        assert first == {
            "row_id": f"{topic}/1/0",
            "text": "one",
            "kafka_key": b"\xff",
            "kafka_partition": 1,
            "kafka_offset": 0,
            "kafka_timestamp": datetime(2026, 1, 31, 0, 0, 0, 123_000, tzinfo=timezone.utc),
        }
        assert (second["kafka_key"], second["kafka_offset"]) == (None, 1)

    def test_each_kind_of_bad_message_has_a_rule_of_its_own(self, broker: Broker, topic: str) -> None:
        good, bad = read(broker.source(topic))
        assert len(good) == ROWS
        assert [(row.rule, row.position, row.origin) for row in bad] == [
            ("tombstone", 151, f"{topic}/1"),
            ("malformed_json", 152, f"{topic}/1"),
            ("not_an_object", 153, f"{topic}/1"),
            ("type_drift", 154, f"{topic}/1"),
            ("undecodable", 156, f"{topic}/1"),
            ("null_text", 155, f"{topic}/1"),
        ]

    def test_tombstones_may_be_passed_over(self, broker: Broker, topic: str) -> None:
        _, bad = read(broker.source(topic, tombstones="skip"))
        assert "tombstone" not in [row.rule for row in bad]
        assert len(bad) == BAD - 1

    def test_a_message_that_is_too_long_is_a_bad_row(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        # The mock cluster keeps no more than 5 MB of a partition.
        for module in ("files.lines", "kafka.messages"):
            monkeypatch.setattr(f"connectors.{module}.MAX_RECORD_BYTES", 3000)
        topic = broker.create()
        broker.produce(topic, b"x" * 3001, b"short")
        for form in ("text", "bytes"):
            good, bad = read(broker.source(topic, format=form))
            assert [row["text"] for row in good] == ["short"]
            assert [(row.rule, row.position) for row in bad] == [("too_long", 1)]
            assert len(bad[0].value) <= 2000

    def test_a_message_that_is_larger_than_what_is_fetched_at_once_is_rows(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b"x" * 500_000, b"short")
        source = broker.source(topic, format="text", options={"max.partition.fetch.bytes": 1000})
        assert [len(row["text"]) for row in _rows(source)] == [500_000, 5]

    def test_types_cannot_be_inferred_from_what_is_no_json(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b"plain", b"text")
        with pytest.raises(SourceSchemaError, match="none of the first 1,000 messages is a JSON object"):
            broker.source(topic).row_schema()
        with pytest.raises(SourceSchemaError, match="declare the option 'types'"):
            _rows(broker.source(topic))


class TestPlanning:
    def test_large_partitions_are_cut_into_ranges_of_offsets(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic, partition_offsets=100)
        with source.plan() as plan:
            assert [part.key for part in plan.partitions] == [
                f"{topic}/{one}" for one in ("0/0", "0/100", "1/0", "1/100")
            ]
            last = _scan(source, plan.partitions[-1:])
        assert last[0]["row_id"] == f"{topic}/1/100"

    def test_what_comes_after_the_plan_is_left_to_the_next_one(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic)
        with source.plan() as plan:
            broker.produce(topic, review(1000), partition=0)
            broker.produce(topic, review(1001), partition=2)
            assert len(_scan(source, plan.partitions)) == ROWS
            cursor = plan.cursor
        assert cursor is not None
        assert json.loads(cursor)["offsets"] == {"0": 150, "1": 156, "2": 0}
        with source.plan(since=cursor) as plan:
            assert [row["text"] for row in _scan(source, plan.partitions)] == ["review 1000", "review 1001"]
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (plan.partitions, plan.cursor) == ((), later)

    def test_offsets_bound_what_is_rows(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic, start="0:148, 1:149", end="1:150")
        assert [row["row_id"] for row in _rows(source)] == [f"{topic}/{one}" for one in ("0/148", "0/149", "1/149")]

    def test_a_cursor_does_not_go_back_where_the_end_is_before_it(self, broker: Broker, topic: str) -> None:
        with broker.source(topic).plan() as plan:
            cursor = plan.cursor
        with broker.source(topic, end="0:3, 1:3").plan(since=cursor) as plan:
            assert (plan.partitions, plan.cursor) == ((), cursor)

    def test_offsets_that_are_not_there_are_told(self, broker: Broker, topic: str) -> None:
        for options, said in (
            ({"start": "7:0"}, "'start' gives an offset for partition 7, and the topic .* has 3: 0, 1, 2"),
            ({"end": "0:151"}, "'end' says 151, and the partition ends at 150 so far"),
            ({"start": "0:151"}, "offset 151 comes next, and the partition ends at 150"),
        ):
            with pytest.raises(SourceError, match=said):
                _rows(broker.source(topic, **options))

    def test_times_and_isolation_are_part_of_what_the_cluster_is_asked(self, broker: Broker, topic: str) -> None:
        for isolation, said in (("read_committed", 1), ("read_uncommitted", 0)):
            with broker.overheard() as asked:
                source = broker.source(topic, end="2026-01-01T00:00:00Z", isolation=isolation)
                with source.plan():
                    pass
            look_ups = [request for request in asked if request[:2] == (2).to_bytes(2, "big")]
            # The replica -1, which stands for a client, and then the isolation.
            assert all(b"\xff\xff\xff\xff" + bytes([said]) in request for request in look_ups)
            at = (1_767_225_600_000).to_bytes(8, "big")
            assert sum(request.count(at) for request in look_ups) == 3

    def test_a_topic_without_messages_is_told(self, broker: Broker) -> None:
        for options in ({}, {"format": "text"}):
            with pytest.raises(EmptySourceError, match="holds no message from earliest to latest"):
                _rows(broker.source(broker.create(partitions=2), **options))


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"start": "yesterday"}, "is not 'earliest', nor a time"),
            ({"start": "latest"}, "is not 'earliest'"),
            ({"end": "2026-01-31T00:00:00"}, "with its zone"),
            ({"start": "0:1, 0:2"}, "names a partition twice"),
            ({"format": "text", "types": {"text": "string"}}, "'types' goes with format: json"),
            ({"types": {"text": "varchar"}}, "unknown type 'varchar'"),
            ({"metadata": ["key", "key"]}, "once at most"),
            ({"user": "me"}, "go together"),
            ({"user": "me", "password": "${env:X}"}, "go with a SASL protocol"),
            ({"security_protocol": "SASL_SSL"}, "wants 'user' and 'password'"),
            ({"ssl_ca": "/ca.pem"}, "goes with a protocol of SSL"),
            ({"options": {"bootstrap.servers": "x"}}, "use the option 'bootstrap_servers'"),
            ({"options": {"auto.offset.reset": "earliest"}}, "passed over unseen"),
            ({"options": {"ssl.keystore.password": "open"}}, "give it by reference"),
            ({"options": {"ssl.key.pem": "open"}}, "give it by reference"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, options: dict[str, Any], complaint: str) -> None:
        with pytest.raises(ValidationError, match=complaint) as caught:
            Kafka(**{"bootstrap_servers": "localhost:9092", "topic": "x", **options})
        assert "input_value='open'" not in str(caught.value)

    def test_settings_are_those_of_librdkafka(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HEADRACE_TEST_PASSWORD", PASSWORD)
        (tmp_path / "key").write_text("a key's password\n")
        source = Kafka(
            bootstrap_servers="one:9092,two:9092",
            topic="x",
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            user="me",
            password="${env:HEADRACE_TEST_PASSWORD}",
            ssl_ca="/ca.pem",
            ssl_certificate="/me.pem",
            ssl_key="/me.key",
            ssl_key_password=f"${{file:{tmp_path / 'key'}}}",
            options={"client.id": "nightly", "fetch.min.bytes": 5},
        )
        assert source.settings() == {
            "bootstrap.servers": "one:9092,two:9092",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "me",
            "sasl.password": PASSWORD,
            "ssl.ca.location": "/ca.pem",
            "ssl.certificate.location": "/me.pem",
            "ssl.key.location": "/me.key",
            "ssl.key.password": "a key's password",
            "log_level": 2,
            "client.id": "nightly",
            "fetch.min.bytes": "5",
        }


def test_without_its_client_the_pip_line_is_told() -> None:
    program = (
        "import sys\nsys.modules['confluent_kafka'] = None\nfrom connectors import Kafka, SourceError\n"
        "try:\n    Kafka(bootstrap_servers='x:1', topic='x').row_schema()\n"
        "except SourceError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "pip install 'headrace[kafka]'" in said


def _rows(source: Kafka) -> list[dict[str, Any]]:
    return read(source)[0]


def _scan(source: Kafka, partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]
