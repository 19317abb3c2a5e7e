"""Telling what language a text is written in."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from connectors.source import TEXT
from pipelines.errors import StepError
from pipelines.steps.columns import with_column
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.step import Outcome, RowStep

UNKNOWN = "und"
"""The language of a text that is too short to tell: undetermined, as ISO 639-2 calls it."""

_ZH, _CHINESE = "zh", frozenset({"wuu", "yue"})
"""Chinese, and the languages known by themselves that ISO 639-3 has as members of it (the macrolanguage ``zho``)."""

_LETTER = r"\p{L}"


class DetectLanguage(RowStep):
    """Adds the language of ``text`` as a column, and how sure that is as another; keeps some languages alone, if asked.

    The language is found offline by py3langid, a naive Bayes model of byte sequences over 139 languages (Lui and
    Baldwin 2012), in the first `max_characters` of a text. Of a text in two languages it is that of the greater part.
    A text of fewer than `min_letters` letters is ``und``, undetermined, with a confidence
    of 0. Japanese is ``ja``, Korean ``ko``, and Chinese is ``zh`` in either script: Wu (``wuu``) and Cantonese
    (``yue``), which short texts of Chinese are easily taken for, count as Chinese as they do in ISO 639-3, unless
    `keep` or `candidates` names them. Texts of fewer than 50 characters are told less surely.

    Where `keep` names languages, texts of others are rejected under ``other_language``, those of these that are
    less sure than `min_confidence` under ``unsure_language``, and those that are too short to tell under
    ``too_few_letters``.

    Attributes:
        keep: codes of languages, ISO 639-1 where there is one; empty keeps all.
        min_confidence: from 0 to 1; 0.65 is what FineWeb asks for (Penedo et al. 2024).
        candidates: the languages that a text can be in, as far as one knows; empty is all.
        min_letters: fewest letters to tell a language by.
        max_characters: how much of a text is looked at.
        column: where the code goes, a string.
        confidence_column: where the confidence goes, a float64 from 0 to 1.
    """

    keep: tuple[str, ...] = ()
    min_confidence: float = Field(default=0.65, ge=0, le=1)
    candidates: tuple[str, ...] = ()
    min_letters: int = Field(default=5, ge=0)
    max_characters: int = Field(default=2000, ge=1)
    column: str = Field(default="language", min_length=1)
    confidence_column: str = Field(default="language_confidence", min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it but for what it adds."""
        return None if output is None else output - {self.column, self.confidence_column}

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows of the languages to keep, with their language and its confidence.

        Raises:
            StepError: py3langid is not installed, or knows no language of a code.
        """
        heads = pc.utf8_slice_codeunits(batch.column(TEXT).cast(pa.string()), 0, self.max_characters)
        letters = np.asarray(pc.count_substring_regex(heads, _LETTER), np.int64)
        classify = classifier(self.candidates, one_chinese=_CHINESE.isdisjoint({*self.keep, *self.candidates}))
        found = [
            classify(text) if enough else (UNKNOWN, 0.0)
            for text, enough in zip(heads.to_pylist(), letters >= self.min_letters, strict=True)
        ]
        languages = pa.array([language for language, _ in found], pa.string())
        confidences = pa.array([confidence for _, confidence in found], pa.float64())
        told = with_column(with_column(batch, self.column, languages), self.confidence_column, confidences)
        verdicts = Verdicts(batch.num_rows)
        if self.keep:
            if UNKNOWN not in self.keep:
                verdicts.below("too_few_letters", letters, self.min_letters)
            kept = pc.is_in(languages, value_set=pa.array(self.keep, pa.string()))
            verdicts.add("other_language", ~np.asarray(kept), np.array([language for language, _ in found], object))
            verdicts.below("unsure_language", confidences.to_numpy(), self.min_confidence)
        return verdicts.outcome(told)


@lru_cache(maxsize=8)
def classifier(candidates: tuple[str, ...], *, one_chinese: bool) -> Callable[[str], tuple[str, float]]:
    """Return what tells the language of a text, and how sure that is; loads the model, in a few tenths of a second.

    Args:
        candidates: the languages that a text can be in; empty is all.
        one_chinese: whether the languages that are Chinese are told as one, as sure as they are together.

    Raises:
        StepError: py3langid is not installed, or knows no language of a code.
    """
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise StepError(
            'languages are told by py3langid, which is not installed; run: pip install "headrace[language]"'
        ) from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    if unknown := sorted(set(candidates) - set(identifier.labels)):
        raise StepError(f"no language is known by {', '.join(unknown)}; known: {', '.join(sorted(identifier.labels))}")
    if candidates:
        identifier.set_languages(candidates)

    def classify(text: str) -> tuple[str, float]:
        ranking: list[tuple[str, float]] = identifier.rank(text)
        if one_chinese and ranking[0][0] in (_ZH, *_CHINESE):
            return _ZH, sum(confidence for code, confidence in ranking if code in (_ZH, *_CHINESE))
        return ranking[0]

    return classify
