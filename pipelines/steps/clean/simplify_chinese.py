"""Writing Chinese in one script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import TEXT
from pipelines.errors import StepError
from pipelines.steps.columns import with_texts
from pipelines.steps.step import Outcome, RowStep

_HAN = r"\p{Han}"


class SimplifyChinese(RowStep):
    """Writes the traditional Chinese characters of ``text`` as simplified ones, by OpenCC; other texts are left alone.

    OpenCC goes by phrases, as one character may stand for several. Japanese texts lose their older characters, too:
    keep them out with `DetectLanguage`.

    Attributes:
        variant: what is converted: traditional characters as such (``t2s``), as Taiwan (``tw2s``) or Hong Kong
            (``hk2s``) write them, or Taiwan's with its words for things put in the mainland's (``tw2sp``).
    """

    variant: Literal["t2s", "tw2s", "hk2s", "tw2sp"] = "t2s"

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, and count the texts that are written otherwise now as ``simplified``.

        Raises:
            StepError: OpenCC is not installed.
        """
        convert = _converter(self.variant)
        texts = batch.column(TEXT).cast(pa.string())
        chinese = pc.match_substring_regex(texts, _HAN)
        simplified = pa.array([convert(text) for text in texts.filter(chinese).to_pylist()], pa.string())
        changed = pc.sum(pc.not_equal(texts.filter(chinese), simplified)).as_py()
        kept = Outcome.keep(with_texts(batch, pc.replace_with_mask(texts, chinese, simplified)))
        return replace(kept, counts={"simplified": changed}) if changed else kept


@lru_cache
def _converter(variant: str) -> Callable[[str], str]:
    try:
        import opencc
    except ImportError:
        raise StepError(
            'Chinese characters are converted by opencc, which is not installed; run: pip install "headrace[chinese]"'
        ) from None
    convert: Callable[[str], str] = opencc.OpenCC(variant).convert
    return convert
