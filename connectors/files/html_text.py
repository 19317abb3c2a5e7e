"""Text out of HTML."""

from __future__ import annotations

import codecs
import re
from typing import Literal

from connectors.errors import SourceError
from connectors.files.lines import Fault, decode

Extract = Literal["main_content", "all_text", "none"]
"""What is kept of a page: what is taken for its main content, all text that is seen, or its HTML as it is."""

_HEAD_BYTES = 2048
_META = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w:.-]+)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NOT_NESTED = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "colgroup", "dd", "dt", "li", "optgroup", "option", "p", "rb", "rp", "rt", "tbody", "td", "tfoot", "th", "thead",
    "tr",
})  # fmt: skip
"""Tags without an end, or whose end another one of them implies."""

MAX_DEPTH = 1_000
"""Tags nested deeper are no page that a person wrote, and cost the parser time that grows with the depth's square."""


def decode_html(data: bytes, charset: str | None, encoding: str) -> str | Fault:
    """Return a page as text, strictly decoded by its byte order mark, else what its server says, else what it says
    itself (as browsers understand the names), else by `encoding`; or what is wrong with it.

    Args:
        data: the page.
        charset: what the server said that it is encoded in.
        encoding: what it is in where nothing says.
    """  # noqa: D205
    mark = next((name for bytes_, name in _MARKS if data.startswith(bytes_)), None)
    if mark is not None:
        return decode(data, mark)
    meta = _META.search(data, 0, _HEAD_BYTES)
    said = known_encoding(charset) or known_encoding(meta[1].decode("ascii", "replace") if meta else None)
    return decode(data, said or encoding)


def known_encoding(label: str | None) -> str | None:
    """Return the encoding that browsers take a label for; None if it means nothing, or UTF-16 without a mark."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    known: str | None = map_encoding_to_html5(label.strip(), fallback_utf8=False) if label else None
    return known if known and "utf-16" not in known else None


def extract_text(html: str, extract: Extract) -> str | Fault:
    """Return the text of a page, or what is wrong with it.

    Raises:
        SourceError: the package ``resiliparse`` is missing.
    """
    if extract == "none":
        return html
    if _is_deep(html):
        return Fault("too_deep", f"tags nested more than {MAX_DEPTH:,} deep")
    extract_plain_text = require_resiliparse()
    text: str = extract_plain_text(  # type: ignore[operator]
        html, main_content=extract == "main_content", alt_texts=False, list_bullets=False
    )
    return text.strip()


def require_resiliparse() -> object:
    """Return the function that extracts text.

    Raises:
        SourceError: the package ``resiliparse`` is missing.
    """
    try:
        from resiliparse.extract.html2text import extract_plain_text
    except ImportError as error:
        raise SourceError(f"HTML needs resiliparse ({error}); pip install 'headrace[archives]'") from error
    found: object = extract_plain_text
    return found


def _is_deep(html: str) -> bool:
    if html.count("<") <= MAX_DEPTH:
        return False
    depth = 0
    for match in _TAG.finditer(html):
        if match[2].lower() not in _NOT_NESTED:
            depth = max(0, depth - 1) if match[1] else depth + 1
            if depth > MAX_DEPTH:
                return True
    return False
