"""Positions in a Kafka topic: where reading begins and ends, as options, cursors and a topic's state say it.

Pure functions of what a cluster has answered; nothing here asks one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from connectors.errors import SourceError

_OFFSETS = re.compile(r"\d+\s*:\s*\d+(\s*,\s*\d+\s*:\s*\d+)*")

LostMessages = Literal["fail", "skip"]
"""What to do where messages were deleted before they were read."""


class LostOffsetError(SourceError):
    """The offset to read next is not in the partition; caught where it is known what to do about it.

    Attributes:
        offset: that offset.
    """

    def __init__(self, place: str, offset: int) -> None:
        super().__init__(place, offset)
        self.offset = offset

    def __str__(self) -> str:
        return f"{self.args[0]}: offset {self.offset} was deleted while the topic was read; run again"


@dataclass(frozen=True)
class Watermarks:
    """What a partition holds.

    Attributes:
        low: its first offset; what came before has been deleted.
        high: the offset behind its last message that can be read.
    """

    low: int
    high: int


@dataclass(frozen=True)
class Bound:
    """Where reading begins, or ends.

    Attributes:
        time: milliseconds since 1970: the first message of each partition at or after it; None: no time.
        offsets: partition to offset, where those are given.
    """

    time: int | None = None
    offsets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, edge: Literal["earliest", "latest"]) -> Bound:
        """Return the bound that an option writes.

        Args:
            text: `edge`, a time with its zone in ISO 8601, or ``partition:offset, …``.
            edge: the word for where the bound is when nothing is said.

        Raises:
            ValueError: it is none of these.
        """
        if text == edge:
            return cls()
        if _OFFSETS.fullmatch(text.strip()):
            pairs = [(int(one.split(":")[0]), int(one.split(":")[1])) for one in text.split(",")]
            if len({partition for partition, _ in pairs}) < len(pairs):
                raise ValueError(f"{text!r} names a partition twice")
            return cls(offsets=dict(pairs))
        try:
            at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise ValueError(
                f"{text!r} is not {edge!r}, nor a time with its zone such as '2026-01-31T00:00:00Z', nor offsets such "
                "as '0:1200, 1:900' (partition:offset)"
            )
        return cls(time=round(at.timestamp() * 1000))

    def look_ups(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return what is to be asked of the cluster: partition to time; empty where the bound is no time."""
        return {} if self.time is None else dict.fromkeys(partitions, self.time)

    def check(self, partitions: Iterable[int], option: str, topic: str) -> None:
        """See to it that the partitions with offsets are there.

        Raises:
            SourceError: one is not.
        """
        there = set(partitions)
        unknown = sorted(set(self.offsets) - there)
        if unknown:
            raise SourceError(
                f"the option {option!r} gives an offset for partition {unknown[0]}, and the topic {topic!r} has "
                f"{len(there)}: {', '.join(map(str, sorted(there)[:20]))}"
            )

    def at(self, partition: int, otherwise: int, found: int | None, high: int) -> int:
        """Return the offset that the bound stands for in a partition.

        Args:
            partition: its number.
            otherwise: the offset where the bound says nothing of it.
            found: what the look-up of the time gave; None: no message is as late as that.
            high: the partition's high watermark.
        """
        if self.time is not None:
            return high if found is None else found
        return self.offsets.get(partition, otherwise)


@dataclass(frozen=True)
class KafkaCursor:
    """How far a topic has been read.

    Attributes:
        cluster: the id of its cluster, since another one's offsets mean other messages; empty where it has none.
        topic: its name.
        offsets: of each partition, the offset to be read next.
    """

    cluster: str
    topic: str
    offsets: Mapping[int, int]

    @classmethod
    def parse(cls, text: str) -> KafkaCursor:
        """Return the cursor that `text` writes.

        Raises:
            SourceError: `text` is no such cursor.
        """
        try:
            said = json.loads(text)
            offsets = {int(partition): int(offset) for partition, offset in said["offsets"].items()}
            return cls(str(said["cluster"]), str(said["topic"]), offsets)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError(
                f"{text[:80]!r} is not the cursor of a Kafka topic; reset the pipeline's state to read from the "
                "beginning"
            ) from error

    def text(self) -> str:
        """Return the cursor as it is kept."""
        offsets = {str(partition): offset for partition, offset in sorted(self.offsets.items())}
        return json.dumps({"cluster": self.cluster, "topic": self.topic, "offsets": offsets}, ensure_ascii=False)

    def check(self, cluster: str, topic: str, partitions: Iterable[int]) -> None:
        """See to it that the cursor is one of this topic.

        Raises:
            SourceError: it is not.
        """
        if self.topic != topic or (self.cluster and cluster and self.cluster != cluster):
            raise SourceError(
                f"the cursor is one of the topic {self.topic!r} of the cluster {self.cluster or 'unknown'}, and what "
                f"is read is {topic!r} of {cluster or 'unknown'}, where the same offsets are other messages; reset the "
                "pipeline's state, or read the topic that it is of"
            )
        gone = sorted(set(self.offsets) - set(partitions))
        if gone:
            raise SourceError(
                f"partition {gone[0]} of the topic {topic!r} was read before and is not there any more, so the topic "
                "was deleted and made again; reset the pipeline's state to read it from the beginning"
            )


