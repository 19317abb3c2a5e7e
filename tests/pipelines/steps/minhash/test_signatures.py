from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from pipelines.steps.minhash.shingles import Shingles, shingle
from pipelines.steps.minhash.signatures import Bands
from tests.pipelines.steps.minhash.near_copies import near_copy, prose


def sets_of(shingles: Shingles) -> list[set[int]]:
    return [set(part.tolist()) for part in np.split(shingles.hashes, shingles.offsets[1:-1])]


def similarity(one: str, other: str, size: int = 5) -> float:
    first, second = sets_of(shingle(pa.array([one, other]), size))
    return len(first & second) / len(first | second)


def test_case_punctuation_and_white_space_make_no_difference() -> None:
    first, second = sets_of(shingle(pa.array(["The cat, sat\non the mat!", "the CAT sat — on the mat"]), 5))
    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize(
    ("text", "shingles"), [("", 0), ("...", 0), ("one", 1), ("a b c d e", 1), ("a b c d e f", 2), ("今天下雨了吗", 2)]
)
def test_a_text_has_as_many_shingles_as_places_for_them(text: str, shingles: int) -> None:
    assert len(shingle(pa.array([text]), 5).hashes) == shingles


def test_shingles_are_those_of_the_text_whatever_is_beside_it() -> None:
    texts = ["a b c d e f", "", "b c d e f g h", "x"]
    together = sets_of(shingle(pa.array(texts), 5))
    assert together == [sets_of(shingle(pa.array([text]), 5))[0] for text in texts]
    assert len(together[0] & together[2]) == 1


def test_band_keys_are_those_of_the_text_whatever_is_beside_it() -> None:
    draw = random.Random(0)
    texts = [prose(draw, draw.randint(1, 3000)) for _ in range(40)]
    bands = Bands(bands=14, rows=8, seed=1)
    together = bands.keys(shingle(pa.array(texts), 5))
    alone = np.concatenate([bands.keys(shingle(pa.array([text]), 5)) for text in texts])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize(("low", "high", "least", "most"), [(0.88, 1.0, 0.98, 1.0), (0.3, 0.5, 0.0, 0.2)])
def test_pairs_share_a_band_as_often_as_the_formula_says(low: float, high: float, least: float, most: float) -> None:
    draw = random.Random(1)
    originals = [prose(draw, 400) for _ in range(300)]
    copies = [near_copy(draw, text, draw.uniform(low, high)) for text in originals]
    keys = [Bands(14, 8, 1).keys(shingle(pa.array(texts), 5)) for texts in (originals, copies)]
    together = (keys[0] == keys[1]).any(axis=1)
    alike = [similarity(*pair) for pair in zip(originals, copies, strict=True)]
    expected = np.mean([1 - (1 - s**8) ** 14 for s in alike])
    assert least <= together.mean() <= most
    assert together.mean() == pytest.approx(expected, abs=0.06)
