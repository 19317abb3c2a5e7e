"""Our text operators against datatrove's: whether they drop the same texts, and how fast.

    pip install -c constraints.txt -e ".[test,peers]"
    python -m tests.benchmarks.text_etl agree                     # 10,000 documents
    python -m tests.benchmarks.text_etl kernels                   # documents a second, one process each
    python -m tests.benchmarks.text_etl fused --documents 2000000 # one pass, and a pass for each kernel
    python -m tests.benchmarks.text_etl scale --documents 20000   # all steps, on so many and on four times as many
    python -m tests.benchmarks.text_etl truth                     # where what is right is known
    python -m tests.benchmarks.text_etl speed --large 220000      # whole pipelines, on as many cores; ours on 1 GB, too

``agree`` gives each filter the same documents, those of `tests.benchmarks.corpus`, and compares the sets that are
dropped: by filter, as a Jaccard similarity, and by rule. What they differ in is listed with the rules of either side.
There are these classes of differences:

- Chinese in whole or part, judged as English by both. spaCy divides at a full stop, a tilde or a double dash between
  ideographs and we do not, or the other way round, so that such texts have a few words more or less of a few dozen;
  and where NLTK finds no sentence in Chinese we find those that a full stop of Chinese ends (C4).
- Lines that end in the ellipsis sign, which is a finished line for us and not for FineWeb.
- Texts whose share is at a threshold to the third figure, in which one word is divided otherwise: ``//`` is one word
  for spaCy and two for us, and ``Â£52m`` the other way round.

``speed`` is told in `tests.benchmarks.text_etl_speed`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import Session
from pipelines.steps.quality.c4_quality import C4Quality
from pipelines.steps.quality.fineweb_quality import FineWebQuality
from pipelines.steps.quality.gopher_quality import GopherQuality
from pipelines.steps.quality.gopher_repetition import GopherRepetition
from pipelines.steps.step import RowStep
from tests.benchmarks.corpus import Document, documents
from tests.benchmarks.text_etl_shape import fused, scale
from tests.benchmarks.text_etl_speed import FEW, Run, jobs, run_ours, run_theirs, write_corpus
from tests.benchmarks.text_etl_truth import truth

_MAX_WORDS = 3000
"""The most words that either side lets pass: of Gopher's own 100,000, two hundred texts would be most of the corpus."""

_BATCH = 500


@dataclass(frozen=True)
class Peer:
    """A filter of datatrove's, and ours that does the same.

    Attributes:
        ours: our step.
        theirs: makes theirs; returns, for a text, the rule that drops it, or None.
    """

    ours: RowStep
    theirs: Callable[[], Callable[[str], str | None]]


def peers() -> dict[str, Peer]:
    """Return the filters that are compared, by name."""
    return {
        "Gopher quality": Peer(GopherQuality(max_words=_MAX_WORDS), _gopher_quality),
        "Gopher repetition": Peer(GopherRepetition(), _gopher_repetition),
        "C4": Peer(C4Quality(), _c4),
        "FineWeb": Peer(FineWebQuality(), _fineweb),
    }


def agree(count: int, seed: int) -> dict[str, dict[str, Any]]:
    """Return, for each filter, how far the dropped documents are the same."""
    corpus = list(documents(count, seed))
    found: dict[str, dict[str, object]] = {}
    for name, peer in peers().items():
        ours = _by_ours(peer.ours, corpus)
        drop = peer.theirs()
        theirs = [drop(document.text) for document in corpus]
        both = sum(a is not None and b is not None for a, b in zip(ours, theirs, strict=True))
        either = sum(a is not None or b is not None for a, b in zip(ours, theirs, strict=True))
        differences = Counter(
            (a or "kept", b or "kept", document.fault or "sound")
            for document, a, b in zip(corpus, ours, theirs, strict=True)
            if (a is None) != (b is None)
        )
        found[name] = {
            "documents": len(corpus),
            "dropped by both": both,
            "dropped by either": either,
            "jaccard": both / either if either else 1.0,
            "ours": dict(Counter(rule for rule in ours if rule).most_common()),
            "theirs": dict(Counter(rule for rule in theirs if rule).most_common()),
            "differences": [[*rules, times] for rules, times in differences.most_common()],
        }
    return found


