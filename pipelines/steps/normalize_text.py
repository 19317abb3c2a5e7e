"""Repairing and tidying texts."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

import ftfy
import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.step import Outcome, RowStep

# White space by Unicode's White_Space property: RE2's \s knows only ASCII's, and \p{Z} leaves out the two
# controls.
_WHITESPACE = r"[\s\p{Z}\x0b\x{85}]+"

# Category Cc without the controls that are white space: those hold words apart.
_CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f-\x{84}\x{86}-\x{9f}]"

# What takes no room: soft hyphen, zero-width space, direction marks, word joiner and invisible operators,
# byte order mark, annotation anchors and the object replacement. The zero-width joiners (U+200C, U+200D) and
# the variation selectors stay: they change how Persian, Indic scripts and emoji are read.
_INVISIBLE = (
    r"[\x{ad}\x{200b}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{2066}-\x{206f}"
    r"\x{feff}\x{fff9}-\x{fffc}]"
)

# A text is sound, so that ftfy would leave it alone, if it holds nothing but printable ASCII, tabs and
# newlines, ideographs, kana, Hangul syllables and the CJK comma and full stop, and no HTML entity. None of
# these occurs in mojibake, and ftfy takes some fifty times as long to find that there is nothing to do.
_UNSOUND = r"[^\t\n -~、。ぁ-ゖァ-ヺ一-鿿가-힣]|&#?[0-9A-Za-z]{1,24};"
_UNSOUND_LINE = re.compile(_UNSOUND)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")

# What ftfy does to a place depends on the characters next to it, at most two dozen (an entity, a mis-decoded
# sequence with its neighbours), and on the encodings that the line's characters have in common, all of which hold
# ASCII. So the middle of a long stretch of ASCII can be set aside meanwhile: it takes ftfy 0.3 us a character to find
# nothing there, which on lines of many kilobytes is most of the cost of a text.
_STRETCH = re.compile(r"([ -%'-:<-~]{32})[ -%'-:<-~]+(?=[ -%'-:<-~]{32})")
_ASIDE = "\0"
_WHOLE = re.compile(r"[\0\x1b]")


class NormalizeText(RowStep):
    """Repairs and tidies ``text``; a text in which nothing is left is rejected under ``empty_text``.

    The parts run in the order of the options. Mojibake that is repaired may turn into white space, and a
    character removed may leave two that compose, so the order matters.

    Attributes:
        repair: mend mojibake, HTML entities, terminal escapes, curly quotes, ligatures, fullwidth Latin and
            line breaks, as `ftfy.fix_text` does by default.
        straighten_quotes: part of the repair: typographic quotes become ASCII's.
        fold_width: part of the repair: fullwidth Latin letters, digits and punctuation become ASCII's,
            Chinese commas and question marks included, and halfwidth kana become full ones.
        control_characters: remove control characters that are not white space.
        invisible_characters: remove zero-width spaces, soft hyphens, direction marks and byte order marks.
        form: the Unicode normal form (UAX #15); None leaves it.
        whitespace: make each run of white space, line breaks included, one space, and strip both ends.
    """

    repair: bool = True
    straighten_quotes: bool = True
    fold_width: bool = True
    control_characters: bool = True
    invisible_characters: bool = True
    form: Literal["NFC", "NFKC", "NFD", "NFKD"] | None = "NFC"
    whitespace: bool = True

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows with their texts tidied, and reject those whose text is then empty."""
        given = batch.column(TEXT).cast(pa.string())
        texts = self._repaired(given) if self.repair else given
        if self.control_characters:
            texts = pc.replace_substring_regex(texts, _CONTROLS, "")
        if self.invisible_characters:
            texts = pc.replace_substring_regex(texts, _INVISIBLE, "")
        if self.form is not None:
            texts = _normalized(texts, self.form)
        if self.whitespace:
            texts = pc.utf8_trim(pc.replace_substring_regex(texts, _WHITESPACE, " "), " ")
        tidied = with_texts(batch, texts)
        blank = pc.match_substring_regex(texts, rf"^{_WHITESPACE}$")
        empty = pc.or_(pc.equal(texts, ""), blank)
        return Outcome.mark(tidied, pc.if_else(empty, "empty_text", pa.scalar(None, pa.string())), given)

    def _repaired(self, texts: pa.Array) -> pa.Array:
        unsound = pc.match_substring_regex(texts, _UNSOUND)
        config = ftfy.TextFixerConfig(
            uncurl_quotes=self.straighten_quotes,
            fix_character_width=self.fold_width,
            # These two are options of ours, done to all texts at once.
            remove_control_chars=False,
            normalization=None,
            explain=False,
        )
        repaired = [_repair(text, config) for text in texts.filter(unsound).to_pylist()]
        return pc.replace_with_mask(texts, unsound, pa.array(repaired, pa.string())) if repaired else texts


def _normalized(texts: pa.Array, form: Literal["NFC", "NFKC", "NFD", "NFKD"]) -> pa.Array:
    """Bring texts into a normal form, by Python: Arrow 25's own kernel leaves NFC decomposed."""
    beyond_ascii = pc.invert(pc.string_is_ascii(texts))
    changed = [unicodedata.normalize(form, text) for text in texts.filter(beyond_ascii).to_pylist()]
    return pc.replace_with_mask(texts, beyond_ascii, pa.array(changed, pa.string())) if changed else texts


def _repair(text: str, config: ftfy.TextFixerConfig) -> str:
    """Return what `ftfy.fix_text` makes of a text, at the cost of its unsound lines alone.

    Like there, lines are repaired one by one, and entities are unescaped until a line holds ``<``: from there
    on the text is HTML, whose entities mean something.
    """
    lines = _LINE.findall(text)
    for at, line in enumerate(lines):
        if config.unescape_html and "<" in line:
            config = config._replace(unescape_html=False)
        if _UNSOUND_LINE.search(line):
            lines[at] = _repair_line(line, config)
    return "".join(lines)


def _repair_line(line: str, config: ftfy.TextFixerConfig) -> str:
    """Return what `ftfy.fix_text` makes of a line, without making it look at the middle of long stretches of ASCII."""
    if len(line) > config.max_decode_length or _WHOLE.search(line):
        return ftfy.fix_text(line, config)
    aside: list[str] = []

    def set_aside(stretch: re.Match[str]) -> str:
        aside.append(stretch[0][len(stretch[1]) :])
        return stretch[1] + _ASIDE

    first, *others = ftfy.fix_text(_STRETCH.sub(set_aside, line), config).split(_ASIDE)
    if len(others) != len(aside):  # "À\x80" is mojibake of the sign itself
        return ftfy.fix_text(line, config)
    return first + "".join(piece for pair in zip(aside, others, strict=True) for piece in pair)
