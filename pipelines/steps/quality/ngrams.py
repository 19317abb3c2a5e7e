"""Bounds of how much of a text is in repeated n-grams, found for all texts of a batch at once.

An n-gram is stood for by a 64-bit hash of its words and its text, which Arrow then numbers. Two that differ share a
hash once in 10^19 pairs, and a bound is then too high, which costs time and changes no verdict.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.steps.quality.words import Words

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number whose bits look random: 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""


def most_in_one_ngram(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, the most characters that all occurrences of one of its commonest n-grams have together.

    Spaces between words are counted.
    """
    most = np.zeros(len(words.per_text), np.int64)
    starts, texts, numbers = _ngrams(words, n)
    if not starts.size:
        return most
    times = np.bincount(numbers)[numbers]
    edges = np.concatenate(([0], np.cumsum(words.lengths[words.codes])))
    characters = times * (edges[starts + n] - edges[starts] + n - 1)
    begins = np.flatnonzero(np.diff(texts, prepend=-1))
    commonest = np.repeat(np.maximum.reduceat(times, begins), np.diff(begins, append=starts.size))
    most[texts[begins]] = np.maximum.reduceat(np.where(times == commonest, characters, 0), begins)
    return most


def most_in_repeated_ngrams(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in words of n-grams that have occurred before in it."""
    starts, _, numbers = _ngrams(words, n)
    if not starts.size:
        return np.zeros(len(words.per_text), np.int64)
    # Arrow numbers in the order of first occurrence, so that what is new has a number greater than all before.
    highest = np.maximum.accumulate(numbers)
    again = starts[1:][numbers[1:] <= highest[:-1]]
    covered = np.zeros(len(words.codes) + 1, np.int64)
    np.add.at(covered, again, 1)
    np.add.at(covered, again + n, -1)
    inside = np.cumsum(covered[:-1]) > 0
    edges = np.concatenate(([0], np.cumsum(np.where(inside, words.lengths[words.codes], 0))))
    return np.diff(edges[words.offsets])


def _ngrams(words: Words, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return where each n-gram begins, in which text it is, and its number; one in two texts has two numbers."""
    text = np.repeat(np.arange(len(words.per_text)), words.per_text)
    starts = np.flatnonzero(text[: len(text) - n + 1] == text[n - 1 :]) if len(text) >= n else np.zeros(0, np.int64)
    hashes = _mixed(text[starts].astype(np.uint64))
    for place in range(n):
        hashes = _mixed(hashes + words.codes[starts + place].astype(np.uint64))
    numbers = pa.array(hashes).dictionary_encode().indices
    return starts, text[starts], np.asarray(numbers, np.int32)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values + np.uint64(1)) * _MULTIPLIER
    return values ^ (values >> np.uint64(29))
