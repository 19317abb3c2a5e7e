"""A preview shows the first rows as the row steps leave them, and what was rejected by which rule."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from connectors import JsonLines, Memory, SparkTable
from pipelines import Pipeline, PipelineError
from pipelines.agreed_schema import Agreement
from pipelines.preview import PreviewRow, preview, preview_table
from pipelines.steps import Deduplicate, NormalizeText, SelectColumns, Split, WordCount
from pipelines.steps.step import Outcome, RowStep

ROWS = [{"text": text, "topic": str(number)} for number, text in enumerate(["  one two ", "three", "four  five", ""])]


class Double(RowStep):
    creates_rows = True

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        again = [f"{row_id}-again" for row_id in batch.column("row_id").to_pylist()]
        columns = [pa.array(again, pa.string()), *batch.columns[1:]]
        copy = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
        return Outcome.keep(pa.Table.from_batches([batch, copy]).combine_chunks().to_batches()[0] if again else batch)


def of_rows(*steps: object) -> Pipeline:
    return Pipeline(name="x", source=Memory(rows=ROWS), steps=steps)  # type: ignore[arg-type]


def seen(pipeline: Pipeline, rows: int = 20) -> list[tuple[object, str | None]]:
    return [(row.values["text"], row.rejected) for row in preview(pipeline, rows)[0]]


def test_rows_come_in_order_and_rejected_ones_as_far_as_they_came() -> None:
    assert seen(of_rows(NormalizeText(), WordCount(min=2))) == [
        ("one two", None),
        ("three", "word_count: too_few_words"),
        ("four five", None),
        ("", "normalize_text: empty_text"),
    ]


def test_no_more_rows_are_shown_than_were_asked_for() -> None:
    assert seen(of_rows(NormalizeText()), 2) == [("one two", None), ("three", None)]
    assert len(seen(of_rows(Double()), 3)) == 3
    assert len(seen(of_rows(Double()))) == 8


def test_rejected_rows_take_no_place_of_kept_ones() -> None:
    rows = [{"text": text} for text in ("a", "b", "c", "one two", "d", "three four", "five six")]
    pipeline = Pipeline(name="x", source=Memory(rows=rows), steps=[WordCount(min=2)])
    few = "word_count: too_few_words"
    assert seen(pipeline, 2) == [("a", few), ("b", few), ("one two", None), ("three four", None)]


def test_what_is_not_applied_is_named_from_the_first_table_step_on() -> None:
    rows, left_out = preview(of_rows(NormalizeText(), Deduplicate(), WordCount(min=2), Split()), 20)

    assert left_out == ("deduplicate", "word_count", "split")
    assert all(row.rejected != "word_count: too_few_words" for row in rows)


def test_columns_that_a_step_takes_away_are_gone() -> None:
    rows, _ = preview(of_rows(SelectColumns(columns=["text"])), 1)

    assert set(rows[0].values) == {"row_id", "text"}


def test_a_schema_contract_holds_rows_to_what_was_agreed_on(tmp_path: Path) -> None:
    def look(contract: str, *rows: dict[str, object]) -> list[tuple[object, str | None]]:
        pipeline = Pipeline(name="x", source=Memory(rows=rows), schema_contract=contract)
        agreement = Agreement.of(pipeline, tmp_path, notices.append)
        found, _ = preview(pipeline, 20, agreement)
        assert agreement is not None
        agreement.keep("a run")
        return [(row.values["text"], row.rejected) for row in found]

    notices: list[str] = []
    assert look("freeze", {"text": "one", "stars": 1}) == [("one", None)]
    assert look("quarantine", {"text": "two", "stars": "2"}, {"text": "three", "stars": "many"}) == [
        ("two", None),
        ("three", "schema_contract: type_change"),
    ]
    assert notices == [
        "column 'stars' changed from int64 to string: rows with a value that int64 does not hold are set aside"
    ]
    with pytest.raises(PipelineError, match="column 'stars' changed from int64 to string"):
        look("freeze", {"text": "two", "stars": "2"})


def test_a_malformed_row_is_shown_with_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n{"text": \n')
    rows, _ = preview(Pipeline(name="x", source=JsonLines(path=str(tmp_path / "rows.jsonl"))), 20)

    assert {row.rejected: row.values.get("position") for row in rows} == {None: None, "json_lines: malformed_json": 2}


@pytest.mark.parametrize("source", [None, SparkTable(table="t")])
def test_without_a_source_of_our_own_there_is_nothing_to_preview(source: SparkTable | None) -> None:
    with pytest.raises(PipelineError, match="nothing can be previewed without Spark"):
        preview(Pipeline(name="x", source=source), 20)


def test_the_table_shows_long_texts_by_their_beginning_and_markup_as_it_is() -> None:
    table = preview_table([PreviewRow("a:1", {"row_id": "a:1", "text": "[red]" + "word " * 100}, "word_count: x")])
    shown = rendered(table)
    assert "text=[red]word word" in " ".join(shown.split())
    assert "…" in shown
    assert shown.count("word") < 40


def rendered(table: object) -> str:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
