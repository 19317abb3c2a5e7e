from __future__ import annotations

import pyarrow as pa

from pipelines.distributions import BYTES, MAX_VALUES, NOTHING, OTHERS, in_order, measure, merge


def test_rows_are_spread_over_ranges_and_values() -> None:
    batch = pa.record_batch(
        {
            "text": ["", "a", "ab", "abc", "中中"],
            "label": pa.array([["x", "y"], ["x"], [], None, ["y"]]),
            "language": ["en", None, "en", "zh", "zh"],
            "quality": [0.0, 0.05, 0.95, 1.0, None],
            "duplicate_count": [1, 1, 3, 1024, 4],
            "other": [1, 2, 3, 4, 5],
        }
    )
    assert measure(batch) == {
        BYTES: {"0": 1, "1": 1, "2": 2, "4": 1},
        "label": {"x": 2, "y": 2},
        "language": {"en": 2, NOTHING: 1, "zh": 2},
        "quality": {"0.0": 2, "0.9": 2, NOTHING: 1},
        "duplicate_count": {"1": 2, "2": 1, "4": 1, "1024": 1},
    }
    assert measure(batch.slice(0, 0))[BYTES] == {}


def test_distributions_add_up_and_stay_small() -> None:
    into: dict[str, dict[str, int]] = {"label": {"a": 1}}
    for number in range(500):
        merge(into, {"label": {"a": 1, f"b{number}": 2}, "more": {"x": 1}})
    assert into["label"]["a"] == 501
    assert len(into["label"]) == MAX_VALUES + 1
    assert sum(into["label"].values()) == 1501
    assert into["label"][OTHERS] > 0
    assert into["more"] == {"x": 500}


def test_ranges_are_shown_in_order_and_values_by_rows() -> None:
    assert in_order(BYTES, {"8": 1, "1024": 1}, {"16": 5}) == ["8", "16", "1024"]
    assert in_order("label", {"b": 1, "a": 2}, {"c": 9, "b": 2}) == ["c", "a", "b"]
    assert in_order("quality", {"0.9": 1, NOTHING: 3, "0.1": 1}) == [NOTHING, "0.1", "0.9"]
