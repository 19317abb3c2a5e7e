from __future__ import annotations

import pyarrow as pa
import pytest

from training.errors import LabelError
from training.labels import check_known, count_block, label_ids, order_labels


def counted(labels: pa.Array) -> dict[str, object]:
    return count_block(pa.table({"label": labels})).to_pydict()


def test_rows_are_counted_by_label() -> None:
    assert counted(pa.array(["b", "a", "b"])) == {"label": ["b", "a"], "rows": [2, 1], "problem": [None, None]}


def test_labels_encoded_as_a_dictionary_count_like_others() -> None:
    assert counted(pa.array(["b", "a", "b"]).dictionary_encode())["rows"] == [2, 1]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (pa.array([["a"], ["b"]]), "holds lists"),
        (pa.array([1, 2]), "of type int64, and labels are strings"),
        (pa.array(["a", None]), "1 rows have no label"),
    ],
)
def test_labels_that_cannot_be_learnt_say_why(labels: pa.Array, told: str) -> None:
    assert told in str(counted(labels)["problem"])


def test_labels_are_sorted_or_as_given() -> None:
    assert order_labels({"b": 2, "a": 3}, None) == ("a", "b")
    assert order_labels({"b": 2, "a": 3}, ("b", "a")) == ("b", "a")


@pytest.mark.parametrize(
    ("counts", "wanted", "told"),
    [
        ({"a": 9}, None, "nothing to tell apart: every training row is labelled 'a'"),
        ({}, None, "nothing to tell apart"),
        ({"a": 9, "b": 1}, None, "one training example is not enough for a class, and 'b' has no more"),
        ({"a": 9, "b": 2, "c": 2}, ("a", "b"), "training rows carry 'c', which labels: does not name"),
        ({"a": 9, "b": 2}, ("a", "b", "c"), "labels: names 'c', and no training row carries that"),
    ],
)
def test_classes_that_cannot_be_learnt_are_named(
    counts: dict[str, int], wanted: tuple[str, ...] | None, told: str
) -> None:
    with pytest.raises(LabelError, match=told):
        order_labels(counts, wanted)


def test_a_label_that_training_never_saw_is_named() -> None:
    check_known({"a": 1}, ("a", "b"), split="test")
    with pytest.raises(
        LabelError, match="the test split has the labels 'c', which training never saw; it saw 'a', 'b'"
    ):
        check_known({"a": 1, "c": 4}, ("a", "b"), split="test")


def test_many_labels_are_cut_short_in_a_message() -> None:
    with pytest.raises(LabelError, match="and 2 more"):
        check_known({f"x{number:02}": 1 for number in range(12)}, ("a",), split="test")


def test_labels_become_their_positions() -> None:
    assert label_ids(pa.chunked_array([["b"], ["a", "b"]]), ("a", "b")).to_pylist() == [1, 0, 1]
    with pytest.raises(LabelError, match="'c' are not among those trained on"):
        label_ids(pa.chunked_array([["c"]]), ("a", "b"))