@dataclass(frozen=True)
class Window:
    """What is to be read of a topic.

    Attributes:
        begin: where a plan without a cursor begins.
        end: where a plan ends.
        lost: what to do where messages were deleted before they were read.
    """

    begin: Bound
    end: Bound
    lost: LostMessages

    @classmethod
    def parse(cls, start: str, end: str, lost: LostMessages) -> Window:
        """Return the window that options write; see `Bound.parse`."""
        return cls(Bound.parse(start, "earliest"), Bound.parse(end, "latest"), lost)

    def ranges(
        self,
        topic: str,
        marks: Mapping[int, Watermarks],
        cursor: KafkaCursor | None,
        look_up: Callable[[dict[int, int]], Mapping[int, int | None]],
    ) -> dict[int, tuple[int, int]]:
        """Return, of each partition, the first offset to read and the one to stop before.

        Args:
            topic: its name.
            marks: what its partitions hold.
            cursor: how far they have been read.
            look_up: given partition to time, returns the offset of the first message at or after it, or None.

        Raises:
            SourceError: messages were deleted before they were read, or an offset is given that is not there.
        """
        self.begin.check(marks, "start", topic)
        self.end.check(marks, "end", topic)
        starts = look_up(self.begin.look_ups(marks)) if cursor is None else {}
        ends = look_up(self.end.look_ups(marks))
        ranges = {}
        for number, mark in marks.items():
            place = f"{topic}/{number}"
            if cursor is not None:
                # A partition that the cursor does not know has come since.
                wanted = cursor.offsets.get(number, 0)
            else:
                wanted = self.begin.at(number, mark.low, starts.get(number), mark.high)
            stop = self.end.at(number, mark.high, ends.get(number), mark.high)
            ranges[number] = (begin_at(place, wanted, mark, self.lost), end_at(place, stop, mark))
        return ranges


def begin_at(place: str, wanted: int, marks: Watermarks, lost: LostMessages) -> int:
    """Return the offset to begin with, where `wanted` is the one that comes next.

    Args:
        place: the topic and the partition, for the error.
        wanted: the offset that an option or a cursor says.
        marks: what the partition holds.
        lost: what to do where `wanted` has been deleted.

    Raises:
        SourceError: it has been deleted, or is not reached yet.
    """
    if wanted > marks.high:
        raise SourceError(
            f"{place}: offset {wanted} comes next, and the partition ends at {marks.high}, so it was deleted and made "
            "again, or has lost messages that were read before; reset the pipeline's state (or set the option 'start') "
            "to read it from the beginning"
        )
    if wanted < marks.low and lost == "fail":
        raise lost_messages(place, wanted, marks.low)
    return max(wanted, marks.low)


def lost_messages(place: str, wanted: int, low: int) -> SourceError:
    """Return the error that messages were deleted before they were read."""
    return SourceError(
        f"{place}: offsets {wanted} to {low - 1} were deleted before they were read (retention); keep messages longer "
        "(retention.ms, retention.bytes) or read more often; set lost_messages: skip to go on without them"
    )


def end_at(place: str, wanted: int, marks: Watermarks) -> int:
    """Return the offset to end before.

    Raises:
        SourceError: it has not come yet.
    """
    if wanted > marks.high:
        raise SourceError(
            f"{place}: the option 'end' says {wanted}, and the partition ends at {marks.high} so far; give an offset "
            "that has come, or 'latest'"
        )
    return wanted


def cut(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the offsets from `start` to before `stop` in ranges, cut at multiples of `step`.

    So the same offsets are in the same range, wherever reading begins; the first and the last one are shorter.
    """
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield start, end
        start = end
