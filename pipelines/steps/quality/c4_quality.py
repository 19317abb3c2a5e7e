"""The rules by which C4 was made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
from pydantic import Field

from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.quality.sentences import count_sentences
from pipelines.steps.quality.verdicts import Verdicts
from pipelines.steps.quality.words import Language, word_splitter
from pipelines.steps.step import Outcome, RowStep

_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_POLICIES = re.compile("terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies")
_ENDS = {
    "en": (".", "?", "!", '"', "'"),
    "zh": (".", "?", "!", '"', "'", "。", "？", "！", "”", "’", "」", "』"),
}


class C4Quality(RowStep):
    """Takes lines that are no prose out of texts, and rejects texts that are no prose, as for C4 (Raffel et al. 2020).

    The rules are those of the paper (JMLR 21/140, section 2.2) and of its program (tensorflow_datasets, c4_utils), as
    datatrove puts them, but for the list of bad words: see `FlaggedWords`. A line is stripped, and taken out if it has
    a word that is too long, ends in no sign that ends a sentence, has too few words, or is about JavaScript or cookies;
    these are counted, as ``long_word``, ``unfinished_line``, ``short_line``, ``javascript_line`` and ``policy_line``. A
    text is rejected as ``lorem_ipsum``, ``curly_bracket`` or ``too_few_sentences``.

    Attributes:
        language: what the texts are written in. For ``zh``, Chinese full stops and quotes end a sentence, too, and the
            words of a line are told apart by a dictionary; C4 itself is English only, and so has no rules for that.
        citations: take ``[1]``, ``[edit]`` and ``[citation needed]`` out.
        unfinished_lines: take out lines that do not end in ``.``, ``?``, ``!`` or a quote, or that end in an ellipsis.
        min_words_per_line: take out lines of fewer words, which white space divides; None takes out none.
        max_word_length: take out lines with a longer word, in characters; None takes out none.
        javascript: take out lines that mention it.
        policies: take out lines about terms of use, privacy and cookies.
        lorem_ipsum: reject texts that have it in a line that is left.
        curly_bracket: reject texts that have ``{`` in a line that is left, as they are programs.
        min_sentences: fewest sentences that must be left; None rejects no text for that.
    """

    language: Language = "en"
    citations: bool = True
    unfinished_lines: bool = True
    min_words_per_line: int | None = Field(default=3, ge=0)
    max_word_length: int | None = Field(default=1000, ge=1)
    javascript: bool = True
    policies: bool = True
    lorem_ipsum: bool = True
    curly_bracket: bool = True
    min_sentences: int | None = Field(default=5, ge=0)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows whose texts are prose, without the lines that are none."""
        divide = str.split if self.language == "en" else word_splitter(self.language)
        found = Verdicts(batch.num_rows)
        taken_out: Counter[str] = Counter()
        cleaned: list[str] = []
        for row, text in enumerate(batch.column(TEXT).to_pylist()):
            lines, fault = self._prose(text, divide, taken_out)
            cleaned.append("\n".join(lines).strip())
            if fault:
                found.add_one(fault, row, "")
            elif self.min_sentences is not None:
                # A line that is kept has one at the least, so that those with many need not be looked into.
                sentences = len(lines)
                if sentences < self.min_sentences:
                    sentences = sum(map(count_sentences, lines))
                if sentences < self.min_sentences:
                    found.add_one("too_few_sentences", row, sentences)
        outcome = found.outcome(with_texts(batch, pa.array(cleaned, pa.string())))
        return replace(outcome, counts=taken_out)

    def _prose(
        self, text: str, divide: Callable[[str], list[str]], taken_out: Counter[str]
    ) -> tuple[list[str], str | None]:
        """Return the lines to keep, or those up to what the text is to be rejected for, and the rule."""
        kept: list[str] = []
        for line in map(str.strip, text.splitlines()):
            words = divide(line)
            if self.citations and "[" in line:
                line = _CITATION.sub("", line)
            fault = self._fault(line, words)
            if fault in _OF_TEXTS:
                return kept, fault
            if fault is None:
                kept.append(line)
            else:
                taken_out[fault] += 1
        return kept, None

    def _fault(self, line: str, words: list[str]) -> str | None:
        """Return what is wrong with a line, in the order in which C4's program asks."""
        if self.max_word_length is not None and any(len(word) > self.max_word_length for word in words):
            return "long_word"
        if self.unfinished_lines and (not line.endswith(_ENDS[self.language]) or line.endswith("...")):
            return "unfinished_line"
        if self.min_words_per_line is not None and len(words) < self.min_words_per_line:
            return "short_line"
        lower = line.lower()
        if self.lorem_ipsum and "lorem ipsum" in lower:
            return "lorem_ipsum"
        if self.javascript and "javascript" in lower:
            return "javascript_line"
        if self.curly_bracket and "{" in line:
            return "curly_bracket"
        if self.policies and _POLICIES.search(lower):
            return "policy_line"
        return None


_OF_TEXTS = ("lorem_ipsum", "curly_bracket")
"""The faults for which the whole text is rejected."""
