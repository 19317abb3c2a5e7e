"""What can be known before Ray and Spark start is found before, all at once, each fault with its place in the spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from connectors import (
    Csv,
    DeltaTableSink,
    EmptySourceError,
    Memory,
    ParquetSink,
    SourceNotFoundError,
    SourceSchemaError,
    TextFolder,
)
from connectors.errors import ConnectorError
from pipelines import Pipeline, PipelineError, SpecError
from pipelines.checks import check_before_start, check_handed
from pipelines.errors import StepError
from pipelines.steps import ArrowFunction, MapLabels, NormalizeText, Split, Sql
from tests.pipelines.sample_plugins import Learn
from training.errors import EncoderError
from training.trainer import Trainer

ROWS = Memory(rows=[{"text": "one", "label": "a"}])
UNLABELLED = Memory(rows=[{"text": "one", "topic": "a"}])


class Unready(Trainer):
    def check(self) -> None:
        raise EncoderError("there is no such encoder")

    def fit(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("no test trains this")


class ReadsAgain(TextFolder):
    """Has a window for late rows, which it reads again with each run."""

    def reads_again(self) -> bool:
        return True


def failing(batch: pa.RecordBatch) -> pa.RecordBatch:
    raise ZeroDivisionError("by zero")


def refused(**fields: Any) -> Exception:
    with pytest.raises((PipelineError, ConnectorError, EncoderError)) as raised:
        check_before_start(Pipeline(name="x", **fields), None)
    return raised.value


def passes(pipeline: Pipeline) -> bool:
    check_before_start(pipeline, None)
    return True


def test_what_is_in_order_passes() -> None:
    assert passes(Pipeline(name="x", source=ROWS, steps=(NormalizeText(), Split()), train=Learn()))


def test_rows_that_are_read_again_want_a_sink_that_merges_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a text")
    options: dict[str, Any] = {"source": ReadsAgain(path=str(tmp_path / "in")), "incremental": True}
    appending = ParquetSink(path=str(tmp_path / "out"), mode="append")
    assert "ParquetSink, adds them once more; write to a table in the mode merge" in str(
        refused(**options, sink=appending)
    )
    assert passes(Pipeline(name="x", **options, sink=DeltaTableSink(path=str(tmp_path / "out"), mode="merge")))
    assert passes(Pipeline(name="x", **{**options, "incremental": False}, sink=appending))


@pytest.mark.parametrize("mode", ["error", "overwrite"])
def test_an_incremental_run_wants_a_sink_that_keeps_what_it_holds(tmp_path: Path, mode: Any) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a text")
    options: dict[str, Any] = {"source": TextFolder(path=str(tmp_path / "in"))}
    sink = ParquetSink(path=str(tmp_path / "out"), mode=mode)
    assert "ParquetSink, no more than the new rows, and it would not keep" in str(
        refused(**options, sink=sink, incremental=True)
    )
    assert passes(Pipeline(name="x", **options, sink=sink))


def test_a_missing_path_is_the_sources_fault(tmp_path: Path) -> None:
    (tmp_path / "reviews").mkdir()
    error = refused(source=TextFolder(path=str(tmp_path / "revews")))

    assert isinstance(error, SourceNotFoundError)
    assert str(error).startswith(f"source: {tmp_path}/revews: 'revews' does not exist; did you mean 'reviews'?")


def test_so_is_an_empty_directory(tmp_path: Path) -> None:
    error = refused(source=TextFolder(path=str(tmp_path)))

    assert isinstance(error, EmptySourceError)
    assert str(error) == f"source: {tmp_path} holds no file that matches '**/*.txt'; the directory is empty"


def test_and_a_package_that_is_not_installed() -> None:
    assert str(refused(source=TextFolder(path="package:corpus_of_nobody/data"))) == (
        "source: package:corpus_of_nobody/data: the package 'corpus_of_nobody' is not installed here; install it with: "
        "pip install corpus_of_nobody"
    )


def test_an_absent_label_column_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,topic\nhello,a\n")
    error = refused(source=Csv(path=str(tmp_path / "rows.csv"), label_column="kind"), steps=(Split(),), train=Learn())

    assert isinstance(error, SourceSchemaError)
    assert "has no column 'kind' for label; it has: text, topic" in str(error)


def test_rows_without_labels_cannot_be_trained_on() -> None:
    message = str(refused(source=UNLABELLED, steps=(NormalizeText(), Split()), train=Learn()))

    assert message.startswith("source: training needs labelled rows, and there is no column 'label'; there is row_id, ")


def test_a_query_may_make_the_label() -> None:
    steps = (Sql(query="select *, topic as label from rows"), Split())

    assert passes(Pipeline(name="x", source=UNLABELLED, steps=steps, train=Learn()))


def test_a_step_that_cannot_take_its_columns_is_named_by_its_place() -> None:
    error = refused(source=UNLABELLED, steps=(NormalizeText(), MapLabels(mapping={"a": "b"})))

    assert isinstance(error, StepError)
    assert str(error).startswith("steps[1]: map_labels cannot take the columns row_id, text, topic")


def test_and_one_that_fails_without_rows() -> None:
    assert "by zero" in str(refused(source=ROWS, steps=(ArrowFunction(function=failing),)))


def test_a_trainer_says_what_it_lacks() -> None:
    error = refused(source=ROWS, steps=(Split(),), train=Unready())

    assert isinstance(error, EncoderError)
    assert str(error) == "train: there is no such encoder"


def test_a_model_that_could_not_be_tested_is_not_trained() -> None:
    assert "steps[1]: split with test: 0" in str(
        refused(source=ROWS, steps=(NormalizeText(), Split(test=0.0)), train=Learn())
    )


def test_a_step_that_cannot_go_into_the_bundle_is_refused() -> None:
    error = refused(source=ROWS, steps=(ArrowFunction(function=lambda batch: batch), Split()), train=Learn())

    assert isinstance(error, SpecError)
    assert "steps[0].function" in str(error)


def test_a_sink_that_holds_data_is_refused_where_its_mode_says_so(tmp_path: Path) -> None:
    (tmp_path / "part-0.parquet").write_bytes(b"")
    error = refused(source=ROWS, sink=ParquetSink(path=str(tmp_path)))
    assert str(error).startswith(f"sink: {tmp_path} holds data (part-0.parquet, 1 entries in all); choose another")
    assert passes(Pipeline(name="x", source=ROWS, sink=ParquetSink(path=str(tmp_path), mode="overwrite")))
    assert [one.name for one in tmp_path.iterdir()] == ["part-0.parquet"]
    assert passes(Pipeline(name="x", source=ROWS, sink=ParquetSink(path=str(tmp_path / "new"))))
    assert not (tmp_path / "new").exists()


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    error = refused(source=TextFolder(path=str(tmp_path)), steps=(Split(test=0.0),), train=Unready())

    assert type(error) is PipelineError
    head, *faults = str(error).splitlines()
    assert head == "the pipeline cannot be run, for 3 reasons:"
    assert [fault.split(":")[0].strip() for fault in faults] == ["source", "steps[0]", "train"]


def test_rows_come_from_one_place() -> None:
    handed: Any = object()
    with pytest.raises(PipelineError, match="a source and rows were handed in"):
        check_before_start(Pipeline(name="x", source=ROWS), handed)
    with pytest.raises(PipelineError, match="no source; name one, or hand in rows"):
        check_before_start(Pipeline(name="x"), None)


class TestHandedRows:
    def test_of_another_kind_are_refused_with_what_to_do(self) -> None:
        handed: Any = pd.DataFrame({"text": ["one"]})
        with pytest.raises(PipelineError, match=r"data is a pandas DataFrame, and must be .*=Memory\(rows=…\)"):
            check_before_start(Pipeline(name="x"), handed)

    def test_must_have_a_text_where_a_step_reads_it(self) -> None:
        schema = pa.schema([("row_id", pa.string()), ("review", pa.string())])
        with pytest.raises(StepError, match=r"no column 'text'; there is row_id, review: rename the one"):
            check_handed(Pipeline(name="x", steps=(NormalizeText(),)), schema)
        check_handed(Pipeline(name="x"), schema)

    @pytest.mark.parametrize("missing", ["text", "label"])
    def test_must_have_text_and_label_where_they_are_trained_on(self, missing: str) -> None:
        schema = pa.schema(
            [("row_id", pa.string()), *((one, pa.string()) for one in ("text", "label") if one != missing)]
        )
        with pytest.raises(PipelineError, match=rf"data: .*no column '{missing}'; there is row_id"):
            check_handed(Pipeline(name="x", steps=(Split(),), train=Learn()), schema)
