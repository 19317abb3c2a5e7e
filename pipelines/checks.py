"""What a run looks at before anything slow starts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.errors import ConnectorError, SourceError
from connectors.source import LABEL, TEXT, PartitionedSource
from pipelines.bundle import scoring_steps
from pipelines.errors import PipelineError, StepError
from pipelines.pipeline import Pipeline
from pipelines.steps import Deduplicate, RowStep, Split
from training.errors import TrainingError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset

    from pipelines.agreed_schema import Agreement

# Known by name, as neither is to be imported for a look.
_HANDED = {("pyspark", "DataFrame"), ("ray", "Dataset")}


def check_before_start(
    pipeline: Pipeline, data: DataFrame | Dataset | None, agreement: Agreement | None = None
) -> None:
    """Find what would make the run fail later on, as far as it can be known without Ray and Spark.

    All that is found is told at once, each fault with the part of the spec that it is in.

    Args:
        pipeline: what is to be run.
        data: the rows that are handed in; None where they are the source's.
        agreement: holds the columns to what was agreed on; None: they are taken as they are.

    Raises:
        PipelineError: there are no rows to work on, or there are two sources of them; or several things are wrong.
        SpecError: the run trains, and a step could not be written into the bundle.
        SchemaDriftError: the columns are not those that were agreed on.
        StepError: a step cannot take the columns that it would get.
        ConnectorError: the source is not there, is empty, or lacks a column that was asked for; or the sink's target
            cannot be reached, or holds data that it must not touch.
        TrainingError: the trainer's encoder is not there.
    """
    if data is not None and pipeline.source is not None:
        raise PipelineError("the pipeline has a source and rows were handed in; give data=, or a source, not both")
    if data is None and pipeline.source is None:
        raise PipelineError("the pipeline has no source; name one, or hand in rows: run(session, data=frame)")
    if data is not None and not any(_root_and_name(kind) in _HANDED for kind in type(data).__mro__):
        raise PipelineError(
            f"data is a {type(data).__module__.partition('.')[0]} {type(data).__name__}, and must be a Spark DataFrame "
            "of the session, or a Ray Dataset; rows in memory (dictionaries, pandas, Arrow) are a source: "
            "Pipeline(source=Memory(rows=…))"
        )
    if pipeline.incremental and (pipeline.sink is None or not isinstance(pipeline.source, PartitionedSource)):
        lacking = "a sink" if pipeline.sink is None else "a source that keeps a position, as those of files do"
        raise PipelineError(f"an incremental pipeline needs {lacking}; add it, or leave incremental: out")
    faults: list[Exception] = []
    with _found("", faults):
        _check_increments(pipeline)
    if isinstance(pipeline.source, PartitionedSource):
        _check_source(pipeline, pipeline.source, agreement, faults)
    if pipeline.sink is not None:
        with _found("sink", faults):
            pipeline.sink.check()
    if pipeline.train is not None:
        with _found("", faults):
            _check_split(pipeline)
        with _found("", faults):
            Pipeline(name=pipeline.name, steps=scoring_steps(pipeline.steps)).to_yaml()
        with _found("train", faults):
            pipeline.train.check()
    if len(faults) == 1:
        raise faults[0]
    if faults:
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise PipelineError(f"the pipeline cannot be run, for {len(faults)} reasons:{lines}")


def _check_source(
    pipeline: Pipeline, source: PartitionedSource, agreement: Agreement | None, faults: list[Exception]
) -> None:
    """Find whether there is something to read, and whether the steps can take it."""
    schema: pa.Schema | None = None
    with _found("source", faults):
        with source.plan() as plan:  # raises where there is nothing to read
            if pipeline.incremental and plan.cursor is None:
                raise SourceError(
                    f"{type(source).__name__} keeps no position, so it cannot be read incrementally; leave "
                    "incremental: out"
                )
        found = source.row_schema()
        schema = agreement.conform(found).output if agreement is not None else found
    if schema is not None:
        with _found("", faults):
            _check_columns(pipeline, schema)


def check_handed(pipeline: Pipeline, schema: pa.Schema, agreement: Agreement | None = None) -> None:
    """Find what would make the run fail on rows that were handed in, by their columns.

    Raises:
        SchemaDriftError: the columns are not those that were agreed on.
        PipelineError: the columns of the text or of the label are not there.
        StepError: a step cannot take the columns that it would get.
    """
    if agreement is not None:
        schema = agreement.conform(schema).output
    if TEXT not in schema.names and pipeline.train is not None:
        raise PipelineError(f"data: {_missing(TEXT, schema)}")
    _check_columns(pipeline, schema, "data")


def _check_columns(pipeline: Pipeline, schema: pa.Schema, section: str = "source") -> None:
    """Follow the columns through the steps as far as they are known; a query may make a label of anything."""
    for position, step in enumerate(pipeline.steps):
        if isinstance(step, RowStep):
            try:
                schema = step.output_schema(schema)
            except Exception as error:
                said = str(error) if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
                if TEXT not in schema.names:
                    said = _missing(TEXT, schema)
                raise StepError(
                    f"steps[{position}]: {step.name} cannot take the columns {', '.join(schema.names)}, as found by "
                    f"giving it no rows: {said}"
                ) from error
        elif not isinstance(step, (Deduplicate, Split)):
            return
    if pipeline.train is not None and LABEL not in schema.names:
        cure = "name the source's column that holds the label (label_column), or give the source labels"
        said = _missing(LABEL, schema, cure if section == "source" else "")
        raise PipelineError(f"{section}: training needs labelled rows, and {said}")


def _check_increments(pipeline: Pipeline) -> None:
    """See to it that the target holds each row once, after any number of runs."""
    source, sink = pipeline.source, pipeline.sink
    if not pipeline.incremental or sink is None or not isinstance(source, PartitionedSource):
        return
    if not sink.accumulates():
        raise PipelineError(
            f"an incremental run gives the sink, {type(sink).__name__}, no more than the new rows, and it would not "
            "keep those that it holds; set its mode: append, or merge where it can; --full-refresh replaces all of them"
        )
    if source.reads_again() and not sink.merges():
        raise PipelineError(
            f"the source, {type(source).__name__}, reads rows of its window for late ones again with each run, and the "
            f"sink, {type(sink).__name__}, adds them once more; write to a table in the mode merge (PostgreSQL, Delta, "
            "Iceberg, Lance), or set the source's late: 0"
        )


def _missing(column: str, schema: pa.Schema, cure: str = "") -> str:
    cure = cure or f"rename the one that holds the {column}, as in frame.withColumnRenamed('…', {column!r})"
    return f"there is no column {column!r}; there is {', '.join(schema.names)}: {cure}"


def _root_and_name(kind: type) -> tuple[str, str]:
    return kind.__module__.partition(".")[0], kind.__name__


def _check_split(pipeline: Pipeline) -> None:
    for position, step in enumerate(pipeline.steps):
        if isinstance(step, Split) and step.column is None and not step.test:
            raise PipelineError(
                f"steps[{position}]: {step.name} with test: 0 keeps no rows to test the model on; give test a share, "
                "like 0.2"
            )


@contextmanager
def _found(section: str, faults: list[Exception]) -> Iterator[None]:
    """Put what is raised inside among the faults, with the section of the spec that it is about in front."""
    try:
        yield
    except (PipelineError, ConnectorError, TrainingError) as error:
        fault = type(error)(f"{section}: {error}") if section else error
        fault.__cause__ = error.__cause__
        faults.append(fault)
