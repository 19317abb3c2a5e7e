"""The words of a batch of texts, numbered, so that whatever is counted of them is counted by NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.errors import StepError
from pipelines.steps.pieces import PieceDivider

if TYPE_CHECKING:
    from pipelines.steps.quality.ngrams import Ngrams

Language = Literal["en", "zh"]
"""The languages whose words are told apart: English by an expression, Chinese by a dictionary."""

_TITLES = "Mr|Mrs|Ms|Dr|Prof|Rev|Gen|Gov|Sen|Rep|Jr|Sr|St|Mt|Co|Corp|Inc|Ltd|Bros|vs"
_MONTHS = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
_UNITS = "km|m|cm|mm|kg|g|mg|lb|oz|mph|kmh|mb|MB|kb|KB|gb|GB|tb|TB|T|G|M|K"
_ENDING = r"(?:s|re|ve|ll|d|m|S)\b"

# What holds a word together that has other signs than letters and digits in it. Commas, colons, strokes and hyphens
# between letters, a full stop before a capital, dashes and ellipses divide;
# nothing else does that stands without spaces.
_INSIDE = rf"""
    (?: ['’](?!{_ENDING})
      | \.(?![A-Z])
      | (?<=\d),(?=\d)
      | [:=/<>](?=\d)
      | (?<=[^\W\d])-(?=\d)
      | [^\w\s…~,:=/.<>'’–—-]
      | (?![^\w\s]*\.\.)[^\w\s…~–—-]{{2,6}}
    )(?=\w)
"""
_ENGLISH = re.compile(
    rf"""
      (?:https?://|www\.)\S*[\w/]                     # an address
    | (?:{_TITLES}|{_MONTHS})\.(?!\w)
    | (?:[^\W\d_]\.)+(?!\w)                           # U.S., e.g., an initial
    | [^\W\d_]+(?=n['’]t\b) | can(?=not\b)            # do|n't
    | n['’]t\b
    | ['’]{_ENDING}                                   # we|'ve
    | \d+(?:[.,]\d+)*(?=(?:{_UNITS})\b)               # 5|km
    | \w+(?:{_INSIDE}\w+)*
    | \.{{2,}}
    | [^\w\s]
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Words:
    """The words of some texts, one after the other.

    Attributes:
        vocabulary: the distinct ones, strings.
        codes: for each word, its place in the vocabulary, int32.
        offsets: where each text's words begin in `codes`, and at last where they end; one more than there are texts.
    """

    vocabulary: pa.Array
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @cached_property
    def per_text(self) -> NDArray[np.int64]:
        """How many words each text has."""
        return np.diff(self.offsets)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """How many characters each word of the vocabulary has."""
        return np.asarray(pc.utf8_length(self.vocabulary), np.int64)

    @cached_property
    def text_of_each(self) -> NDArray[np.int64]:
        """Which text each word is in."""
        return np.repeat(np.arange(len(self.per_text)), self.per_text)

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """How many characters the words before each word have, and at last those of all."""
        return np.concatenate(([0], np.cumsum(self.lengths[self.codes])))

    @cached_property
    def ngrams(self) -> dict[int, Ngrams]:
        """Room for what is known of the n-grams, by n; see `pipelines.steps.quality.ngrams`."""
        return {}

    def matching(self, expression: str) -> NDArray[np.bool_]:
        """Return which words of the vocabulary match an expression in RE2's syntax."""
        return np.asarray(pc.match_substring_regex(self.vocabulary, expression).to_numpy(zero_copy_only=False), bool)

    def total(self, values: NDArray[np.generic]) -> NDArray[np.int64]:
        """Return, for each text, the sum over its words of a value that each word of the vocabulary has."""
        sums = np.concatenate(([0], np.cumsum(values[self.codes], dtype=np.int64)))
        return np.diff(sums[self.offsets])

    def different(self, wanted: Sequence[str]) -> NDArray[np.int64]:
        """Return, for each text, how many different ones of some words are in it."""
        number = pc.index_in(self.vocabulary, value_set=pa.array(wanted, pa.string())).fill_null(-1).to_numpy()
        numbers = number[self.codes]
        at = np.flatnonzero(numbers >= 0)
        texts = np.searchsorted(self.offsets, at, side="right") - 1
        pairs = np.unique(texts * len(wanted) + numbers[at])
        return np.bincount(pairs // max(len(wanted), 1), minlength=len(self.per_text))


def split_words(texts: pa.Array, language: Language) -> Words:
    """Return the words of texts, punctuation marks included, each of which is a word.

    English is divided as spaCy's blank pipeline does it, in the main: contractions in two (``do|n't``, ``we|'ve``),
    compounds at their hyphens, figures and abbreviations whole. Chinese is divided by the dictionary of jieba.

    Args:
        texts: strings without nulls.
        language: what they are taken to be written in, whatever they are.

    Raises:
        StepError: they are Chinese, and the dictionary is not installed.
    """
    return Words(*_divider(language).words(texts))


@lru_cache
def _divider(language: Language) -> PieceDivider:
    return PieceDivider(word_splitter(language))


def word_splitter(language: Language) -> Callable[[str], list[str]]:
    """Return what divides one text into its words; see `split_words`."""
    return _ENGLISH.findall if language == "en" else partial(_chinese_words, _chinese_dictionary())


def _chinese_words(cut: Callable[[str], list[str]], text: str) -> list[str]:
    return [word for word in cut(text) if not word.isspace()]


def _chinese_dictionary() -> Callable[[str], list[str]]:
    try:
        import rjieba
    except ImportError:
        raise StepError(
            'Chinese words are told apart by rjieba, which is not installed; run: pip install "headrace[chinese]"'
        ) from None
    cut: Callable[[str], list[str]] = rjieba.cut
    return cut
