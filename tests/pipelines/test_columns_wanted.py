"""Which columns of a source a pipeline has a use for, as its first steps say."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest

from connectors import Memory
from pipelines import feeds
from pipelines.accounting import StepAccount
from pipelines.feeds import ReadSource
from pipelines.pass_plan import columns_wanted, plan_passes
from pipelines.steps import (
    ArrowFunction,
    Deduplicate,
    MapLabels,
    NormalizeText,
    SelectColumns,
    Split,
    Step,
    WordCount,
)
from pipelines.steps.step import Outcome
from tests.integration.functions import without_shouting

SCHEMA = pa.schema([(name, pa.string()) for name in ("row_id", "author", "text", "label", "split", "place", "stars")])
STARS = SelectColumns(columns=("stars",))


class CountsTheAuthor(WordCount):
    """Looks at a column that the class above it does not."""

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        assert "author" in batch.schema.names
        return super().apply(batch)


class LooksAtTheAuthor(CountsTheAuthor):
    """And says so."""

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        return None if output is None else output | {"author"}


def wanted(*steps: Step) -> tuple[str, ...] | None:
    return columns_wanted(plan_passes("source", steps)[0], SCHEMA)


def test_a_selection_leaves_what_rows_always_have_and_what_it_names() -> None:
    assert wanted(STARS) == ("row_id", "text", "label", "split", "stars")


def test_steps_that_look_at_texts_and_labels_do_not_stand_in_its_way() -> None:
    before = (NormalizeText(), WordCount(), MapLabels(mapping={"a": "b"}))
    assert wanted(*before, STARS, Deduplicate(), Split()) == ("row_id", "text", "label", "split", "stars")


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (NormalizeText(), WordCount()),
        (ArrowFunction(function=without_shouting), STARS),
        (Deduplicate(), STARS),
        (CountsTheAuthor(), STARS),
        (SelectColumns(columns=("author", "place", "stars")),),
    ],
    ids=["no step", "no selection", "any function", "a shuffle", "a subclass", "all are named"],
)
def test_all_are_wanted_where_less_might_be_too_little(steps: Sequence[Step]) -> None:
    assert wanted(*steps) is None


def test_a_step_of_ones_own_may_say_what_it_looks_at() -> None:
    assert wanted(LooksAtTheAuthor(), STARS) == ("row_id", "author", "text", "label", "split", "stars")


def test_of_two_selections_the_first_must_find_what_it_names() -> None:
    found = wanted(SelectColumns(columns=("author", "stars")), STARS)
    assert found == ("row_id", "author", "text", "label", "split", "stars")


def test_a_source_that_reads_more_than_it_was_asked_for_gives_the_pass_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = Memory(rows=[{"text": "one", "author": "ann", "stars": 3}])
    with source.plan(columns=["text", "stars"]) as plan:
        monkeypatch.setattr(feeds, "read_partitions", lambda source, parts: source.scan(parts[0]))
        feed = ReadSource(source, "memory", ("row_id", "text", "stars"))
        (batch,) = feed.rows(plan.partitions, StepAccount("memory"), print)  # type: ignore[arg-type]
    assert batch.to_pylist() == [{"row_id": "memory:1", "text": "one", "stars": 3}]
