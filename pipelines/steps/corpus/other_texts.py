"""Texts beside the pipeline's own that a step compares with: an evaluation set, an earlier corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.errors import ConnectorError
from connectors.files.paths import find_files
from connectors.source import ROW_ID, TEXT, BadRow, PartitionedSource
from pipelines.errors import StepError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TEXTS = pa.schema([pa.field(ROW_ID, pa.string(), nullable=False), pa.field(TEXT, pa.string(), nullable=False)])


def file_source(step: str, path: str, text_column: str) -> PartitionedSource:
    """Return the source of the texts in files, by the end of the first one's name.

    Args:
        step: the step's name, for the message.
        path: a file, a directory or a glob, as the file sources take it.
        text_column: the column that is the text, but in ``.txt``, of which each line is one.

    Raises:
        StepError: there are none, or their names end in nothing known.
    """
    from connectors import Csv, JsonLines, ParquetSource, TextLines

    try:
        first = find_files(path)[0].name
    except ConnectorError as error:
        raise StepError(f"{step}: {error}") from error
    suffixes = PurePosixPath(first).suffixes
    kind = next((suffix for suffix in reversed(suffixes) if suffix in _KNOWN), None)
    if kind == ".parquet":
        return ParquetSource(path=path, text_column=text_column, on_bad_rows="fail")
    if kind == ".csv":
        return Csv(path=path, text_column=text_column, on_bad_rows="fail")
    if kind == ".txt":
        return TextLines(path=path, on_bad_rows="fail")
    if kind is not None:
        return JsonLines(path=path, text_column=text_column, on_bad_rows="fail")
    raise StepError(f"{step}: {first} is no file of texts by its name; it should end in one of: {', '.join(_KNOWN)}")


_KNOWN = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".txt")


def texts_here(step: str, source: PartitionedSource) -> Iterator[pa.RecordBatch]:
    """Yield the texts of a source, `TEXTS`, read in this process.

    Raises:
        StepError: they cannot be read.
    """
    try:
        with source.plan(columns=[TEXT]) as plan:
            for partition in plan.partitions:
                yield from _texts(source.scan(partition))
    except ConnectorError as error:
        raise StepError(f"{step}: {error}") from error


def texts_in_spark(step: str, source: PartitionedSource, spark: SparkSession) -> DataFrame:
    """Return the texts of a source of files, `TEXTS`, read in Spark.

    Raises:
        StepError: the source says no.
    """
    from connectors.spark import arrow_to_spark_schema, partitions_frame
    from connectors.spark_batches import map_in_arrow

    try:
        # Files hold no snapshot open, so that they can be read once the plan is over.
        with source.plan(columns=[TEXT]) as plan:
            frame = partitions_frame(spark, plan.partitions)
    except ConnectorError as error:
        raise StepError(f"{step}: {error}") from error
    return map_in_arrow(frame, _Read(source), arrow_to_spark_schema(TEXTS))


@dataclass(frozen=True)
class _Read:
    source: PartitionedSource

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from connectors.spark import read_partitions

        yield from _texts(read_partitions(self.source, batches))


def _texts(items: Iterable[pa.RecordBatch | BadRow]) -> Iterator[pa.RecordBatch]:
    for item in items:
        assert not isinstance(item, BadRow)  # the source fails on them
        yield item.select(TEXTS.names).cast(TEXTS)
