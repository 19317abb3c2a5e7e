"""MinHash signatures, and the keys of their bands.

The share of hash functions by which the least hash of two texts' shingles is the same estimates the Jaccard similarity
of the shingles (Broder 1997). A band is the least hashes by a few of the functions; two texts are candidates if they
have a band in common, which at similarity s they have with probability 1 - (1 - s^rows)^bands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipelines.steps.hashing import mixed
from pipelines.steps.minhash.shingles import Shingles

_CHUNK = 16_384
"""How many shingles are hashed at once: they stay in a core's cache while all functions go over them."""


@dataclass(frozen=True)
class Bands:
    """How signatures are made.

    Attributes:
        bands: how many a signature has.
        rows: how many hash functions each has.
        seed: chooses the functions.
    """

    bands: int
    rows: int
    seed: int

    def keys(self, shingles: Shingles) -> NDArray[np.int64]:
        """Return the key of each band of each text, texts x bands; of no use for a text without shingles."""
        texts = len(shingles.offsets) - 1
        least = np.empty((texts, self.bands * self.rows), np.uint64)
        for first, last in _chunks(shingles.offsets):
            begin, end = shingles.offsets[first], shingles.offsets[last]
            filled = np.flatnonzero(np.diff(shingles.offsets[first : last + 1]))
            if not filled.size:
                continue
            hashes = shingles.hashes[begin:end]
            starts = shingles.offsets[first:last][filled] - begin
            for number, (factor, summand) in enumerate(self._functions):
                least[first + filled, number] = np.minimum.reduceat(hashes * factor + summand, starts)
        keys: NDArray[np.uint64] = np.zeros((texts, self.bands), np.uint64)
        for row in range(self.rows):
            # The high bits are the random ones of a product.
            keys = mixed(keys + (least[:, row :: self.rows] >> np.uint64(16)))
        return keys.view(np.int64)

    @cached_property
    def _functions(self) -> list[tuple[np.uint64, np.uint64]]:
        """Multiply-add modulo 2^64 with an odd factor (Dietzfelbinger et al. 1997)."""
        draw = np.random.default_rng(self.seed).integers(0, 2**64, (self.bands * self.rows, 2), np.uint64)
        return [(factor | np.uint64(1), summand) for factor, summand in draw]


def _chunks(offsets: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return ranges of whole texts, of about `_CHUNK` shingles each."""
    chunks: list[tuple[int, int]] = []
    first, texts = 0, len(offsets) - 1
    while first < texts:
        last = int(np.searchsorted(offsets, offsets[first] + _CHUNK, side="right")) - 1
        last = min(max(last, first + 1), texts)
        chunks.append((first, last))
        first = last
    return chunks
