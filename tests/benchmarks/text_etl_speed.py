"""Work for a whole pipeline, from JSON lines to JSON lines: ours on Spark, datatrove's local executor on as many cores.

Each side reads the same files, one for each core, and writes what it keeps. What it costs to begin at all is measured
by a corpus of a few documents, before, and told apart: starting processes and importing there, starting jobs here (the
session is up in either case of ours). Ours is run once before, as the JVM compiles what it does while it does it;
theirs starts new processes each time. Then either side runs ``--repeats`` times, and the medians are compared.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from connectors import JsonLines, JsonLinesSink
from pipelines import Pipeline, Session
from pipelines.steps import (
    C4Quality,
    DeduplicateNear,
    FineWebQuality,
    GopherQuality,
    GopherRepetition,
    NormalizeText,
    RedactPii,
    Step,
)
from tests.benchmarks.corpus import documents

FEW = 20
"""Documents of the corpus that tells what it costs to begin."""

_REPAIR = NormalizeText(
    straighten_quotes=False,
    fold_width=False,
    control_characters=False,
    invisible_characters=False,
    form=None,
    whitespace=False,
)
"""What datatrove's formatter does by default."""

Theirs = Callable[[Path, Path, int], None]
"""Reads the files of a directory, and writes into another one, by as many workers."""


@dataclass(frozen=True)
class Job:
    """What both sides do.

    Attributes:
        ours: the steps.
        theirs: runs theirs.
        wanted: how many times as fast ours is to be.
    """

    ours: tuple[Step, ...]
    theirs: Theirs
    wanted: float


def jobs(max_words: int) -> dict[str, Job]:
    """Return the jobs that are compared, by name."""
    rules = (GopherQuality(max_words=max_words), GopherRepetition(), C4Quality(), FineWebQuality())
    return {
        "rule filters": Job(rules, lambda *places: _filter(*places, max_words=max_words), 10.0),
        "ftfy and PII": Job((_REPAIR, RedactPii(kinds=("email", "ip"))), _clean, 1.5),
        "MinHash": Job((DeduplicateNear(),), _minhash, 6.0),
    }


@dataclass(frozen=True)
class Run:
    """How long a side took.

    Attributes:
        documents: how many it was given.
        begin: seconds that a corpus of `FEW` takes.
        seconds: of the whole, with that; the median of the runs.
        kept: how many documents it wrote.
    """

    documents: int
    begin: float
    seconds: float
    kept: int

    @property
    def speed(self) -> float:
        """Documents a second, what it takes to begin left out."""
        return self.documents / max(self.seconds - self.begin, 1e-9)


def write_corpus(directory: Path, count: int, files: int, seed: int) -> int:
    """Write a corpus of `count` documents into as many files, and return its size in bytes of text."""
    directory.mkdir(parents=True)
    bounds = [-(-number * count // files) for number in range(files + 1)]
    # Processes of their own and not forks: the caller may have a session, and threads.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        parts = [
            pool.submit(_write_part, directory / f"part-{number:03d}.jsonl", first, last - first, seed)
            for number, (first, last) in enumerate(pairwise(bounds))
        ]
        return sum(part.result() for part in parts)


def _write_part(path: Path, first: int, count: int, seed: int) -> int:
    size = 0
    with path.open("w", encoding="utf-8") as out:
        for document in documents(count, seed, first):
            row = {"id": str(document.number), "text": document.text}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            size += len(document.text.encode())
    return size


def run_ours(
    session: Session, steps: Sequence[Step], corpus: Path, count: int, repeats: int, warm: bool = False
) -> Run:
    """Run our pipeline over a corpus, once more than that if the session is not warm."""

    def timed(source: Path) -> tuple[float, int]:
        with tempfile.TemporaryDirectory() as scratch:
            pipeline = Pipeline(
                name="speed",
                source=JsonLines(path=str(source), id_column="id"),
                steps=tuple(steps),
                sink=JsonLinesSink(path=f"{scratch}/out"),
            )
            begun = time.perf_counter()
            pipeline.run(session, runs=Path(scratch) / "runs")
            return time.perf_counter() - begun, _lines(Path(scratch) / "out")

    few = corpus.parent / "few"
    if not warm:
        timed(few)
        timed(corpus)
    return _median(timed, few, corpus, count, repeats)


def run_theirs(work: Theirs, corpus: Path, count: int, workers: int, repeats: int) -> Run:
    """Run datatrove's pipeline over a corpus."""

    def timed(source: Path) -> tuple[float, int]:
        scratch = Path(tempfile.mkdtemp())
        try:
            begun = time.perf_counter()
            work(source, scratch, workers)
            return time.perf_counter() - begun, _lines(scratch / "out")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    return _median(timed, corpus.parent / "few", corpus, count, repeats)


def _median(timed: Callable[[Path], tuple[float, int]], few: Path, corpus: Path, count: int, repeats: int) -> Run:
    begin = median(timed(few)[0] for _ in range(repeats))
    runs = [timed(corpus) for _ in range(repeats)]
    assert len({kept for _, kept in runs}) == 1, "the runs kept different documents"
    return Run(count, begin, median(seconds for seconds, _ in runs), runs[0][1])


def _lines(directory: Path) -> int:
    return sum(sum(1 for _ in path.open("rb")) for path in directory.rglob("*.jsonl"))


def _execute(scratch: Path, name: str, steps: list[object], tasks: int, workers: int) -> None:
    from datatrove.executor import LocalPipelineExecutor

    LocalPipelineExecutor(steps, tasks=tasks, workers=workers, logging_dir=str(scratch / "logs" / name)).run()


def _filter(source: Path, scratch: Path, workers: int, max_words: int) -> None:
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    filters = [
        GopherQualityFilter(max_doc_words=max_words),
        GopherRepetitionFilter(),
        C4QualityFilter(),
        FineWebQualityFilter(),
    ]
    steps = [JsonlReader(str(source)), *filters, JsonlWriter(str(scratch / "out"), compression=None)]
    _execute(scratch, "filter", steps, workers, workers)


def _clean(source: Path, scratch: Path, workers: int) -> None:
    from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    steps = [
        JsonlReader(str(source)),
        FTFYFormatter(),
        PIIFormatter(),
        JsonlWriter(str(scratch / "out"), compression=None),
    ]
    _execute(scratch, "clean", steps, workers, workers)


def _minhash(source: Path, scratch: Path, workers: int) -> None:
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter

    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    signatures, buckets, removed = (str(scratch / name) for name in ("signatures", "buckets", "removed"))
    read = JsonlReader(str(source))
    _execute(scratch, "1", [read, MinhashDedupSignature(signatures, config=config)], workers, workers)
    _execute(scratch, "2", [MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets, workers)
    _execute(scratch, "3", [MinhashDedupCluster(buckets, removed, config=config)], 1, 1)
    write = JsonlWriter(str(scratch / "out"), compression=None)
    _execute(scratch, "4", [read, MinhashDedupFilter(removed), write], workers, workers)
