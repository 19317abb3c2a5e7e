from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import LawError, StepError
from pipelines.steps import (
    ArrowFunction,
    Deduplicate,
    MapLabels,
    NormalizeText,
    Outcome,
    RowStep,
    SelectColumns,
    Split,
    WordCount,
)
from pipelines.steps.kernel import prepare, run_step


def batch_of(*texts: str, label: str = "x") -> pa.RecordBatch:
    ids = pa.array([f"a:{row}" for row in range(len(texts))], pa.string())
    columns = [ids, pa.array(texts, pa.string()), pa.array([label] * len(texts), pa.string())]
    return pa.RecordBatch.from_arrays(columns, names=["row_id", "text", "label"])


class Numbers(RowStep):
    """Adds the number that the text spells, and fails on any other text."""

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(batch.append_column("number", pc.cast(batch["text"], pa.int64())))


class Loses(RowStep):
    def apply(self, batch: pa.RecordBatch) -> Outcome:
        return Outcome.keep(batch.slice(1))


class RejectsStrangers(RowStep):
    def apply(self, batch: pa.RecordBatch) -> Outcome:
        outcome = WordCount(min=99).apply(batch)
        renamed = outcome.rejected.set_column(0, "row_id", pa.array(["nobody"] * batch.num_rows, pa.string()))
        return Outcome(outcome.kept, renamed)


class Doubles(RowStep):
    creates_rows: ClassVar[bool] = True

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        twice = batch.take(pa.array([*range(batch.num_rows)] * 2, pa.int64()))
        new_ids = pc.binary_join_element_wise(batch["row_id"], "b", "#")
        return Outcome.keep(twice.set_column(0, "row_id", pa.concat_arrays([batch["row_id"], new_ids])))


class AlwaysFails(RowStep):
    def apply(self, batch: pa.RecordBatch) -> Outcome:
        raise KeyError("model")


def test_a_row_that_a_step_fails_on_is_rejected_and_the_others_go_on() -> None:
    outcome = run_step(Numbers(), batch_of("1", "two", "3"))
    assert outcome.kept.column("number").to_pylist() == [1, 3]
    (rejected,) = outcome.rejected.to_pylist()
    assert (rejected["row_id"], rejected["rule"]) == ("a:1", "error")
    assert rejected["value"].startswith("ArrowInvalid: Failed to parse string: 'two'")


def test_failures_and_rejections_of_one_batch_come_together() -> None:
    step = ArrowFunction(
        function=lambda batch: Numbers().apply(batch).kept.filter(pc.field("number") > 1), rule="small"
    )
    outcome = run_step(step, batch_of("1", "two", "3"))
    assert outcome.kept.column("row_id").to_pylist() == ["a:2"]
    assert outcome.rejected.select(["row_id", "rule"]).to_pylist() == [
        {"row_id": "a:0", "rule": "small"},
        {"row_id": "a:1", "rule": "error"},
    ]


def test_a_column_that_is_null_in_one_row_keeps_its_type() -> None:
    def parse(batch: pa.RecordBatch) -> pa.RecordBatch:
        parsed = [int(text) if text else None for text in batch["text"].to_pylist()]
        return batch.append_column("parsed", pa.array(parsed))

    outcome = run_step(ArrowFunction(function=parse), batch_of("", "two", "3"))
    assert outcome.kept.column("parsed").to_pylist() == [None, 3]


def test_a_single_row_that_fails_is_rejected_with_the_columns_intact() -> None:
    outcome = run_step(Numbers(), batch_of("two"))
    assert outcome.kept.schema.names == ["row_id", "text", "label", "number"]
    assert outcome.rejected.num_rows == 1


def test_a_long_failure_is_cut() -> None:
    def shout(batch: pa.RecordBatch) -> pa.RecordBatch:
        if batch.num_rows:
            raise ValueError("x" * 9_999)
        return batch

    outcome = run_step(ArrowFunction(function=shout), batch_of("a"))
    assert len(outcome.rejected["value"][0].as_py()) == 2_000


def test_a_step_that_fails_on_every_row_is_at_fault() -> None:
    with pytest.raises(StepError, match=r"always_fails failed on each of 2 rows.*on row 'a:0': KeyError: 'model'"):
        run_step(AlwaysFails(), batch_of("a", "b"))


def test_a_step_that_fails_on_no_rows_is_at_fault() -> None:
    with pytest.raises(StepError, match=r"always_fails failed on a batch of no rows: KeyError"):
        run_step(AlwaysFails(), batch_of())
    with pytest.raises(StepError, match=r"always_fails failed on a batch of no rows: KeyError"):
        run_step(AlwaysFails(), batch_of("a"))


def test_losing_a_row_breaks_the_law() -> None:
    with pytest.raises(LawError, match="loses lost rows: of 2 it kept 1 and rejected 0"):
        run_step(Loses(), batch_of("a", "b"))


