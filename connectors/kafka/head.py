"""The columns of JSON messages, as the first ones that a topic has show them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import pyarrow as pa

from connectors.errors import SourceSchemaError
from connectors.files.json_records import parse_object
from connectors.files.json_types import infer_schema
from connectors.kafka.cluster import KafkaCluster
from connectors.kafka.messages import size_of
from connectors.kafka.positions import Watermarks

HEAD_MESSAGES = 1_000
"""How many messages the types are inferred from."""

HEAD_BYTES = 4 * 1024 * 1024
"""The head ends here at the latest, however few messages that is."""

HEAD_PARTITIONS = 8
"""From how many of the topic's partitions they are taken at most, as each costs a round trip or two."""


def head_schema(cluster: KafkaCluster, topic: str, marks: Mapping[int, Watermarks], encoding: str) -> pa.Schema:
    """Return the columns that the first messages have: the same ones for every plan, with a cursor or without.

    Args:
        cluster: where they are read.
        topic: their topic.
        marks: what its partitions hold.
        encoding: of the messages' values.

    Raises:
        SourceSchemaError: none of them is a JSON object.
    """
    filled = [(number, mark) for number, mark in marks.items() if mark.low < mark.high][:HEAD_PARTITIONS]
    rows: list[dict[str, object]] = []
    for number, mark in filled:
        size = 0
        messages = cluster.messages(topic, number, mark.low, mark.high)
        for message in islice(messages, -(-HEAD_MESSAGES // len(filled))):
            row = parse_object(message.value() or b"null", encoding)
            if isinstance(row, dict):
                rows.append(row)
            size += size_of(message)
            if size > HEAD_BYTES // len(filled):
                break
    if not rows:
        raise SourceSchemaError(
            f"the topic {topic!r}: none of the first {HEAD_MESSAGES:,} messages is a JSON object, so the types cannot "
            "be inferred; declare the option 'types', or set the 'format' that the messages have"
        )
    return infer_schema(rows)