def kernels(count: int, seed: int) -> dict[str, dict[str, float]]:
    """Return documents a second of one process, ours and theirs, by filter."""
    corpus = list(documents(count, seed))
    few = corpus[: max(1, count // 10)]
    speeds: dict[str, dict[str, float]] = {}
    for name, peer in peers().items():
        drop = peer.theirs()
        drop(corpus[0].text)
        _by_ours(peer.ours, few)
        begun = time.perf_counter()
        _by_ours(peer.ours, corpus)
        middle = time.perf_counter()
        for document in few:
            drop(document.text)
        ended = time.perf_counter()
        ours, theirs = count / (middle - begun), len(few) / (ended - middle)
        speeds[name] = {"ours": ours, "theirs": theirs, "ratio": ours / theirs}
    return speeds


def speed(
    count: int, large: int, cores: int, seed: int, only: Sequence[str], repeats: int
) -> dict[str, dict[str, object]]:
    """Return how fast whole pipelines are: theirs and ours on `count` documents, ours on `large` of them."""
    found: dict[str, dict[str, object]] = {}
    wanted = {name: job for name, job in jobs(_MAX_WORDS).items() if not only or name in only}
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write_corpus(directory / "few", FEW, cores, seed)
        size = write_corpus(directory / "corpus", count, cores, seed)
        large_size = write_corpus(directory / "large", large, cores * 8, seed) if large else 0
        theirs = {
            name: run_theirs(job.theirs, directory / "corpus", count, cores, repeats) for name, job in wanted.items()
        }
        with Session(executors=1, executor_cores=cores) as session:
            for name, job in wanted.items():
                ours = run_ours(session, job.ours, directory / "corpus", count, repeats)
                found[name] = {
                    "wanted": job.wanted,
                    "ratio": ours.speed / theirs[name].speed,
                    "theirs": asdict(theirs[name]),
                    "ours": asdict(ours),
                    "bytes": size,
                }
                if large:
                    once = run_ours(session, job.ours, directory / "large", large, 1, warm=True)
                    found[name]["ours, large"] = asdict(once)
                    found[name]["large bytes"] = large_size
    return found


def _by_ours(step: RowStep, corpus: Sequence[Document]) -> list[str | None]:
    rules: list[str | None] = []
    for start in range(0, len(corpus), _BATCH):
        some = corpus[start : start + _BATCH]
        ids = [str(document.number) for document in some]
        texts = pa.array([document.text for document in some], pa.string())
        outcome = step.apply(pa.record_batch({"row_id": pa.array(ids), "text": texts}))
        rejected = {row["row_id"]: row["rule"] for row in outcome.rejected.to_pylist()}
        rules += [rejected.get(one) for one in ids]
    return rules


def _verdict(filter_: object) -> Callable[[str], str | None]:
    from datatrove.data import Document as TheirDocument

    def drop(text: str) -> str | None:
        verdict = filter_.filter(TheirDocument(text=text, id="0"))  # type: ignore[attr-defined]
        return None if verdict is True else verdict[1] if isinstance(verdict, tuple) else "dropped"

    return drop


def _gopher_quality() -> Callable[[str], str | None]:
    from datatrove.pipeline.filters import GopherQualityFilter

    return _verdict(GopherQualityFilter(max_doc_words=_MAX_WORDS))


def _gopher_repetition() -> Callable[[str], str | None]:
    from datatrove.pipeline.filters import GopherRepetitionFilter

    return _verdict(GopherRepetitionFilter())


def _c4() -> Callable[[str], str | None]:
    from datatrove.pipeline.filters import C4QualityFilter

    return _verdict(C4QualityFilter())


def _fineweb() -> Callable[[str], str | None]:
    from datatrove.pipeline.filters import FineWebQualityFilter

    return _verdict(FineWebQualityFilter())


def main() -> None:
    """Run a part of the benchmark and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["agree", "kernels", "speed", "fused", "scale", "truth"])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=0, help="documents of the corpus that ours alone runs on")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", action="append", default=[], help="a job by its name; may be given again")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found: object
    if options.part == "agree":
        found = agreement = agree(options.documents, options.seed)
        _print_agreement(agreement)
    elif options.part == "kernels":
        found = speeds = kernels(options.documents, options.seed)
        print("| filter | ours, documents/s | theirs | ratio |\n| --- | --- | --- | --- |")
        for name, of_filter in speeds.items():
            print(f"| {name} | {of_filter['ours']:,.0f} | {of_filter['theirs']:,.0f} | {of_filter['ratio']:.1f} |")
    elif options.part == "fused":
        found = of_passes = fused(options.documents, options.cores)
        times = f"one pass {of_passes['fused']:.2f} s, a pass each {of_passes['chained']:.2f} s"
        print(f"{times}: {of_passes['ratio']:.2f} (wanted 1.8)")
    elif options.part == "scale":
        found = grown = scale(options.documents, options.cores, options.seed)
        print(f"{grown['times']} times the corpus: {grown['ratio']:.2f} times the time (wanted at most 4.4)")
        print(f"and {grown['memory ratio']:.2f} times the memory")
    elif options.part == "truth":
        found = known = truth(options.cores)
        print("| what | there | that looks like it | recall | precision |\n| --- | --- | --- | --- | --- |")
        for one in known:
            print("| {what} | {there:,} | {others:,} | {recall:.3f} | {precision:.3f} |".format(**one))
    else:
        found = runs = speed(
            options.documents, options.large, options.cores, options.seed, options.only, options.repeats
        )
        _print_speed(runs)
    print(json.dumps({"benchmark": f"text_etl {options.part}", "found": found}))


def _print_agreement(found: dict[str, dict[str, Any]]) -> None:
    print("| filter | dropped by both | by either | Jaccard |\n| --- | --- | --- | --- |")
    for name, of_filter in found.items():
        both, either = of_filter["dropped by both"], of_filter["dropped by either"]
        print(f"| {name} | {both:,} | {either:,} | {of_filter['jaccard']:.3f} |")
    for name, of_filter in found.items():
        print(f"\n{name}\n  ours: {of_filter['ours']}\n  theirs: {of_filter['theirs']}")
        for ours, theirs, fault, times in of_filter["differences"]:
            print(f"  {times} of {fault!r}: ours {ours}, theirs {theirs}")


def _print_speed(found: dict[str, dict[str, Any]]) -> None:
    print("| job | side | documents | begins in, s | then, s | documents/s | kept | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, of_job in found.items():
        for side in ("theirs", "ours", "ours, large"):
            if side in of_job:
                run = Run(**of_job[side])
                ratio = f"{of_job['ratio']:.1f} (wanted {of_job['wanted']})" if side == "ours" else ""
                times = f"{run.begin:.2f} | {run.seconds - run.begin:.1f}"
                print(f"| {name} | {side} | {run.documents:,} | {times} | {run.speed:,.0f} | {run.kept:,} | {ratio} |")


if __name__ == "__main__":
    main()
