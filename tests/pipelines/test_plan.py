"""A plan says what a run would do, in the order that it would, and refuses what could not be begun."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from connectors import JsonLinesSink, Memory, SourceNotFoundError, SparkTable, TextFolder
from pipelines import Pipeline, PipelineError
from pipelines.agreed_schema import Agreement
from pipelines.errors import SchemaDriftError
from pipelines.plan import describe_plan
from pipelines.schema_contract import SchemaContract
from pipelines.session_options import SessionOptions
from pipelines.steps import Deduplicate, NormalizeText, SelectColumns, Split, WordCount
from tests.pipelines.sample_plugins import Learn

ROWS = Memory(rows=[{"text": "one", "label": "a"}])


def shown(pipeline: Pipeline, width: int = 100, runs: Path = Path("runs")) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(describe_plan(pipeline, runs))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_row_steps_fuse_and_table_steps_part_the_passes() -> None:
    steps = (NormalizeText(), WordCount(), Deduplicate(), Split())
    lines = shown(Pipeline(name="news", source=ROWS, steps=steps, train=Learn(epochs=5)))

    assert "etl, pass 1 memory → normalize_text → word_count 1 partition" in lines
    assert [line for line in lines if line.endswith("a shuffle in Spark")] == [
        "deduplicate a shuffle in Spark",
        "split a shuffle in Spark",
    ]
    assert "etl, pass 3 split → Ray's object store Spark's partitions" in lines
    names = ("session", "source", "etl,", "release", "train", "evaluate", "bundle", "report")
    assert [line.split()[0] for line in lines if line.startswith(names)] == [
        *("session", "source", "etl,", "etl,", "etl,", "release", "train", "evaluate", "bundle", "report")
    ]


def test_options_that_differ_from_their_defaults_are_named() -> None:
    lines = shown(Pipeline(name="news", source=ROWS, steps=(Split(),), train=Learn(epochs=5)))
    unchanged = shown(Pipeline(name="news", source=ROWS, steps=(Split(),), train=Learn()))

    assert "epochs: 5" in lines
    assert not [line for line in unchanged if line.startswith("epochs")]


def test_a_pipeline_without_a_trainer_ends_in_its_sink(tmp_path: Path) -> None:
    lines = shown(Pipeline(name="corpus", source=ROWS, sink=JsonLinesSink(path=str(tmp_path / "out"))))

    assert "etl, pass 1 memory → sink 1 partition" in lines
    assert "sink json_lines" in lines
    assert not [line for line in lines if line.startswith(("train", "release", "bundle"))]


def test_a_contract_is_held_before_all_steps_and_its_drifts_are_named(tmp_path: Path) -> None:
    pipeline = Pipeline(name="news", source=ROWS, steps=(NormalizeText(),), schema_contract={"types": "freeze"})
    assert "etl, pass 1 memory → schema_contract → normalize_text → Ray's" in " ".join(shown(pipeline))

    earlier = Agreement.of(pipeline, tmp_path, print)
    assert earlier is not None
    earlier.conform(pa.schema([("text", pa.string())]))
    earlier.keep("run-1")
    lines = " ".join(shown(pipeline, runs=tmp_path))
    assert "schema new columns: evolve, missing columns: evolve, as agreed in" in lines
    assert "types: freeze" in lines
    assert "new column 'label' (string): it is taken" in lines
    with pytest.raises(SchemaDriftError, match="new column 'label'"):
        shown(pipeline.model_copy(update={"schema_contract": SchemaContract(new_columns="freeze")}), runs=tmp_path)


def test_resources_are_as_the_session_asks_for_them() -> None:
    lines = shown(Pipeline(name="x", source=ROWS, session=SessionOptions(executors=3, executor_cores=2)))

    assert "session Ray on this machine, with Spark on it 3 executors, each 2 CPUs and 1.4 GB" in lines


def test_the_columns_that_are_read_are_named() -> None:
    source = Memory(rows=[{"text": "one", "stars": 1, "author": "ann", "place": "oslo"}])
    narrowed = Pipeline(name="x", source=source, steps=(WordCount(), SelectColumns(columns=["stars"])))
    assert "columns: row_id, text, stars; without 2 others" in " ".join(shown(narrowed, width=300))
    every = shown(Pipeline(name="x", source=source), width=300)
    assert "columns: row_id, text, stars, author, place" in " ".join(every)


def test_what_spark_alone_reads_is_planned_without_looking() -> None:
    lines = shown(Pipeline(name="x", source=SparkTable(table="reviews")))

    assert "etl, pass 1 spark_table → Ray's object store Spark's partitions" in lines


def test_what_a_run_would_stumble_on_at_once_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="source: "):
        describe_plan(Pipeline(name="x", source=TextFolder(path=str(tmp_path / "nowhere"))))
    with pytest.raises(PipelineError, match="no source"):
        describe_plan(Pipeline(name="x"))


def test_it_fits_a_hundred_columns(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / ("name" * 20)
    deep.mkdir(parents=True)
    (deep / "a.txt").write_text("text")
    steps = (NormalizeText(), WordCount(), NormalizeText())
    pipeline = Pipeline(name="x", source=TextFolder(path=str(deep)), steps=steps)

    console = Console(width=100)
    with console.capture() as captured:
        console.print(describe_plan(pipeline))
    assert max(len(line) for line in captured.get().splitlines()) <= 100
