"""Where reading a topic begins and ends, times included, which the mock cluster of the other tests cannot look up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import SourceError
from connectors.kafka.positions import Bound, KafkaCursor, LostMessages, Watermarks, Window, cut

MARKS = {0: Watermarks(10, 100), 1: Watermarks(0, 50), 2: Watermarks(7, 7)}
JANUARY = 1_767_225_600_000


def test_times_are_looked_up_in_every_partition_in_milliseconds() -> None:
    for text in ("2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2025-12-31T19:00:00.000-05:00"):
        assert Bound.parse(text, "earliest").look_ups(MARKS) == dict.fromkeys(MARKS, JANUARY)
    assert Bound.parse("2026-01-01T00:00:00.25Z", "latest").look_ups([4]) == {4: JANUARY + 250}
    assert Bound.parse("earliest", "earliest").look_ups(MARKS) == {}
    assert Bound.parse("0:12", "latest").look_ups(MARKS) == {}


def test_a_time_is_the_first_message_at_or_after_it_or_the_end() -> None:
    asked = []

    def look_up(times: dict[int, int]) -> dict[int, int | None]:
        asked.append(times)
        return {0: 40, 1: None, 2: None} if times else {}

    window = Window.parse("2026-01-01T00:00:00Z", "latest", "fail")
    assert window.ranges("reviews", MARKS, None, look_up) == {0: (40, 100), 1: (50, 50), 2: (7, 7)}
    assert asked == [dict.fromkeys(MARKS, JANUARY), {}]
    window = Window.parse("earliest", "2026-01-01T00:00:00Z", "fail")
    assert window.ranges("reviews", MARKS, None, look_up) == {0: (10, 40), 1: (0, 50), 2: (7, 7)}


def test_with_a_cursor_only_the_end_is_looked_up() -> None:
    asked = []

    def look_up(times: dict[int, int]) -> dict[int, int | None]:
        asked.append(times)
        return {0: 60, 1: 20, 2: None} if times else {}

    window = Window.parse("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", "fail")
    cursor = KafkaCursor("", "reviews", {0: 30, 1: 30, 2: 7})
    assert window.ranges("reviews", MARKS, cursor, look_up) == {0: (30, 60), 1: (30, 20), 2: (7, 7)}
    assert [bool(times) for times in asked] == [True]


def test_messages_that_are_gone_are_an_error_unless_they_may_be() -> None:
    cursor = KafkaCursor("", "reviews", {0: 9, 1: 0, 2: 7})
    with pytest.raises(SourceError, match="reviews/0: offsets 9 to 9 were deleted"):
        Window.parse("earliest", "latest", "fail").ranges("reviews", MARKS, cursor, lambda _: {})
    ranges = Window.parse("earliest", "latest", "skip").ranges("reviews", MARKS, cursor, lambda _: {})
    assert ranges == {0: (10, 100), 1: (0, 50), 2: (7, 7)}


def test_a_new_partition_whose_first_messages_are_gone_has_lost_them() -> None:
    cursor = KafkaCursor("", "reviews", {1: 0, 2: 7})
    with pytest.raises(SourceError, match="reviews/0: offsets 0 to 9 were deleted"):
        Window.parse("earliest", "latest", "fail").ranges("reviews", MARKS, cursor, lambda _: {})


def test_offsets_ahead_of_the_partition_are_an_error_whatever_may_be_lost() -> None:
    both: tuple[LostMessages, ...] = ("fail", "skip")
    for lost in both:
        with pytest.raises(SourceError, match="offset 8 comes next, and the partition ends at 7"):
            Window.parse("2:8", "latest", lost).ranges("reviews", MARKS, None, lambda _: {})


@settings(max_examples=30)
@given(st.dictionaries(st.integers(0, 1000), st.integers(0, 2**62)), st.text(), st.text())
def test_a_cursor_is_read_as_it_was_written(offsets: dict[int, int], cluster: str, topic: str) -> None:
    cursor = KafkaCursor(cluster, topic, offsets)
    assert KafkaCursor.parse(cursor.text()) == cursor


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(1, 3_000))
def test_ranges_are_the_whole_and_cut_at_the_same_offsets_wherever_they_begin(start: int, stop: int, step: int) -> None:
    ranges = list(cut(start, stop, step))
    assert [offset for first, last in ranges for offset in range(first, last)] == list(range(start, stop))
    assert all(first < last and first // step == (last - 1) // step for first, last in ranges)
