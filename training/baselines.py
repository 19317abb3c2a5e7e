"""What simple classifiers come to on the same rows, so that a number means something."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import Dataset
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from training.errors import LabelError
from training.evaluation import Evaluation, score
from training.labels import LABEL, check_known, count_labels
from training.preparation import quiet
from training.rows import ROW_ID, TEXT

MAX_ROWS = 100_000
"""Rows of each split that a baseline uses at most, so that it fits on one core and in some 4 GB; more would move a
linear model little."""

CHINESE_SHARE = 0.3
"""Share of letters in scripts without spaces from which texts are cut into characters instead of words: Chinese texts
with Latin names and numbers in them stay well above, and other texts with a few quotations well below."""

_SCRIPT_ROWS = 1_000
"""Texts that are looked at to find out the script."""

_UNSPACED = (
    (0x3040, 0x30FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2FA1F),
    (0x0E00, 0x0E7F),
)
"""Kana, Han with its extensions and compatibility forms, and Thai."""


@dataclass(frozen=True)
class Baseline:
    """What a simple classifier comes to.

    Attributes:
        name: what it is, e.g. ``TF-IDF (characters 1-3) + logistic regression``; says so when it saw a sample only.
        evaluation: how good it is on the test rows.
        train_rows: how many rows it was fitted on.
        sampled: whether that, or the test rows, are a sample, because there are more than `MAX_ROWS`.
    """

    name: str
    evaluation: Evaluation
    train_rows: int
    sampled: bool


def fit_baselines(train: Dataset, test: Dataset, labels: tuple[str, ...], seed: int) -> tuple[Baseline, ...]:
    """Fit the baselines on the training rows and score them on the test rows, in one Ray task of one CPU.

    They are the majority class (with the training shares as probabilities), and logistic regression over TF-IDF of word
    1- and 2-grams, or of character 1- to 3-grams where the script has no spaces.

    Args:
        train: rows with ``row_id``, ``text`` and ``label``.
        test: the same columns.
        labels: the classes.
        seed: decides which rows are sampled where there are too many.

    Raises:
        LabelError: a split has no rows, or a label that is not among the classes.
    """
    with quiet(train, test):
        for split, dataset in (("training", train), ("test", test)):
            check_known(count_labels(dataset, split=split), labels, split=split)
        parts = [(dataset.to_arrow_refs(), min(1.0, MAX_ROWS / max(dataset.count(), 1))) for dataset in (train, test)]
        found: tuple[Baseline, ...] = ray.get(_fit.remote(*parts[0], *parts[1], labels, seed))
    return found


def sample(blocks: Iterable[pa.Table], share: float, seed: int) -> pa.Table:
    """Return about a share of the rows, chosen by their ids and the seed alone, in the order of their ids.

    Args:
        blocks: tables with ``row_id``, ``text`` and ``label``.
        share: one keeps all.
        seed: another seed gives other rows.
    """
    kept = []
    for block in blocks:
        ids = block.column(ROW_ID).to_pylist()
        chosen = pa.array([share >= 1 or _chance(row_id, seed) < share for row_id in ids], pa.bool_())
        kept.append(block.select([ROW_ID, TEXT, LABEL]).filter(chosen))
    return pa.concat_tables(kept).sort_by(ROW_ID)


def lacks_spaces(texts: Iterable[str]) -> bool:
    """Tell whether the letters of some texts are mostly of scripts that are written without spaces."""
    letters = [ord(character) for text in texts for character in text if character.isalpha()]
    unspaced = sum(any(first <= letter <= last for first, last in _UNSPACED) for letter in letters)
    return unspaced > CHINESE_SHARE * len(letters)


def fit_one(
    name: str,
    classifier: Pipeline | DummyClassifier,
    train: pa.Table,
    test: pa.Table,
    labels: tuple[str, ...],
    sampled: bool,
) -> Baseline:
    """Fit a scikit-learn classifier of texts and score it.

    Args:
        name: what to call it.
        classifier: takes a list of texts.
        train: rows to fit on.
        test: rows to score on.
        labels: the classes; one that the training rows lack gets probability zero.
        sampled: whether the rows are a sample.
    """
    classifier.fit(train.column(TEXT).to_pylist(), train.column(LABEL).to_pylist())
    said: NDArray[np.float64] = classifier.predict_proba(test.column(TEXT).to_pylist())
    probabilities = np.zeros((test.num_rows, len(labels)))
    probabilities[:, [labels.index(label) for label in classifier.classes_]] = said
    shown = f"{name}, on a sample" if sampled else name
    return Baseline(shown, score(test.column(LABEL).to_pylist(), probabilities, labels), train.num_rows, sampled)


def make_linear(texts: Sequence[str], seed: int) -> tuple[str, Pipeline]:
    """Return the name and the TF-IDF baseline that suit the script of some texts.

    Logarithmic counts, and pieces that occur once left out, because both did a little better than scikit-learn's
    defaults on BBC news and on Chinese reviews, at a third of the size; C=4 likewise.
    """
    spaced = not lacks_spaces(texts[:_SCRIPT_ROWS])
    rare = 2 if len(texts) > _SCRIPT_ROWS else 1
    vectors = TfidfVectorizer(
        analyzer="word" if spaced else "char",
        ngram_range=(1, 2) if spaced else (1, 3),
        token_pattern=r"(?u)\b\w+\b" if spaced else None,
        sublinear_tf=True,
        min_df=rare,
    )
    name = f"TF-IDF ({'words 1-2' if spaced else 'characters 1-3'}) + logistic regression"
    return name, make_pipeline(vectors, LogisticRegression(C=4.0, max_iter=1_000, random_state=seed))


@ray.remote(num_cpus=1)
def _fit(
    train_blocks: list[ray.ObjectRef[pa.Table]],
    train_share: float,
    test_blocks: list[ray.ObjectRef[pa.Table]],
    test_share: float,
    labels: tuple[str, ...],
    seed: int,
) -> tuple[Baseline, ...]:
    train = sample((ray.get(block) for block in train_blocks), train_share, seed)
    test = sample((ray.get(block) for block in test_blocks), test_share, seed)
    if not train.num_rows or not test.num_rows:
        raise LabelError("a baseline needs rows to fit on and rows to score on; look at the split's shares")
    sampled = min(train_share, test_share) < 1
    name, linear = make_linear(train.column(TEXT).to_pylist(), seed)
    return (
        fit_one("majority class", DummyClassifier(strategy="prior"), train, test, labels, sampled),
        fit_one(name, linear, train, test, labels, sampled),
    )


def _chance(row_id: str, seed: int) -> float:
    digest = hashlib.blake2b(f"baseline:{seed}:{row_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
