"""How much of a text is in n-grams that come again, found for all texts of a batch at once.

Only those that come again in their text are numbered, and a longer one can be such only where a shorter one is: after
the first length, what is left to look at are a few words of each text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.steps.hashing import mixed
from pipelines.steps.quality.words import Words


@dataclass(frozen=True)
class Ngrams:
    """Each n-gram of some texts that is more than once in its text, as often as it is there.

    Attributes:
        starts: where they begin in the texts' words, in ascending order.
        texts: which text each is in.
        numbers: what tells them apart, one in two texts has two; ascending by where each is first.
    """

    starts: NDArray[np.int64]
    texts: NDArray[np.int64]
    numbers: NDArray[np.int32]

    @property
    def again(self) -> NDArray[np.bool_]:
        """Which of them have occurred before."""
        again = np.zeros(len(self.numbers), bool)
        again[1:] = self.numbers[1:] <= np.maximum.accumulate(self.numbers)[:-1]
        return again


def in_commonest_ngram(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in its commonest n-gram, spaces between its words included.

    Of several that are as common, the one that comes first counts.
    """
    found = np.zeros(len(words.per_text), np.int64)
    # Where none comes again, it is the first of the text.
    long_enough = np.flatnonzero(words.per_text >= n)
    found[long_enough] = _characters(words, words.offsets[long_enough], n) + n - 1
    ngrams = _repeated(words, n)
    if ngrams.starts.size:
        times = np.bincount(ngrams.numbers)[ngrams.numbers]
        begins = np.flatnonzero(np.diff(ngrams.texts, prepend=-1))
        commonest = np.repeat(np.maximum.reduceat(times, begins), np.diff(begins, append=times.size))
        such = np.flatnonzero(times == commonest)
        first = such[np.searchsorted(such, begins)]
        found[ngrams.texts[begins]] = times[first] * (_characters(words, ngrams.starts[first], n) + n - 1)
    return found


def in_repeated_ngrams(words: Words, n: int, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in n-grams that have occurred before; one is gone on behind.

    So a word is counted once, and an n-gram that begins within one that is counted is not held to have occurred.

    Args:
        words: of the texts.
        n: how many words an n-gram has.
        among: which texts are looked at; 0 is returned for the others. None is all.
    """
    found = np.zeros(len(words.per_text), np.int64)
    ngrams = _repeated(words, n)
    again = ngrams.again
    places = np.flatnonzero(again if among is None else again & among[ngrams.texts])
    starts = ngrams.starts[places]
    ends = np.searchsorted(ngrams.starts, starts + n)
    characters = _characters(words, starts, n)
    # What has occurred within counted ones alone. Everything else that comes again has occurred for good.
    within: set[int] = set()
    behind = 0
    for place, number, size, end in zip(
        places.tolist(), ngrams.numbers[places].tolist(), characters.tolist(), ends.tolist(), strict=True
    ):
        if place < behind:
            continue
        if number in within:
            within.remove(number)
            continue
        found[ngrams.texts[place]] += size
        behind = end
        within.update(ngrams.numbers[place + 1 : behind][~again[place + 1 : behind]].tolist())
    return found


def most_in_repeated_ngrams(words: Words, n: int) -> NDArray[np.int64]:
    """Return, for each text, how many characters are in words of n-grams that have occurred before in it.

    It is no less than `in_repeated_ngrams` finds, of this n or of any greater, and found without a loop.
    """
    ngrams = _repeated(words, n)
    again = ngrams.starts[ngrams.again]
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


def _repeated(words: Words, n: int) -> Ngrams:
    """Return the n-grams that come again, and keep them with the words, as longer ones are found among them."""
    known = words.ngrams
    if n not in known:
        known[n] = _longer(words, known[n - 1], n) if n - 1 in known else _of_all(words, n)
    return known[n]


def _of_all(words: Words, n: int) -> Ngrams:
    """Find them among all n-grams, by 64-bit hashes: two that differ share one once in 10^19 pairs."""
    text = words.text_of_each
    starts = np.flatnonzero(text[: len(text) - n + 1] == text[n - 1 :]) if len(text) >= n else np.zeros(0, np.int64)
    hashes = mixed(text.astype(np.uint64))
    for length in range(n):
        hashes = mixed(hashes[: len(words.codes) - length] + words.codes[length:].astype(np.uint64))
    return _among(words, starts, hashes[starts])


def _longer(words: Words, shorter: Ngrams, n: int) -> Ngrams:
    """Find them among those that are one word shorter, by the number of such a one and the word behind it."""
    fits = shorter.starts + n <= words.offsets[shorter.texts + 1]
    starts = shorter.starts[fits]
    # Numbers and codes have 31 bits at the most.
    keys = (shorter.numbers[fits].astype(np.int64) << 31) | words.codes[starts + n - 1]
    return _among(words, starts, keys)


def _among(words: Words, starts: NDArray[np.int64], keys: NDArray[np.uint64] | NDArray[np.int64]) -> Ngrams:
    """Return those whose keys are there more than once."""
    numbers = np.asarray(pa.array(keys).dictionary_encode().indices, np.int32)
    repeated = np.bincount(numbers)[numbers] > 1 if numbers.size else np.zeros(0, bool)
    return Ngrams(starts[repeated], words.text_of_each[starts[repeated]], numbers[repeated])
