"""Kafka as a source, against the mock cluster that is built into librdkafka.

That cluster answers no look-ups of times, so what is asked and what is made of an answer is tested in
`test_kafka_positions`, and the request itself is not. It does not hide the messages of transactions that are open or
were given up, so that ``isolation`` does is not tested; their markers, which are offsets without a message, are.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import (
    BadRow,
    BadRowError,
    ConnectionCutError,
    EmptySourceError,
    Kafka,
    Partition,
    SourceError,
    SourceNotFoundError,
    SourceSchemaError,
)
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.kafka_broker import TOPIC_AUTHORIZATION_FAILED, UNKNOWN_TOPIC, Broker, running

PASSWORD = "s3cret: p@ss/word'%"
ROWS = 300
BAD = 6


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as broker:
        yield broker


@pytest.fixture
def topic(broker: Broker) -> str:
    """A topic of three partitions, the last of which is empty, with some messages that are no rows."""
    topic = broker.create(partitions=3)
    for partition in (0, 1):
        broker.produce(topic, *(_review(number) for number in range(ROWS // 2)), partition=partition, key=b"k")
    broker.produce(topic, None, b"{", b"[1]", b'{"text": 1}', b'{"text": null}', b"\xff", partition=1)
    return topic


class TestKafka(SourceContract):
    row_count = ROWS + BAD

    @pytest.fixture
    def source(self, broker: Broker, topic: str) -> PartitionedSource:
        return _source(broker, topic, partition_offsets=100)


class TestKafkaOfTextWithEverything(SourceContract):
    secret_values = (PASSWORD,)
    row_count = ROWS + BAD - 2

    @pytest.fixture
    def source(self, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch) -> PartitionedSource:
        monkeypatch.setenv("HEADRACE_TEST_PASSWORD", PASSWORD)
        return _source(
            broker,
            topic,
            format="text",
            metadata=["key", "partition", "offset", "timestamp"],
            tombstones="skip",
            start="0:1",
            options={"ssl.keystore.password": "${env:HEADRACE_TEST_PASSWORD}"},
        )


class TestReading:
    def test_objects_are_rows_whose_columns_are_inferred(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(
            topic,
            b'{"text": "one", "label": "good", "stars": 5}',
            '{"text": "\\u6cc9 泉", "label": "bad", "tags": ["a"]}'.encode(),
        )
        assert _read(_source(broker, topic)) == [
            {"row_id": f"{topic}/0/0", "text": "one", "label": "good", "stars": 5, "tags": None},
            {"row_id": f"{topic}/0/1", "text": "泉 泉", "label": "bad", "stars": None, "tags": ["a"]},
        ]

    def test_types_that_are_declared_are_read_and_nothing_else(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b'{"body": "one", "stars": 5, "extra": 1}', b'{"body": "two", "stars": "five"}')
        source = _source(broker, topic, types={"body": "string", "stars": "int64"}, text_column="body")
        good, bad = _items(source)
        assert good == [{"row_id": f"{topic}/0/0", "text": "one", "stars": 5}]
        assert [(row.rule, row.position, row.row_id) for row in bad] == [("type_drift", 2, f"{topic}/0/1")]

    def test_a_key_of_the_messages_own_may_be_the_id(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b'{"row_id": "a", "text": "one"}', b'{"row_id": null, "text": "two"}')
        with pytest.raises(SourceSchemaError, match="'id_column'"):
            _read(_source(broker, topic))
        good, bad = _items(_source(broker, topic, id_column="row_id"))
        assert good == [{"row_id": "a", "text": "one"}]
        assert [(row.rule, row.row_id, row.position) for row in bad] == [("null_id", f"{topic}/0/1", 2)]

    def test_text_and_bytes_are_as_they_are(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, "泉\n".encode(), b"\xff\x00", b"")
        good, bad = _items(_source(broker, topic, format="text"))
        assert [row["text"] for row in good] == ["泉\n", ""]
        assert [(row.rule, row.value) for row in bad] == [("undecodable", "\\xff\x00")]
        good, bad = _items(_source(broker, topic, format="bytes"))
        assert [(row["text"], row["value"]) for row in good] == [
            ("泉\n", "泉\n".encode()),
            ("\\xff\x00", b"\xff\x00"),
            ("", b""),
        ]
        assert bad == []
        assert [row["text"] for row in _read(_source(broker, topic, format="text", encoding="latin-1"))] == [
            "æ³\x89\n",
            "",
        ]

    def test_what_a_message_has_beside_its_value_may_be_columns(self, broker: Broker) -> None:
        topic = broker.create(partitions=2)
        broker.produce(topic, b"one", partition=1, key=b"\xff", timestamp=1_769_817_600_123)
        broker.produce(topic, b"two", partition=1)
        source = _source(broker, topic, format="text", metadata=["key", "partition", "offset", "timestamp"])
        first, second = _read(source)
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
        good, bad = _items(_source(broker, topic))
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
        _, bad = _items(_source(broker, topic, tombstones="skip"))
        assert "tombstone" not in [row.rule for row in bad]
        assert len(bad) == BAD - 1

    def test_a_message_that_is_too_long_is_a_bad_row(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        # The mock cluster keeps no more than 5 MB of a partition.
        for module in ("lines", "kafka_messages"):
            monkeypatch.setattr(f"connectors.{module}.MAX_RECORD_BYTES", 3000)
        topic = broker.create()
        broker.produce(topic, b"x" * 3001, b"short")
        for form in ("text", "bytes"):
            good, bad = _items(_source(broker, topic, format=form))
            assert [row["text"] for row in good] == ["short"]
            assert [(row.rule, row.position) for row in bad] == [("too_long", 1)]
            assert len(bad[0].value) <= 2000

    def test_types_cannot_be_inferred_from_what_is_no_json(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b"plain", b"text")
        with pytest.raises(SourceSchemaError, match="none of the first 1,000 messages is a JSON object"):
            _source(broker, topic).row_schema()
        with pytest.raises(SourceSchemaError, match="declare the option 'types'"):
            _read(_source(broker, topic))


class TestPlanning:
    def test_large_partitions_are_cut_into_ranges_of_offsets(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic, partition_offsets=100)
        with source.plan() as plan:
            assert [part.key for part in plan.partitions] == [
                f"{topic}/{one}" for one in ("0/0", "0/100", "1/0", "1/100")
            ]
            last = _scan(source, plan.partitions[-1:])
        assert last[0]["row_id"] == f"{topic}/1/100"

    def test_what_comes_after_the_plan_is_left_to_the_next_one(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic)
        with source.plan() as plan:
            broker.produce(topic, _review(1000), partition=0)
            broker.produce(topic, _review(1001), partition=2)
            assert len(_scan(source, plan.partitions)) == ROWS
            cursor = plan.cursor
        assert cursor is not None
        assert json.loads(cursor)["offsets"] == {"0": 150, "1": 156, "2": 0}
        with source.plan(since=cursor) as plan:
            assert [row["text"] for row in _scan(source, plan.partitions)] == ["review 1000", "review 1001"]
            later = plan.cursor
        with source.plan(since=later) as plan:
            assert (plan.partitions, plan.cursor) == ((), later)

    def test_offsets_bound_what_is_read(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic, start="0:148, 1:149", end="1:150")
        assert [row["row_id"] for row in _read(source)] == [f"{topic}/{one}" for one in ("0/148", "0/149", "1/149")]

    def test_a_cursor_does_not_go_back_where_the_end_is_before_it(self, broker: Broker, topic: str) -> None:
        with _source(broker, topic).plan() as plan:
            cursor = plan.cursor
        with _source(broker, topic, end="0:3, 1:3").plan(since=cursor) as plan:
            assert (plan.partitions, plan.cursor) == ((), cursor)

    def test_offsets_that_are_not_there_are_told(self, broker: Broker, topic: str) -> None:
        for options, said in (
            ({"start": "7:0"}, "'start' gives an offset for partition 7, and the topic .* has 3: 0, 1, 2"),
            ({"end": "0:151"}, "'end' says 151, and the partition ends at 150 so far"),
            ({"start": "0:151"}, "offset 151 comes next, and the partition ends at 150"),
        ):
            with pytest.raises(SourceError, match=said):
                _read(_source(broker, topic, **options))

    def test_a_topic_without_messages_is_told(self, broker: Broker) -> None:
        for options in ({}, {"format": "text"}):
            with pytest.raises(EmptySourceError, match="holds no message from earliest to latest"):
                _read(_source(broker, broker.create(partitions=2), **options))


class TestGaps:
    def test_markers_of_transactions_are_passed_over(self, broker: Broker) -> None:
        topic = broker.create()
        broker.transaction(topic, b"one", b"two")
        broker.transaction(topic, b"three")
        source = _source(broker, topic, format="text", partition_offsets=3)
        started = time.monotonic()
        with source.plan() as plan:
            assert [row["row_id"][-1] for row in _scan(source, plan.partitions)] == ["0", "1", "3"]
            assert len(plan.partitions) == 2
            cursor = plan.cursor
        assert time.monotonic() - started < 5
        with source.plan(since=cursor) as plan:
            assert plan.partitions == ()

    def test_messages_that_were_deleted_before_they_were_read_are_told(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic, format="text")
        with source.plan() as plan:
            cursor = plan.cursor
        broker.produce(topic, *[b"later"] * 10, partition=0)
        broker.delete(topic, 0, before=155)
        with (
            pytest.raises(SourceError, match=r"/0: offsets 150 to 154 were deleted.*lost_messages: skip"),
            source.plan(since=cursor),
        ):
            pass
        lenient = _source(broker, topic, format="text", lost_messages="skip")
        with lenient.plan(since=cursor) as plan:
            assert [row["row_id"] for row in _scan(lenient, plan.partitions)] == [
                f"{topic}/0/{n}" for n in range(155, 160)
            ]

    def test_a_plan_without_a_cursor_begins_with_what_is_still_there(self, broker: Broker, topic: str) -> None:
        broker.delete(topic, 0, before=149)
        rows = _read(_source(broker, topic))
        assert rows[0]["row_id"] == f"{topic}/0/149"
        with pytest.raises(SourceError, match="offsets 3 to 148 were deleted"):
            _read(_source(broker, topic, start="0:3"))

    def test_messages_that_are_deleted_after_the_plan_are_told_too(self, broker: Broker, topic: str) -> None:
        for lost, before in (("fail", 120), ("skip", 140)):
            source = _source(broker, topic, format="text", lost_messages=lost)
            with source.plan() as plan:
                of_the_first = [part for part in plan.partitions if part.key.startswith(f"{topic}/0")]
                broker.delete(topic, 0, before)
                if lost == "fail":
                    with pytest.raises(SourceError, match="offsets 0 to 119 were deleted"):
                        _scan(source, of_the_first)
                else:
                    assert _scan(source, of_the_first)[0]["row_id"] == f"{topic}/0/140"

    def test_a_topic_that_was_made_again_is_told(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic)
        with source.plan() as plan:
            assert plan.cursor is not None
            said = json.loads(plan.cursor)
        for changed, complaint in (
            ({"offsets": {**said["offsets"], "0": 151}}, "offset 151 comes next, and the partition ends at 150.*reset"),
            ({"offsets": {**said["offsets"], "3": 1}}, "partition 3 of the topic .* is not there any more"),
            ({"topic": "other"}, "the cursor is one of the topic 'other'"),
            ({"cluster": "elsewhere"}, "of the cluster elsewhere"),
        ):
            with pytest.raises(SourceError, match=complaint), source.plan(since=json.dumps({**said, **changed})):
                pass
        for nonsense in ("0", "{}", '{"offsets": 1}'):
            with pytest.raises(SourceError, match="is not the cursor of a Kafka topic"), source.plan(since=nonsense):
                pass

    def test_a_partition_that_was_added_is_read_from_its_beginning(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic)
        with source.plan() as plan:
            assert plan.cursor is not None
            said = json.loads(plan.cursor)
        del said["offsets"]["1"]
        with source.plan(since=json.dumps(said)) as plan:
            assert len(_scan(source, plan.partitions)) == ROWS // 2


class TestDeadLetters:
    def test_bad_messages_are_copied_with_what_is_wrong_and_where_they_came_from(self, broker: Broker) -> None:
        topic, dead = broker.create(), broker.create()
        broker.produce(topic, b"{", key=b"k", headers=[("trace", b"1"), ("empty", None)], timestamp=1_769_817_600_123)
        broker.produce(topic, b'{"text": "good"}', b'{"text": null, "n": 1}', None)
        source = _source(broker, topic, dead_letter_topic=dead)
        good, bad = _items(source)
        assert ([row["text"] for row in good], len(bad)) == (["good"], 3)
        letters = {message.key().decode(): message for message in broker.messages(dead)}
        assert set(letters) == {row.row_id for row in bad}
        first = letters[f"{topic}/0/0"]
        assert first.value() == b"{"
        headers = dict(first.headers())
        assert headers.pop("headrace.reason").startswith(b"not JSON")
        assert headers == {
            "trace": b"1",
            "empty": None,
            "headrace.rule": b"malformed_json",
            "headrace.topic": topic.encode(),
            "headrace.partition": b"0",
            "headrace.offset": b"0",
            "headrace.timestamp": b"1769817600123",
            "headrace.key": b"k",
        }
        null_text, tombstone = letters[f"{topic}/0/2"], letters[f"{topic}/0/3"]
        assert (null_text.value(), dict(null_text.headers())["headrace.rule"]) == (
            b'{"text": null, "n": 1}',
            b"null_text",
        )
        # A null would delete the copy from a compacted topic.
        assert (tombstone.value(), dict(tombstone.headers())["headrace.rule"]) == (b"", b"tombstone")

    def test_reading_again_sends_the_same_copies_under_the_same_keys(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        source = _source(broker, topic, dead_letter_topic=dead)
        for _ in range(2):
            _items(source)
        letters = [(letter.key(), letter.value(), tuple(letter.headers())) for letter in broker.messages(dead)]
        assert len(letters) == 2 * BAD
        assert len(set(letters)) == BAD

    def test_a_value_that_the_topic_has_no_room_for_is_left_out(self, broker: Broker) -> None:
        topic, dead = broker.create(), broker.create()
        broker.produce(topic, b"{" * 2000, b"{" * 10)
        small = {"message.max.bytes": 1500}
        _items(_source(broker, topic, types={"text": "string"}, dead_letter_topic=dead, options=small))
        letters = {letter.key(): letter for letter in broker.messages(dead)}
        large = letters[f"{topic}/0/0".encode()]
        assert (large.value(), dict(large.headers())["headrace.value_left_out"]) == (b"", b"2000 bytes")
        assert letters[f"{topic}/0/1".encode()].value() == b"{" * 10

    def test_nothing_is_sent_where_a_bad_row_fails_the_run(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        with pytest.raises(BadRowError):
            _items(_source(broker, topic, dead_letter_topic=dead, on_bad_rows="fail"))
        assert broker.messages(dead) == []

    def test_copies_that_do_not_arrive_fail_the_reading(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        source = _source(broker, topic, dead_letter_topic=dead, timeout=2)
        with source.plan() as plan:
            broker.refuse(dead, TOPIC_AUTHORIZATION_FAILED)
            with pytest.raises(SourceError, match=f"could not be sent to the dead-letter topic '{dead}'.*WRITE"):
                _scan(source, plan.partitions)

    def test_their_topic_must_be_there_and_another_one(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceNotFoundError, match="in the option 'dead_letter_topic'"):
            _items(_source(broker, topic, dead_letter_topic="not-there"))
        with pytest.raises(ValidationError, match="for ever"):
            _source(broker, topic, dead_letter_topic=topic)


class TestFaults:
    @pytest.fixture
    def long_topic(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
        """A topic that comes in many batches, few of which are read ahead."""
        monkeypatch.setattr("connectors.batches.BATCH_BYTES", 100_000)
        topic = broker.create()
        broker.produce(topic, *(b"%06d" % number + b"x" * 10_000 for number in range(400)))
        return topic

    def test_a_connection_that_is_cut_is_taken_up_where_it_was(self, broker: Broker, long_topic: str) -> None:
        source = _source(broker, long_topic, format="text", timeout=30, options=_SMALL_STEPS)
        with source.plan() as plan:
            reading = source.scan(plan.partitions[0])
            first = next(reading)
            assert isinstance(first, pa.RecordBatch)
            assert first.num_rows < 50
            broker.down()
            back = threading.Timer(1.0, broker.up)
            back.start()
            rows = first.to_pylist() + [row for batch in reading for row in batch.to_pylist()]  # type: ignore[union-attr]
            back.join()
        assert [int(row["text"][:6]) for row in rows] == list(range(400))

    def test_a_broker_that_stays_away_is_told_in_the_end(self, broker: Broker, long_topic: str) -> None:
        source = _source(broker, long_topic, format="text", timeout=1, options=_SMALL_STEPS)
        with source.plan() as plan:
            reading = source.scan(plan.partitions[0])
            next(reading)
            broker.down()
            try:
                with pytest.raises(ConnectionCutError, match=r"nothing came after offset \d+ for 1 s.*refused.*are up"):
                    list(reading)
            finally:
                broker.up()

    def test_what_the_cluster_refuses_is_told_with_its_place_and_a_cure(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:1 says: .*refused.*check bootstrap_servers"):
            _read(_source(broker, topic, bootstrap_servers="127.0.0.1:1", timeout=0.5))
        with pytest.raises(SourceNotFoundError, match=f"has no topic '{topic}s'; did you mean .*'{topic}'"):
            _read(_source(broker, f"{topic}s"))
        broker.refuse(topic, TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(SourceError, match=r"Topic authorization failed.*granted DESCRIBE and READ"):
            _read(_source(broker, topic))

    def test_a_topic_that_goes_away_while_it_is_read_is_told(self, broker: Broker, topic: str) -> None:
        source = _source(broker, topic, format="text", timeout=1, options={"topic.metadata.propagation.max.ms": 0})
        with source.plan() as plan:
            broker.refuse(topic, UNKNOWN_TOPIC)
            with pytest.raises(SourceError, match="check whether the topic is still there"):
                _scan(source, plan.partitions)

    def test_a_login_that_fails_is_told_at_once_and_without_the_password(
        self, broker: Broker, topic: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The mock cluster takes no logins at all, which is one way of failing; librdkafka tells all of them alike.
        monkeypatch.setenv("HEADRACE_TEST_PASSWORD", PASSWORD)
        login = {"user": "me", "password": "${env:HEADRACE_TEST_PASSWORD}", "security_protocol": "SASL_PLAINTEXT"}
        started = time.monotonic()
        with pytest.raises(
            SourceError, match=r"\(_AUTHENTICATION\); check user, password and sasl_mechanism"
        ) as caught:
            _read(_source(broker, topic, timeout=30, **login))
        assert time.monotonic() - started < 10
        assert PASSWORD not in str(caught.value)

    def test_a_broker_without_tls_is_told(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match="check"):
            _read(_source(broker, topic, security_protocol="SSL", timeout=1))

    def test_settings_that_librdkafka_does_not_know_are_told(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match=r'No such configuration property: "no.such".*option \'options\''):
            _read(_source(broker, topic, options={"no.such": "x"}))


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


_SMALL_STEPS = {"queued.max.messages.kbytes": 100, "max.partition.fetch.bytes": 100_000}


def _review(number: int) -> bytes:
    return json.dumps({"text": f"review {number}", "label": f"label {number % 2}", "stars": number}).encode()


def _source(broker: Broker, topic: str, **options: Any) -> Kafka:
    return Kafka(**{"bootstrap_servers": broker.address, "topic": topic, "timeout": 10, **options})


def _read(source: Kafka) -> list[dict[str, Any]]:
    return _items(source)[0]


def _items(source: Kafka) -> tuple[list[dict[str, Any]], list[BadRow]]:
    with source.plan() as plan:
        items = [item for one in plan.partitions for item in source.scan(one)]
    rows = [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]
    return rows, [item for item in items if isinstance(item, BadRow)]


def _scan(source: Kafka, partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]