def test_rejecting_a_row_that_was_not_given_breaks_the_law() -> None:
    with pytest.raises(LawError, match="rejected the row 'nobody', which it was not given"):
        run_step(RejectsStrangers(), batch_of("a"))


def test_a_step_that_says_so_may_make_rows() -> None:
    assert run_step(Doubles(), batch_of("a", "b")).kept.num_rows == 4


STEPS = st.sampled_from(
    [
        NormalizeText(),
        NormalizeText(repair=False, whitespace=False),
        WordCount(min=1, max=3),
        MapLabels(mapping={"x": None}),
        MapLabels(mapping={"x": "y"}, unknown="reject"),
        SelectColumns(columns=("label",)),
        ArrowFunction(function=lambda batch: batch.filter(pc.equal(pc.utf8_length(batch["text"]), 2))),
    ]
)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8)


@given(STEPS, TEXTS)
def test_every_row_that_goes_in_is_kept_or_rejected(step: RowStep, texts: list[str]) -> None:
    batch = batch_of(*texts)
    outcome = run_step(step, batch)
    ids = outcome.kept.column("row_id").to_pylist() + outcome.rejected.column("row_id").to_pylist()
    assert sorted(ids) == batch.column("row_id").to_pylist()


@given(TEXTS)
def test_what_is_made_is_accounted_for(texts: list[str]) -> None:
    batch = batch_of(*texts)
    outcome = run_step(Doubles(), batch)
    assert batch.num_rows + len(texts) == outcome.kept.num_rows + outcome.rejected.num_rows


@given(STEPS, TEXTS, st.integers(0, 8))
def test_how_rows_are_batched_makes_no_difference(step: RowStep, texts: list[str], cut: int) -> None:
    batch = batch_of(*texts)
    whole = run_step(step, batch)
    parts = [run_step(step, batch.slice(0, cut)), run_step(step, batch.slice(cut))]
    assert whole.kept.to_pylist() == [row for part in parts for row in part.kept.to_pylist()]
    assert whole.rejected.to_pylist() == [row for part in parts for row in part.rejected.to_pylist()]
    assert {part.kept.schema for part in parts} == {step.output_schema(batch.schema)}


def test_what_is_scored_is_told_apart_and_nothing_goes_missing() -> None:
    steps = [NormalizeText(), MapLabels(mapping={"x": None}), WordCount(min=2), Deduplicate(), Split()]
    prepared = prepare(steps, batch_of(" a  b ", "\x00", "c", "a b"))
    assert prepared.reasons.to_pylist() == [
        None,
        "normalize_text: empty_text",
        "word_count: too_few_words",
        None,
    ]
    assert prepared.batch.column("text").to_pylist() == ["a b", "a b"]
    assert prepared.batch.column("row_id").to_pylist() == ["a:0", "a:3"]


def test_texts_alone_can_be_prepared() -> None:
    prepared = prepare([NormalizeText()], pa.RecordBatch.from_pydict({"text": ["b ", ""]}))
    assert prepared.batch.column("text").to_pylist() == ["b"]
    assert prepared.reasons.to_pylist() == [None, "normalize_text: empty_text"]


def test_no_texts_can_be_prepared() -> None:
    prepared = prepare([NormalizeText(), WordCount()], batch_of())
    assert (prepared.batch.num_rows, len(prepared.reasons)) == (0, 0)


def test_prepared_rows_are_in_the_order_given() -> None:
    backwards = ArrowFunction(function=lambda batch: batch.take(pc.sort_indices(batch["text"])))
    prepared = prepare([backwards, WordCount(max=1)], batch_of("c", "b b", "a"))
    assert prepared.batch.column("text").to_pylist() == ["c", "a"]
    assert prepared.reasons.to_pylist() == [None, "word_count: too_many_words", None]


def test_a_text_that_a_step_fails_on_gets_the_failure_as_its_reason() -> None:
    assert prepare([Numbers()], batch_of("1", "two")).reasons.to_pylist() == [None, "numbers: error"]


def test_a_step_that_makes_rows_cannot_score() -> None:
    with pytest.raises(StepError, match="doubles gave out rows that it was not given"):
        prepare([Doubles()], batch_of("a"))


def test_row_ids_must_tell_rows_apart() -> None:
    with pytest.raises(ValueError, match="row_id twice"):
        prepare([], pa.RecordBatch.from_pydict({"row_id": ["1", "1"], "text": ["a", "b"]}))


@given(TEXTS)
def test_every_text_is_prepared_or_has_a_reason(texts: list[str]) -> None:
    batch = batch_of(*texts)
    prepared = prepare([NormalizeText(), WordCount(min=1, max=2)], batch)
    passed = batch.filter(pc.is_null(prepared.reasons)).column("row_id")
    assert prepared.batch.column("row_id").to_pylist() == passed.to_pylist()
