"""Dividing texts into words where no word has white space in it: each piece between white space once, for all texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_MOST_KNOWN, _LONGEST_KNOWN = 500_000, 24
"""How many pieces are remembered, and how many characters those have at most: some 100 MB in all."""


@dataclass
class PieceDivider:
    """Divides texts by what divides a piece of one; remembers short pieces for the next batch.

    Attributes:
        divide: returns the words of a piece, in order.
    """

    divide: Callable[[str], list[str]]
    _known: dict[str, list[str]] = field(default_factory=dict)

    def words(self, texts: pa.Array) -> tuple[pa.Array, NDArray[np.int32], NDArray[np.int64]]:
        """Return the words of texts: the distinct ones, for each word its place among those, and where texts begin.

        Args:
            texts: strings without nulls.

        Returns:
            Strings; int32; int64, one more than there are texts.
        """
        pieces = pc.utf8_split_whitespace(texts)
        encoded = pieces.flatten().dictionary_encode()
        divided = self._divided(encoded.dictionary.to_pylist())
        numbered = pa.array([word for words in divided for word in words], pa.string()).dictionary_encode()
        sizes = np.fromiter(map(len, divided), np.int64, count=len(divided))
        occurring = np.asarray(encoded.indices, np.int64)
        counts = sizes[occurring]
        ends = np.concatenate(([0], np.cumsum(counts)))
        # The n-th word of a piece is n places behind where the words of that piece begin.
        begins = (np.cumsum(sizes) - sizes)[occurring]
        places = np.repeat(begins - ends[:-1], counts) + np.arange(ends[-1])
        offsets = ends[np.asarray(pieces.offsets, np.int64) - pieces.offsets[0].as_py()]
        return numbered.dictionary, np.asarray(numbered.indices, np.int32)[places], offsets

    def _divided(self, pieces: list[str]) -> list[list[str]]:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        return [self._known.get(piece) or self._anew(piece) for piece in pieces]

    def _anew(self, piece: str) -> list[str]:
        words = self.divide(piece)
        if len(piece) <= _LONGEST_KNOWN:
            self._known[piece] = words
        return words
