"""Taking personal data out of texts."""

from __future__ import annotations

import hmac
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from connectors.secret import Secret
from connectors.source import TEXT
from pipelines.steps.columns import with_texts
from pipelines.steps.pii.recogniser import Kind, Span
from pipelines.steps.pii.recognisers import KINDS, recognisers
from pipelines.steps.step import Outcome, RowStep


class RedactPii(RowStep):
    """Replaces personal data in ``text``, or rejects the texts that have any, under ``personal_data``.

    What is found is counted by kind and told nowhere: a rejected row's value is the kinds. Where two kinds claim the
    same characters, the surer one has them: a key before an address, a number with check digits before a telephone's.

    - ``email``: mailboxes, of any script, with a top-level domain.
    - ``phone``: valid telephone numbers, as libphonenumber has them, of any country with its code (``+49 …``), and
      without it of `phone_regions`. A run of digits alone is one only where it can be no other than a mobile's, as in
      China and Britain; in North America it might be any number.
    - ``ip``: addresses of IPv4 and IPv6 that are reached from anywhere.
    - ``card``: numbers of payment cards: a known network's length and prefix, and a right check digit (Luhn).
    - ``iban``: bank accounts: the country's length, and right check digits (ISO 13616).
    - ``chinese_id``: Chinese residents' numbers: a province, a date of birth, a right check character (GB 11643).
    - ``api_key``: keys and tokens in the formats of well-known issuers, JSON Web Tokens, private keys.
    - ``name``, where a `name_model` is given: names of people, as that model takes them to be, by Presidio. No form
      tells a name, so these are found as well as the model is good, and at its pace.

    What steps before it and the source reject is redacted in the quarantine and in the report, too, but for the values
    that table steps give, which are ids of rows.

    Attributes:
        kinds: which to look for.
        replace_with: ``placeholder`` puts the kind in its place, as ``<EMAIL>``; ``hash`` adds ten hexadecimal
            digits to it, the same for the same data, so that what belongs together can be told:
            ``<EMAIL:5f2b8c01aa>``; ``none`` leaves nothing; ``reject`` rejects the row.
        salt: goes into the hash; without one that nobody knows, short numbers can be found again by trying all.
        phone_regions: countries, as two letters.
        private_addresses: look for addresses of machines in private networks, too.
        name_model: a spaCy model with named entities, as an installed package's name (``en_core_web_lg``) or a
            directory; of the language of the texts.
    """

    kinds: tuple[Kind, ...] = KINDS
    replace_with: Literal["placeholder", "hash", "none", "reject"] = "placeholder"
    salt: Secret | None = None
    phone_regions: tuple[str, ...] = ("US", "GB", "CN")
    private_addresses: bool = False
    name_model: str | None = Field(default=None, min_length=1)

    def input_columns(self, output: frozenset[str] | None) -> frozenset[str] | None:
        """Return what is wanted behind it, as it looks at no other column."""
        return output

    def apply(self, batch: pa.RecordBatch) -> Outcome:
        """Return the rows with what was found replaced, and how much was found of each kind."""
        texts = batch.column(TEXT).cast(pa.string())
        found = self._found(texts)
        counts: Counter[str] = Counter(kind for claims in found.values() for _, kind in claims)
        if not found:
            return Outcome.keep(batch)
        if self.replace_with == "reject":
            kinds = [", ".join(sorted({kind for _, kind in found.get(row, ())})) for row in range(len(texts))]
            rules = [RULE if row in found else None for row in range(len(texts))]
            rejected = Outcome.mark(batch, pa.array(rules, pa.string()), pa.array(kinds))
            return replace(rejected, counts=counts)
        samples = _samples((texts[row].as_py(), claims) for row, claims in sorted(found.items()))
        return replace(Outcome.keep(with_texts(batch, self._replaced(texts, found))), counts=counts, samples=samples)

    def redact(self, texts: pa.StringArray) -> pa.StringArray:
        """Return the texts without what is personal; with placeholders where rows are rejected for it."""
        step = self.model_copy(update={"replace_with": "placeholder"}) if self.replace_with == "reject" else self
        return step._replaced(texts, self._found(texts))

    def _found(self, texts: pa.Array) -> dict[int, list[tuple[Span, str]]]:
        """Return what is found in which text, in the order of the text; no two places overlap."""
        found: dict[int, list[tuple[Span, str]]] = {}
        for recogniser in recognisers(self.kinds, self.phone_regions, self.private_addresses, self.name_model):
            for row in np.flatnonzero(pc.match_substring_regex(texts, recogniser.screen)):
                for span in recogniser.find(texts[row].as_py()):
                    claims = found.setdefault(int(row), [])
                    if not any(span.start < taken.end and taken.start < span.end for taken, _ in claims):
                        claims.append((span, recogniser.kind))
        return {row: sorted(claims) for row, claims in found.items() if claims}

    def _replaced(self, texts: pa.StringArray, found: dict[int, list[tuple[Span, str]]]) -> pa.StringArray:
        mask = np.zeros(len(texts), bool)
        mask[list(found)] = True
        redacted = [self._redacted(texts[row].as_py(), claims) for row, claims in sorted(found.items())]
        return pc.replace_with_mask(texts, pa.array(mask), pa.array(redacted, pa.string()))

    def _redacted(self, text: str, claims: Sequence[tuple[Span, str]]) -> str:
        pieces: list[str] = []
        behind = 0
        for span, kind in claims:
            pieces += text[behind : span.start], self._instead(kind, text[span.start : span.end])
            behind = span.end
        return "".join(pieces) + text[behind:]

    def _instead(self, kind: str, data: str) -> str:
        if self.replace_with == "none":
            return ""
        if self.replace_with == "placeholder":
            return f"<{kind.upper()}>"
        salt = self.salt.resolve().get_secret_value() if self.salt is not None else ""
        return f"<{kind.upper()}:{hmac.new(salt.encode(), data.encode(), 'sha256').hexdigest()[:10]}>"


_SAMPLES, _AROUND = 5, 24
"""How many places of each kind are shown, and how many characters of the text on either side."""

_UNSURE = re.compile(r"\S*[\d@]\S*")
"""What may be personal data that was not found, next to some that was."""


def _samples(found: Iterable[tuple[str, list[tuple[Span, str]]]]) -> dict[str, list[str]]:
    """Return places where data was, without the data: a few words on either side that hold no figure and no ``@``."""
    samples: dict[str, list[str]] = {}
    for text, claims in found:
        behind = 0
        for number, (span, kind) in enumerate(claims):
            some = samples.setdefault(kind, [])
            ahead = claims[number + 1][0].start if number + 1 < len(claims) else len(text)
            if len(some) < _SAMPLES:
                before = text[max(behind, span.start - _AROUND) : span.start]
                after = text[span.end : min(ahead, span.end + _AROUND)]
                some.append(f"{_UNSURE.sub('…', before)}<{kind.upper()}>{_UNSURE.sub('…', after)}")
            behind = span.end
    return samples


RULE = "personal_data"
"""The rule that texts with personal data are rejected under."""
