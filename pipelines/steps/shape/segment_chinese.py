"""Chinese words, set apart."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.quality.words import word_splitter
from pipelines.steps.step import Outcome, RowStep

_HAN = r"\p{Han}"
_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


class SegmentChinese(RowStep):
    """Puts a separator between the Chinese words of ``text``, for what takes words to stand between spaces.

    Words are those of jieba's dictionary. Only runs of Chinese characters are divided; what is between them is left as
    it is, and parted from them.

    Attributes:
        separator: what goes between two words.
    """

    separator: str = " "

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows.

        Raises:
            StepError: rjieba is not installed.
        """
        divide = word_splitter("zh")

        def divided(match: re.Match[str]) -> str:
            words = self.separator.join(divide(match[0]))
            before = self.separator if match.start() and not _ends_apart(match.string[match.start() - 1]) else ""
            behind = self.separator if not _ends_apart(match.string[match.end() : match.end() + 1]) else ""
            return before + words + behind

        texts = batch.column(TEXT).cast(pa.string())
        chinese = pc.match_substring_regex(texts, _HAN)
        segmented = pa.array([_CHINESE.sub(divided, text) for text in texts.filter(chinese).to_pylist()], pa.string())
        return Outcome.keep(with_texts(batch, pc.replace_with_mask(texts, chinese, segmented)))


def _ends_apart(character: str) -> bool:
    """Tell whether what stands beside a word needs no separator: nothing, white space or a punctuation mark."""
    return not character or not character.isalnum()
