"""How right the operators are where the truth is known: personal data, languages, near copies.

The samples are those of the tests, which hold each figure to its bound.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow as pa

from connectors.source import TEXT
from pipelines import Session
from pipelines.steps.detect_language import DetectLanguage
from pipelines.steps.minhash.near_pairs import near_pairs
from pipelines.steps.minhash.signatures import Bands
from tests.benchmarks.corpus import chinese_sentences, english_sentences
from tests.pipelines.steps.languages import PASSAGES, stretches
from tests.pipelines.steps.minhash.near_copies import near_copy, prose
from tests.pipelines.steps.minhash.test_signatures import similarity
from tests.pipelines.steps.pii.samples import POSITIVES
from tests.pipelines.steps.pii.score import score

CHARACTERS = 50
"""How long the texts are whose language is told."""

ALIKE = 0.85
"""From which Jaccard similarity on pairs are to be found."""


@dataclass(frozen=True)
class Rightness:
    """How right an operator is on one kind of thing.

    Attributes:
        what: the kind.
        there: how many there are.
        others: how many there are that are none, but look like it.
        recall: the share of those that are there that was found.
        precision: the share of what was found that is there.
    """

    what: str
    there: int
    others: int
    recall: float
    precision: float


def truth(cores: int) -> list[dict[str, object]]:
    """Return how right the operators are on each kind of thing."""
    found = [*_personal_data(), *_languages()]
    with Session(executors=1, executor_cores=cores) as session:
        found.append(_near_copies(session))
    return [asdict(one) for one in found]


def _personal_data() -> Iterator[Rightness]:
    for kind in POSITIVES:
        of_kind = score(kind)
        yield Rightness(kind, of_kind.hidden, of_kind.plain, of_kind.recall, of_kind.precision)


def _languages() -> Iterator[Rightness]:
    texts = [(language, text) for language in PASSAGES for text in stretches(language, CHARACTERS)]
    texts += [("en", one) for article in english_sentences()[:300] for one in article if len(one) >= CHARACTERS]
    texts += [("zh", one) for one in chinese_sentences() if len(one) >= CHARACTERS][:3000]
    batch = pa.record_batch({"row_id": [str(row) for row in range(len(texts))], TEXT: [text for _, text in texts]})
    told = DetectLanguage().apply(batch).kept.column("language").to_pylist()
    pairs = [(language, one) for (language, _), one in zip(texts, told, strict=True)]
    for language in PASSAGES:
        there = sum(true == language for true, _ in pairs)
        right = pairs.count((language, language))
        said = sum(one == language for _, one in pairs)
        yield Rightness(f"language {language}", there, len(pairs) - there, right / there, right / max(said, 1))
    right = sum(true == one for true, one in pairs)
    yield Rightness("language, all", len(pairs), 0, right / len(pairs), right / len(pairs))


def _near_copies(session: Session, number: int = 4000) -> Rightness:
    draw = random.Random(2)
    texts = {f"a{row}": prose(draw, 300) for row in range(number)}
    texts |= {name.replace("a", "b"): near_copy(draw, text, draw.uniform(0.5, 0.95)) for name, text in texts.items()}
    wanted = {
        (f"a{row}", f"b{row}") for row in range(number) if similarity(texts[f"a{row}"], texts[f"b{row}"]) >= ALIKE
    }
    frame = session.spark.createDataFrame(list(texts.items()), "row_id string, text string")
    found = {(row["one"], row["other"]) for row in near_pairs(frame, Bands(14, 8, 1), 5, ALIKE).collect()}
    right = len(found & wanted)
    name = f"pairs of Jaccard {ALIKE} on"
    return Rightness(name, len(wanted), number - len(wanted), right / len(wanted), right / max(len(found), 1))
