"""Writing addresses of pages in one way."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc

from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.step import Outcome, RowStep

_SCREEN = r"(?i)https?://|\bwww\."
_URL = re.compile(r"(?:https?://|\bwww\.)[^\s<>\"'`{}|\\^\u3000-\u303f\uff00-\uffef\u4e00-\u9fff]+", re.IGNORECASE)
_BEHIND = ".,;:!?)]*_"
"""What ends the sentence, and not the address."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class NormalizeUrls(RowStep):
    """Writes the addresses of pages in ``text`` in one way, or puts a placeholder or nothing in their place.

    The scheme and the host are written in small letters, the default port and the fragment go, an empty path becomes
    ``/`` (RFC 3986, section 6.2), and so do the parameters that only tell where a visitor came from. An address ends at
    white space, at a quotation mark or at a Chinese character; a full stop or a bracket behind it is not part of it.
    What is no valid address is left as it is.

    Attributes:
        replace_with: ``normalized`` as above; ``placeholder`` puts ``<URL>`` there, and ``none`` nothing.
        tracking: names of parameters to leave out; one that ends in ``*`` stands for all that begin so.
    """

    replace_with: Literal["normalized", "placeholder", "none"] = "normalized"
    tracking: tuple[str, ...] = ("utm_*", "gclid", "fbclid", "msclkid", "mc_cid", "mc_eid", "igshid", "yclid", "spm")

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return all rows, and how many addresses there were in them."""
        texts = batch.column(TEXT).cast(pa.string())
        with_urls = pc.match_substring_regex(texts, _SCREEN)
        found = 0
        changed: list[str] = []
        for text in texts.filter(with_urls).to_pylist():
            replaced, count = _URL.subn(self._instead, text)
            changed.append(replaced)
            found += count
        replaced_texts = pc.replace_with_mask(texts, with_urls, pa.array(changed, pa.string()))
        kept = Outcome.keep(with_texts(batch, replaced_texts))
        return replace(kept, counts={"url": found}) if found else kept

    def _instead(self, match: re.Match[str]) -> str:
        url = _whole(match[0])
        behind = match[0][len(url) :]
        if self.replace_with == "normalized":
            return self._normalized(url) + behind
        return ("<URL>" if self.replace_with == "placeholder" else "") + behind

    def _normalized(self, url: str) -> str:
        scheme = "" if "://" in url else "http://"
        try:
            parts = urlsplit(scheme + url)
            port = parts.port
        except ValueError:
            return url
        if not parts.hostname:
            return url
        host = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
        login = parts.netloc.rpartition("@")[0]
        place = f"{login}@{host}" if login else host
        if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
            place += f":{port}"
        query = parts.query
        if any(self._tracks(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
            kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if not self._tracks(pair[0])]
            query = urlencode(kept)
        whole = urlunsplit((parts.scheme, place, parts.path or "/", query, ""))
        return whole.removeprefix(scheme)

    def _tracks(self, parameter: str) -> bool:
        return any(
            parameter.startswith(name[:-1]) if name.endswith("*") else parameter == name for name in self.tracking
        )


def _whole(url: str) -> str:
    """Return an address without what stands behind it; a bracket that is opened within it is closed within it."""
    while url and url[-1] in _BEHIND:
        if url[-1] == ")" and url.count("(") >= url.count(")"):
            break
        url = url[:-1]
    return url
