from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.errors import StepError
from pipelines.steps import MapLabels
from pipelines.steps.kernel import run_step


def batch_of(*labels: str | None) -> pa.RecordBatch:
    ids = pa.array([str(row) for row in range(len(labels))], pa.string())
    texts = pa.array(["text"] * len(labels), pa.string())
    return pa.RecordBatch.from_arrays([ids, texts, pa.array(labels, pa.string())], names=["row_id", "text", "label"])


def test_labels_are_renamed_and_merged() -> None:
    step = MapLabels(mapping={"pos": "good", "great": "good", "neg": "bad"})
    outcome = run_step(step, batch_of("pos", "neg", "great"))
    assert outcome.kept.column("label").to_pylist() == ["good", "bad", "good"]


def test_labels_may_be_swapped() -> None:
    outcome = run_step(MapLabels(mapping={"a": "b", "b": "a"}), batch_of("a", "b"))
    assert outcome.kept.column("label").to_pylist() == ["b", "a"]


def test_a_label_mapped_to_null_is_left_out() -> None:
    outcome = run_step(MapLabels(mapping={"spam": None}), batch_of("ham", "spam"))
    assert outcome.kept.column("label").to_pylist() == ["ham"]
    assert outcome.rejected.to_pylist() == [{"row_id": "1", "rule": "dropped_label", "value": "spam"}]


def test_unknown_labels_are_kept_unless_said_otherwise() -> None:
    outcome = run_step(MapLabels(mapping={"a": "b"}), batch_of("c", None))
    assert outcome.kept.column("label").to_pylist() == ["c", None]


def test_unknown_labels_can_be_rejected() -> None:
    outcome = run_step(MapLabels(mapping={"a": "b"}, unknown="reject"), batch_of("a", "c", None))
    assert outcome.kept.column("label").to_pylist() == ["b"]
    assert outcome.rejected.column("rule").to_pylist() == ["unknown_label", "unknown_label"]
    assert outcome.rejected.column("value").to_pylist() == ["c", None]


def test_unknown_labels_can_end_the_run_although_other_rows_are_fine() -> None:
    with pytest.raises(StepError, match=r"does not name 'c'; it names: 'a', 'b'"):
        run_step(MapLabels(mapping={"a": "x", "b": "y"}, unknown="fail"), batch_of("a", "c", "b"))


def test_no_rows_give_no_rows() -> None:
    assert run_step(MapLabels(mapping={"a": "b"}, unknown="fail"), batch_of()).kept.num_rows == 0


def test_rows_without_labels_are_an_error() -> None:
    with pytest.raises(StepError, match="no column 'label'; they have: row_id, text"):
        run_step(MapLabels(mapping={"a": "b"}), batch_of("a").select(["row_id", "text"]))


def test_lists_of_labels_are_an_error() -> None:
    batch = batch_of("a").set_column(2, "label", pa.array([["a"]]))
    with pytest.raises(StepError, match="only single labels"):
        run_step(MapLabels(mapping={"a": "b"}), batch)


def test_order_of_the_mapping_means_nothing_and_pairs_are_taken_too() -> None:
    given = MapLabels(mapping={"b": "2", "a": "1"})
    assert given == MapLabels(mapping={"a": "1", "b": "2"})
    assert given == MapLabels(mapping=(("b", "2"), ("a", "1")))
    assert hash(given) == hash(MapLabels(mapping={"a": "1", "b": "2"}))


def test_numbers_are_labels_as_they_are_written() -> None:
    assert MapLabels(mapping={0: "negative", 1: 5}) == MapLabels(mapping={"0": "negative", "1": "5"})


def test_truth_values_are_not_labels() -> None:
    with pytest.raises(ValidationError, match="put it in quotes"):
        MapLabels(mapping={True: "yes"})


def test_an_empty_mapping_is_an_error() -> None:
    with pytest.raises(ValidationError, match="the mapping is empty"):
        MapLabels(mapping={})


def test_what_is_written_is_read_again() -> None:
    step = MapLabels(mapping={"a": "b", "c": None}, unknown="reject")
    assert step.model_dump() == {"mapping": {"a": "b", "c": None}, "unknown": "reject"}
    assert MapLabels.model_validate_json(step.model_dump_json()) == step


def test_it_has_no_part_in_scoring() -> None:
    assert MapLabels.training_only
