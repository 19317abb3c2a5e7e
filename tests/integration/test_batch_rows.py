"""How many rows come to Python at once, by their width; and which columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors import JsonLines, JsonLinesSink, ParquetSource
from connectors.source import BATCH_BYTES
from pipelines import Pipeline, Session
from pipelines.batch_rows import SETTING
from pipelines.steps import ArrowFunction, Deduplicate, RowStep, SelectColumns, Shuffle, Sql, TableStep

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

pytestmark = [pytest.mark.spark, pytest.mark.ray]

MEGABYTE = 1_000_000


def what_came(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Replace each text by its length, the bytes of all that came with it, and the columns' names."""
    # Of a batch that was divided on its way, each piece has the whole one's buffers.
    whole = batch.get_total_buffer_size()
    told = [json.dumps([len(text.as_py()), whole, batch.schema.names]) for text in batch.column("text")]
    return batch.set_column(batch.schema.get_field_index("text"), "text", pa.array(told, pa.string()))


def told(directory: Path) -> list[Any]:
    rows = (json.loads(line) for path in directory.glob("part-*") for line in path.read_text("utf-8").splitlines())
    return [json.loads(row["text"]) for row in rows]


def corpus_of(path: Path, sizes: list[int]) -> JsonLines:
    with path.open("w") as out:
        for number, size in enumerate(sizes):
            text = f"{number} ".ljust(size, "x")
            out.write(json.dumps({"text": text, "rest": text[:100], "group": str(number % 3)}) + "\n")
    return JsonLines(path=str(path), types={"text": "string", "rest": "string", "group": "string"})


@pytest.mark.parametrize("step", [Deduplicate(), Sql(query="SELECT * FROM rows")], ids=["told by a look", "by a count"])
def test_documents_of_a_megabyte_come_from_spark_by_the_few(session: Session, tmp_path: Path, step: TableStep) -> None:
    source = corpus_of(tmp_path / "corpus.jsonl", [MEGABYTE] * 40)
    before = session.spark.conf.get(SETTING)
    steps = [step, ArrowFunction(function=what_came)]
    sink = JsonLinesSink(path=str(tmp_path / "out"))
    Pipeline(name="wide", source=source, steps=steps, sink=sink).run(session, runs=tmp_path / "runs")
    came = told(tmp_path / "out")
    assert [length for length, _, _ in came] == [MEGABYTE] * 40
    assert max(whole for _, whole, _ in came) < 2 * BATCH_BYTES
    assert session.spark.conf.get(SETTING) == before


def test_a_frame_from_elsewhere_is_looked_at_first(session: Session, tmp_path: Path) -> None:
    frame = session.spark.range(60, numPartitions=1).selectExpr(
        "cast(id AS string) AS row_id", "rpad(id, 1000000, 'x') AS text"
    )
    sink = JsonLinesSink(path=str(tmp_path / "out"))
    pipeline = Pipeline(name="frame", steps=[ArrowFunction(function=what_came)], sink=sink)
    pipeline.run(session, data=frame, runs=tmp_path / "runs")
    came = told(tmp_path / "out")
    assert len(came) == 60
    assert max(whole for _, whole, _ in came) < 2 * BATCH_BYTES


def test_documents_of_fifty_megabytes_among_small_ones_pass_whole(session: Session, tmp_path: Path) -> None:
    sizes = [50 * MEGABYTE if number in (3, 40, 41, 77) else 200 for number in range(80)]
    texts = pa.array([str(number).ljust(size, "x") for number, size in enumerate(sizes)], pa.large_string())
    pq.write_table(pa.table({"text": texts}), tmp_path / "corpus.parquet", row_group_size=20)
    source = ParquetSource(path=str(tmp_path / "corpus.parquet"))
    steps: list[RowStep | TableStep] = [Deduplicate(), Shuffle(), ArrowFunction(function=what_came)]
    sink = JsonLinesSink(path=str(tmp_path / "out"))
    result = Pipeline(name="huge", source=source, steps=steps, sink=sink).run(session, runs=tmp_path / "runs")
    assert sorted(length for length, _, _ in told(tmp_path / "out")) == sorted(sizes)
    assert result.rejected == 0


def test_columns_that_nobody_reads_behind_a_table_step_stay_in_spark(session: Session, tmp_path: Path) -> None:
    def without_rest(step: RowStep) -> list[RowStep | TableStep]:
        return [_AddsRest(), step, SelectColumns(columns=("group",))]

    source = corpus_of(tmp_path / "corpus.jsonl", [10] * 20)
    sink = JsonLinesSink(path=str(tmp_path / "out"))
    Pipeline(name="narrow", source=source, steps=without_rest(_Came()), sink=sink).run(session, runs=tmp_path / "runs")
    assert {tuple(columns) for _, _, columns in told(tmp_path / "out")} == {("row_id", "text", "group")}


class _AddsRest(TableStep):
    """Reads a column that no step behind it does."""

    def apply(self, frame: DataFrame) -> DataFrame:
        return frame.where("rest IS NOT NULL")


class _Came(RowStep):
    """`what_came`, as a step that says that it reads no other column."""

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        return output

    def apply(self, batch: pa.RecordBatch) -> Any:
        from pipelines.steps.step import Outcome

        return Outcome.keep(what_came(batch))
