"""Words that are looked for in texts: each by itself, without regard to case."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.files.paths import local_path
from pipelines.errors import StepError

_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class WordList:
    """Finds the words of a list, or phrases: quickly which texts may have one, and then exactly where.

    A word stands by itself: ``ass`` is not in ``class``. One of a script that is written without spaces, as Chinese, is
    found wherever its characters are. Case makes no difference. Of two that begin at the same place, it is the longer.

    Attributes:
        words: the words, each once, in the order given.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(dict.fromkeys(words))
        ordered = sorted(range(len(self.words)), key=lambda at: (-len(self.words[at]), self.words[at]))
        self._order = ordered
        # RE2, which knows no looking ahead, finds the texts that may have one, in one pass for all words.
        self._screen = "|".join(re.escape(self.words[at]) for at in ordered)
        self._exact = re.compile("|".join(f"({_by_itself(self.words[at])})" for at in ordered), re.IGNORECASE)

    def found(self, texts: pa.Array) -> Iterator[tuple[int, list[int]]]:
        """Yield, for each text that has any, its place and which of the words are in it, one after the other.

        Args:
            texts: strings without nulls.
        """
        for row in np.flatnonzero(pc.match_substring_regex(texts, self._screen, ignore_case=True)):
            matches = self._exact.finditer(texts[row].as_py())
            if found := [self._order[match.lastindex - 1] for match in matches if match.lastindex]:
                yield int(row), found


@lru_cache(maxsize=8)
def word_list(step: str, words: tuple[str, ...], file: str | None) -> WordList:
    """Return the words of a step's options: those given, and those of a file, a line each.

    Raises:
        StepError: the file cannot be read, or there is no word in it.
    """
    return WordList([*(word.strip() for word in words if word.strip()), *(_read(step, file) if file else ())])


def _by_itself(word: str) -> str:
    escaped = re.escape(word)
    return escaped if _UNSPACED.search(word) else rf"(?<!\w){escaped}(?!\w)"


def _read(step: str, file: str) -> list[str]:
    try:
        lines = Path(local_path(file)).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"{step}: the file {file} cannot be read: {error}") from None
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not found:
        raise StepError(f"{step}: there is no word in the file {file}; write one on each line")
    return found
