"""What texts are compared by: the set of their shingles, n words in a row each, as 64-bit hashes.

Case, punctuation and white space make no difference. Words of scripts that are written without spaces are their
characters. A text of fewer words than a shingle has is one shingle of all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.steps.hashing import mixed
from pipelines.steps.pieces import PieceDivider

# Han, kana, Thai, Lao, Khmer and Burmese letters, one by one; of other scripts, runs of letters and digits.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


@dataclass(frozen=True)
class Shingles:
    """The shingles of some texts, one after the other.

    Attributes:
        hashes: of every shingle, as often as it occurs.
        offsets: where each text's begin in `hashes`, and at last where they end; one more than there are texts.
    """

    hashes: NDArray[np.uint64]
    offsets: NDArray[np.int64]


def shingle(texts: pa.Array, size: int) -> Shingles:
    """Return the shingles of texts.

    Args:
        texts: strings without nulls.
        size: how many words a shingle has.
    """
    vocabulary, codes, offsets = _DIVIDER.words(pc.utf8_lower(texts))
    counts = np.maximum(np.diff(offsets) - size + 1, np.minimum(np.diff(offsets), 1))
    starts = np.repeat(offsets[:-1], counts) + _ranges(counts)
    limits = np.repeat(offsets[1:], counts)
    # Behind the last word there is nothing, whose hash is 0.
    of_word = np.append(_word_hashes(vocabulary)[codes], np.uint64(0))
    hashes: NDArray[np.uint64] = np.zeros(len(starts), np.uint64)
    for place in range(size):
        at = np.where(starts + place < limits, starts + place, len(codes))
        hashes = mixed(hashes + of_word[at])
    return Shingles(hashes, np.concatenate(([0], np.cumsum(counts))))


_DIVIDER = PieceDivider(_WORD.findall)


def _word_hashes(vocabulary: pa.Array) -> NDArray[np.uint64]:
    """Return a hash of each word, the same in every process."""
    words = np.array(vocabulary.to_pylist(), object)
    if not words.size:
        return np.zeros(0, np.uint64)
    hashes: NDArray[np.uint64] = pd.util.hash_array(words, categorize=False)
    return hashes


def _ranges(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, … up to each count, one after the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if ends.size else 0) - np.repeat(ends - counts, counts)
