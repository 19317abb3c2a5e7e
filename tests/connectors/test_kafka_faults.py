"""What goes wrong with a Kafka topic, against the mock cluster that is built into librdkafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import (
    BadRowError,
    ConnectionCutError,
    Kafka,
    Partition,
    SourceError,
    SourceNotFoundError,
)
from tests.connectors.kafka_broker import (
    BAD,
    LEADER_NOT_AVAILABLE,
    MSG_SIZE_TOO_LARGE,
    PRODUCE,
    ROWS,
    TOPIC_AUTHORIZATION_FAILED,
    UNKNOWN_TOPIC,
    Broker,
    running,
)
from tests.connectors.reading import read

PASSWORD = "s3cret: p@ss/word'%"


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as broker:
        yield broker


@pytest.fixture
def topic(broker: Broker) -> str:
    return broker.reviews()


class TestGaps:
    def test_markers_of_transactions_are_passed_over(self, broker: Broker) -> None:
        topic = broker.create()
        broker.transaction(topic, b"one", b"two")
        broker.transaction(topic, b"three")
        source = broker.source(topic, format="text", partition_offsets=3)
        started = time.monotonic()
        with source.plan() as plan:
            assert [row["row_id"][-1] for row in _scan(source, plan.partitions)] == ["0", "1", "3"]
            assert len(plan.partitions) == 2
            cursor = plan.cursor
        assert time.monotonic() - started < 5
        with source.plan(since=cursor) as plan:
            assert plan.partitions == ()

    def test_messages_that_were_deleted_before_they_were_read_are_told(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic, format="text")
        with source.plan() as plan:
            cursor = plan.cursor
        broker.produce(topic, *[b"later"] * 10, partition=0)
        broker.delete(topic, 0, before=155)
        with (
            pytest.raises(SourceError, match=r"/0: offsets 150 to 154 were deleted.*lost_messages: skip"),
            source.plan(since=cursor),
        ):
            pass
        lenient = broker.source(topic, format="text", lost_messages="skip")
        with lenient.plan(since=cursor) as plan:
            assert [row["row_id"] for row in _scan(lenient, plan.partitions)] == [
                f"{topic}/0/{n}" for n in range(155, 160)
            ]

    def test_a_plan_without_a_cursor_begins_with_what_is_still_there(self, broker: Broker, topic: str) -> None:
        broker.delete(topic, 0, before=149)
        rows = _rows(broker.source(topic))
        assert rows[0]["row_id"] == f"{topic}/0/149"
        with pytest.raises(SourceError, match="offsets 3 to 148 were deleted"):
            _rows(broker.source(topic, start="0:3"))

    def test_messages_that_are_deleted_after_the_plan_are_told_too(self, broker: Broker, topic: str) -> None:
        for lost, before in (("fail", 120), ("skip", 140)):
            source = broker.source(topic, format="text", lost_messages=lost)
            with source.plan() as plan:
                of_the_first = [part for part in plan.partitions if part.key.startswith(f"{topic}/0")]
                broker.delete(topic, 0, before)
                if lost == "fail":
                    with pytest.raises(SourceError, match="offsets 0 to 119 were deleted"):
                        _scan(source, of_the_first)
                else:
                    assert _scan(source, of_the_first)[0]["row_id"] == f"{topic}/0/140"

    def test_a_topic_that_was_made_again_is_told(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic)
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
        source = broker.source(topic)
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
        source = broker.source(topic, dead_letter_topic=dead)
        good, bad = read(source)
        assert ([row["text"] for row in good], len(bad)) == (["good"], 3)
        letters = {message.key: message for message in broker.kept(dead)}
        assert set(letters) == {row.row_id for row in bad}
        first = letters[f"{topic}/0/0"]
        assert first.value == b"{"
        headers = dict(first.headers)
        assert (headers.pop("headrace.reason") or b"").startswith(b"not JSON")
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
        assert (null_text.value, null_text.headers["headrace.rule"]) == (
            b'{"text": null, "n": 1}',
            b"null_text",
        )
        # A null would delete the copy from a compacted topic.
        assert (tombstone.value, tombstone.headers["headrace.rule"]) == (b"", b"tombstone")

    def test_reading_again_sends_the_same_copies_under_the_same_keys(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        source = broker.source(topic, dead_letter_topic=dead)
        for _ in range(2):
            read(source)
        letters = [(letter.key, letter.value, tuple(letter.headers.items())) for letter in broker.kept(dead)]
        assert len(letters) == 2 * BAD
        assert len(set(letters)) == BAD

    def test_a_value_that_the_topic_has_no_room_for_is_left_out(self, broker: Broker) -> None:
        topic, dead = broker.create(), broker.create()
        broker.produce(topic, b"{" * 2000, b"{" * 10)
        small = {"message.max.bytes": 1500}
        read(broker.source(topic, types={"text": "string"}, dead_letter_topic=dead, options=small))
        letters = {letter.key: letter for letter in broker.kept(dead)}
        large = letters[f"{topic}/0/0"]
        assert (large.value, large.headers["headrace.value_left_out"]) == (b"", b"2000 bytes")
        assert letters[f"{topic}/0/1"].value == b"{" * 10

    def test_one_value_that_is_too_large_takes_no_other_with_it(self, broker: Broker) -> None:
        topic, dead = broker.create(), broker.create()
        broker.produce(topic, b"{1", b"{2", b"{3")
        broker.refuse_once(PRODUCE, MSG_SIZE_TOO_LARGE, MSG_SIZE_TOO_LARGE)
        read(broker.source(topic, types={"text": "string"}, dead_letter_topic=dead, options={"linger.ms": 200}))
        letters = {letter.key[-1]: letter for letter in broker.kept(dead)}
        left_out = [key for key, letter in letters.items() if "headrace.value_left_out" in letter.headers]
        assert len(left_out) == 1
        assert {key: letter.value for key, letter in letters.items() if key not in left_out} == {
            key: b"{" + str(int(key) + 1).encode() for key in "012" if key not in left_out
        }

    def test_nothing_is_sent_where_a_bad_row_fails_the_run(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        with pytest.raises(BadRowError):
            read(broker.source(topic, dead_letter_topic=dead, on_bad_rows="fail"))
        assert broker.kept(dead) == []

    def test_copies_that_do_not_arrive_fail_the_reading(self, broker: Broker, topic: str) -> None:
        dead = broker.create()
        source = broker.source(topic, dead_letter_topic=dead, timeout=2)
        with source.plan() as plan:
            broker.refuse(dead, TOPIC_AUTHORIZATION_FAILED)
            with pytest.raises(SourceError, match=f"could not be sent to the dead-letter topic '{dead}'.*WRITE"):
                _scan(source, plan.partitions)

    def test_their_topic_must_be_there_and_another_one(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceNotFoundError, match="in the option 'dead_letter_topic'"):
            read(broker.source(topic, dead_letter_topic="not-there"))
        with pytest.raises(ValidationError, match="for ever"):
            broker.source(topic, dead_letter_topic=topic)


class TestFaults:
    @pytest.fixture
    def long_topic(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> str:
        """A topic that comes in many batches, few of which are read ahead."""
        monkeypatch.setattr("connectors.batches.BATCH_BYTES", 100_000)
        topic = broker.create()
        broker.produce(topic, *(b"%06d" % number + b"x" * 10_000 for number in range(400)))
        return topic

    def test_a_connection_that_is_cut_is_taken_up_where_it_was(self, broker: Broker, long_topic: str) -> None:
        source = broker.source(long_topic, format="text", timeout=30, options=_SMALL_STEPS)
        with source.plan() as plan:
            reading = source.scan(plan.partitions[0])
            first = next(reading)
            assert isinstance(first, pa.RecordBatch)
            assert first.num_rows < 50
            broker.down()
            back = threading.Timer(0.5, broker.up)
            back.start()
            rows = first.to_pylist() + [row for batch in reading for row in batch.to_pylist()]  # type: ignore[union-attr]
            back.join()
        assert [int(row["text"][:6]) for row in rows] == list(range(400))

    def test_a_broker_that_stays_away_is_told_in_the_end(self, broker: Broker, long_topic: str) -> None:
        source = broker.source(long_topic, format="text", timeout=0.5, options=_SMALL_STEPS)
        with source.plan() as plan:
            reading = source.scan(plan.partitions[0])
            next(reading)
            broker.down()
            try:
                with pytest.raises(ConnectionCutError, match=r"came from offset \d+ on for 0.5 s.*refused.*are up"):
                    list(reading)
            finally:
                broker.up()

    def test_what_the_cluster_refuses_is_told_with_its_place_and_a_cure(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:1 says: .*refused.*check bootstrap_servers"):
            _rows(broker.source(topic, bootstrap_servers="127.0.0.1:1", timeout=0.5))
        with pytest.raises(SourceNotFoundError, match=f"has no topic '{topic}s'; did you mean .*'{topic}'"):
            _rows(broker.source(f"{topic}s"))
        broker.refuse(topic, TOPIC_AUTHORIZATION_FAILED)
        with pytest.raises(SourceError, match=r"Topic authorization failed.*granted DESCRIBE and READ"):
            _rows(broker.source(topic))

    def test_a_topic_that_goes_away_while_it_is_read_is_told(self, broker: Broker, topic: str) -> None:
        source = broker.source(topic, format="text", timeout=0.5, options={"topic.metadata.propagation.max.ms": 0})
        with source.plan() as plan:
            broker.refuse(topic, UNKNOWN_TOPIC)
            with pytest.raises(SourceError, match="check whether the topic is still there"):
                _scan(source, plan.partitions)

    def test_an_answer_that_is_larger_than_the_client_takes_is_told(self, broker: Broker) -> None:
        topic = broker.create()
        broker.produce(topic, b"x" * 500_000)
        limits = {"message.max.bytes": 1000, "fetch.max.bytes": 1000, "receive.message.max.bytes": 100_000}
        with pytest.raises(ConnectionCutError, match=r"from offset 0 on .*raise receive\.message\.max\.bytes in 'opt"):
            _rows(broker.source(topic, format="text", timeout=0.5, options=limits))

    def test_a_topic_that_was_just_made_is_waited_for(self, broker: Broker, topic: str) -> None:
        broker.refuse(topic, LEADER_NOT_AVAILABLE)
        made = threading.Timer(0.2, broker.refuse, (topic, 0))
        made.start()
        assert len(_rows(broker.source(topic))) == ROWS
        made.join()

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
            _rows(broker.source(topic, timeout=30, **login))
        assert time.monotonic() - started < 10
        assert PASSWORD not in str(caught.value)

    def test_a_broker_without_tls_is_told(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match="check"):
            _rows(broker.source(topic, security_protocol="SSL", timeout=0.3))

    def test_settings_that_librdkafka_does_not_know_are_told(self, broker: Broker, topic: str) -> None:
        with pytest.raises(SourceError, match=r'No such configuration property: "no.such".*option \'options\''):
            _rows(broker.source(topic, options={"no.such": "x"}))


_SMALL_STEPS = {
    "queued.max.messages.kbytes": 100,
    "max.partition.fetch.bytes": 100_000,
    "reconnect.backoff.max.ms": 200,
}


def _rows(source: Kafka) -> list[dict[str, Any]]:
    return read(source)[0]


def _scan(source: Kafka, partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    items = [item for one in partitions for item in source.scan(one)]
    return [row for item in items if isinstance(item, pa.RecordBatch) for row in item.to_pylist()]
