"""Text out of HTML."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import SourceError
from connectors.files.html_text import extract_text
from connectors.files.lines import Fault
from connectors.source import TEXT
from pipelines.errors import StepError
from pipelines.steps.columns import with_texts
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.step import Outcome, RowStep

_MARKUP = r"<[a-zA-Z!/?][^<>]*>|&#?[0-9A-Za-z]{1,24};"
"""What makes a text HTML: a tag, a comment, a declaration or an entity."""


class StripHtml(RowStep):
    """Takes the text out of HTML, as it is seen on the page; a text without a tag or an entity is left as it is.

    Scripts, styles and comments go; paragraphs, list items and line breaks become lines. A page nested more than a
    thousand tags deep is rejected under ``too_deep``, and one with no text in it under ``empty_text``. The extraction
    is that of resiliparse (Bevendorff et al. 2018).

    Attributes:
        keep: ``all_text`` keeps whatever is seen; ``main_content`` leaves out what is taken for navigation, footers,
            and the like.
    """

    keep: Literal["all_text", "main_content"] = "all_text"

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows with their texts taken out of the markup.

        Raises:
            StepError: resiliparse is not installed.
        """
        texts = batch.column(TEXT).cast(pa.string())
        marked_up = np.asarray(pc.match_substring_regex(texts, _MARKUP).to_numpy(zero_copy_only=False), bool)
        verdicts = Verdicts(batch.num_rows)
        seen: list[str] = []
        for row in np.flatnonzero(marked_up):
            found = self._extracted(texts[row].as_py())
            if isinstance(found, Fault):
                verdicts.add_one(found.rule, row, found.reason)
            elif not found:
                verdicts.add_one("empty_text", row, texts[row].as_py())
            seen.append("" if isinstance(found, Fault) else found)
        stripped = pc.replace_with_mask(texts, pa.array(marked_up), pa.array(seen, pa.string()))
        return verdicts.outcome(with_texts(batch, stripped))

    def _extracted(self, html: str) -> str | Fault:
        try:
            return extract_text(html, self.keep)
        except SourceError as error:
            raise StepError(f"{self.name}: {error}") from error
