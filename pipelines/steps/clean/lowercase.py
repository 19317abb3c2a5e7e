"""Writing texts in small letters."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.step import Outcome, RowStep


class Lowercase(RowStep):
    """Writes ``text`` in small letters; scripts that have none, as Chinese, stay as they are.

    Attributes:
        mapping: ``lower`` gives each capital its small letter (Unicode's simple mapping); ``fold`` does what texts are
            compared by in any case (Unicode's full case folding): ``ß`` becomes ``ss``.
    """

    mapping: Literal["lower", "fold"] = "lower"

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows."""
        texts = batch.column(TEXT).cast(pa.string())
        if self.mapping == "lower":
            return Outcome.keep(with_texts(batch, pc.utf8_lower(texts)))
        return Outcome.keep(with_texts(batch, pa.array([text.casefold() for text in texts.to_pylist()], pa.string())))
