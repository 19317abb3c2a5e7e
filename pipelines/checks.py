"""What a run looks at before anything slow starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.source import LABEL, PartitionedSource
from pipelines.bundle import scoring_steps
from pipelines.errors import PipelineError
from pipelines.pipeline import Pipeline
from pipelines.steps import Deduplicate, RowStep, Split

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from ray.data import Dataset


def check_before_start(pipeline: Pipeline, data: DataFrame | Dataset | None) -> None:
    """Find what would make the run fail later on, as far as it can be known without Ray and Spark.

    Raises:
        PipelineError: there are no rows to work on, or there are two sources of them.
        SpecError: the run trains, and a step could not be written into the bundle.
        ConnectorError: the source is not there, is empty, or lacks a column that was asked for.
        TrainingError: the trainer's encoder is not there.
    """
    if data is not None and pipeline.source is not None:
        raise PipelineError("the pipeline has a source and rows were handed in; give data=, or a source, not both")
    if data is None and pipeline.source is None:
        raise PipelineError("the pipeline has no source; name one, or hand in rows: run(session, data=frame)")
    if pipeline.train is not None:
        Pipeline(name=pipeline.name, steps=scoring_steps(pipeline.steps)).to_yaml()
        pipeline.train.check()
    if isinstance(pipeline.source, PartitionedSource):
        _check_label(pipeline, pipeline.source)
        with pipeline.source.plan():
            pass  # raises where there is nothing to read


def _check_label(pipeline: Pipeline, source: PartitionedSource) -> None:
    """Follow the columns through the steps as far as they are known; a query may make a label of anything."""
    schema = source.row_schema()
    for step in pipeline.steps:
        if isinstance(step, RowStep):
            schema = step.output_schema(schema)
        elif not isinstance(step, (Deduplicate, Split)):
            return
    if pipeline.train is not None and LABEL not in schema.names:
        raise PipelineError(
            f"training needs labelled rows, and there is no column {LABEL!r}; there is {', '.join(schema.names)}: name "
            "the source's column that holds the label (label_column), or give the source labels"
        )
