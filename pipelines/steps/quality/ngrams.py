"""How much of a text is in n-grams that come again, found for all texts of a batch at once.

An n-gram is stood for by a 64-bit hash of its words and its text, which Arrow then numbers. Two that differ share a
hash once in 10^19 pairs.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.steps.quality.words import Words

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number whose bits look random: 2^64 over the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""


def in_commonest_ngram(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in its commonest n-gram, spaces between its words included.

    Of several that are as common, the one that comes first counts.
    """
    found = np.zeros(len(words.per_text), np.int64)
    starts, texts, numbers = _ngrams(words, n)
    if not starts.size:
        return found
    times = np.bincount(numbers)[numbers]
    begins = np.flatnonzero(np.diff(texts, prepend=-1))
    commonest = np.repeat(np.maximum.reduceat(times, begins), np.diff(begins, append=starts.size))
    such = np.flatnonzero(times == commonest)
    first = such[np.searchsorted(such, begins)]
    found[texts[begins]] = times[first] * (_characters(words, starts[first], n) + n - 1)
    return found


def in_repeated_ngrams(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in n-grams that have occurred before; one is gone on behind.

    So a word is counted once, and an n-gram that begins within one that is counted is not held to have occurred.
    """
    found = np.zeros(len(words.per_text), np.int64)
    starts, texts, numbers = _ngrams(words, n)
    again = _occurred(numbers)
    places = np.flatnonzero(again)
    characters = _characters(words, starts[places], n).tolist()
    # What has occurred within counted ones alone. Everything else that comes again has occurred for good.
    within: set[int] = set()
    ends = np.searchsorted(texts, texts[places], side="right").tolist()
    behind = 0
    for place, number, size, end in zip(places.tolist(), numbers[places].tolist(), characters, ends, strict=True):
        if place < behind:
            continue
        if number in within:
            within.remove(number)
            continue
        found[texts[place]] += size
        behind = min(place + n, end)
        within.update(numbers[place + 1 : behind][~again[place + 1 : behind]].tolist())
    return found


def most_in_repeated_ngrams(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in words of n-grams that have occurred before in it.

    It is no less than `in_repeated_ngrams` finds, of this n or of any greater, and found without a loop.
    """
    starts, _, numbers = _ngrams(words, n)
    if not starts.size:
        return np.zeros(len(words.per_text), np.int64)
    again = starts[_occurred(numbers)]
    covered = np.zeros(len(words.codes) + 1, np.int64)
    np.add.at(covered, again, 1)
    np.add.at(covered, again + n, -1)
    inside = np.cumsum(covered[:-1]) > 0
    edges = np.concatenate(([0], np.cumsum(np.where(inside, words.lengths[words.codes], 0))))
    return np.diff(edges[words.offsets])


def _characters(words: Words, starts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return how many characters the words of the n-grams have that begin at these places."""
    found: NDArray[np.int64] = words.edges[starts + n] - words.edges[starts]
    return found


def _occurred(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Tell which n-grams have occurred before, by their numbers, which `_ngrams` gives in the order of occurrence."""
    occurred = np.zeros(len(numbers), bool)
    occurred[1:] = numbers[1:] <= np.maximum.accumulate(numbers)[:-1]
    return occurred


def _ngrams(words: Words, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return where each n-gram begins, in which text it is, and its number; one in two texts has two numbers."""
    text = words.text_of_each
    starts = np.flatnonzero(text[: len(text) - n + 1] == text[n - 1 :]) if len(text) >= n else np.zeros(0, np.int64)
    numbers = pa.array(_hashes(words, n)[starts]).dictionary_encode().indices
    return starts, text[starts], np.asarray(numbers, np.int32)


def _hashes(words: Words, n: int) -> NDArray[np.uint64]:
    """Return a hash of the n words from each word on, and of the text that the first is in; kept with the words."""
    known = words.hashes
    longest = max((length for length in known if length <= n), default=0)
    hashes = known[longest] if longest else _mixed(words.text_of_each.astype(np.uint64))
    for length in range(longest, n):
        hashes = _mixed(hashes[: len(words.codes) - length] + words.codes[length:].astype(np.uint64))
    known[n] = hashes
    return hashes


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    values = (values + np.uint64(1)) * _MULTIPLIER
    return values ^ (values >> np.uint64(29))
