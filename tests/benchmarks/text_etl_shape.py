"""What fusing is worth, and how a pipeline of all steps grows with its corpus: work for `tests.benchmarks.text_etl`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from connectors import JsonLines, JsonLinesSink
from connectors.spark import arrow_to_spark_schema
from connectors.spark_batches import map_in_arrow
from pipelines import Pipeline, Session
from pipelines.steps import (
    C4Quality,
    DeduplicateLines,
    DeduplicateNear,
    DetectLanguage,
    FineWebQuality,
    FlaggedWords,
    GopherQuality,
    GopherRepetition,
    Length,
    Lowercase,
    NormalizeText,
    NormalizeUrls,
    RedactPii,
    RowStep,
    StripHtml,
    WordCount,
)
from pipelines.steps.kernel import run_step
from tests.benchmarks.memory import watched
from tests.benchmarks.text_etl_speed import FEW, write_corpus

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

FUSED = (Lowercase(), WordCount(min=2), Length(min=5), NormalizeUrls(), FlaggedWords(words=("forbidden",)))
"""Kernels that take little time, so that what it costs to cross between Spark and Python is seen."""

EVERY = (
    StripHtml(),
    NormalizeText(whitespace=False),
    NormalizeUrls(),
    DetectLanguage(keep=("en",)),
    GopherQuality(),
    GopherRepetition(),
    C4Quality(),
    FineWebQuality(),
    FlaggedWords(words=("forbidden",)),
    RedactPii(),
    DeduplicateLines(),
    DeduplicateNear(),
    Length(min=20),
)
"""The pipeline that a corpus of English is made by."""


def fused(rows: int, cores: int, repeats: int = 3) -> dict[str, Any]:
    """Return how long the same kernels take in one pass and in a pass each, in one job either way, in seconds."""
    schema = arrow_to_spark_schema(pa.schema([("row_id", pa.string()), ("text", pa.string())]))
    with Session(executors=1, executor_cores=cores) as session:
        frame = session.spark.range(rows, numPartitions=cores * 4).selectExpr(
            "cast(id AS string) AS row_id",
            "concat_ws(' ', 'The text of row', id, md5(cast(id AS string)), 'is', md5(cast(-id AS string))) AS text",
        )
        in_one = map_in_arrow(frame, _Kernels(FUSED), schema)
        chained = frame
        for step in FUSED:
            chained = map_in_arrow(chained, _Kernels((step,)), schema)
        seconds: dict[str, list[float]] = {"fused": [], "chained": []}
        for _ in range(repeats + 1):
            seconds["fused"].append(_timed(in_one))
            seconds["chained"].append(_timed(chained))
    found = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    return {**found, "ratio": found["chained"] / found["fused"], "rows": rows, "kernels": [one.name for one in FUSED]}


def scale(count: int, cores: int, seed: int, times: int = 4) -> dict[str, Any]:
    """Return how long `EVERY` takes on a corpus and on one that is as many times as large, and the memory it takes."""
    with tempfile.TemporaryDirectory() as scratch, Session(executors=1, executor_cores=cores) as session:
        directory = Path(scratch)
        for name, size in (("few", FEW), ("one", count), ("more", count * times)):
            write_corpus(directory / name, size, cores * 4, seed)
        _every(session, directory / "few")
        begin = _every(session, directory / "few").seconds
        one, more = _every(session, directory / "one"), _every(session, directory / "more")
    return {
        "documents": count,
        "times": times,
        "begin": begin,
        "one": asdict(one),
        "more": asdict(more),
        "ratio": (more.seconds - begin) / (one.seconds - begin),
        "memory ratio": more.peak_bytes / one.peak_bytes,
    }


@dataclass(frozen=True)
class Measured:
    """What a run took.

    Attributes:
        seconds: of it.
        peak_bytes: the most memory that Ray, Spark and this process had meanwhile, see `tests.benchmarks.memory`.
        kept: rows that came out.
    """

    seconds: float
    peak_bytes: int
    kept: int


def _every(session: Session, corpus: Path) -> Measured:
    with tempfile.TemporaryDirectory() as scratch, watched() as memory:
        pipeline = Pipeline(
            name="every",
            source=JsonLines(path=str(corpus), id_column="id"),
            steps=EVERY,
            sink=JsonLinesSink(path=f"{scratch}/out"),
        )
        begun = time.perf_counter()
        result = pipeline.run(session, runs=Path(scratch) / "runs")
        seconds = time.perf_counter() - begun
    return Measured(seconds, memory.whole, result.accounts[-1].rows_out)


@dataclass(frozen=True)
class _Kernels:
    steps: Sequence[RowStep]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for step in self.steps:
                batch = run_step(step, batch).kept
            yield batch


def _timed(frame: DataFrame) -> float:
    begun = time.perf_counter()
    frame.write.format("noop").mode("overwrite").save()
    return time.perf_counter() - begun
