"""The kinds of personal data that are found."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import get_args

from pipelines.errors import StepError
from pipelines.steps.pii.checksums import is_card_number, is_chinese_resident_id, is_iban
from pipelines.steps.pii.names import person_names
from pipelines.steps.pii.recogniser import Kind, Recogniser, Span, matches

# What goes with a number or an address on either side. Letters of Chinese, which stand without spaces, do not.
_LATIN = r"A-Za-z0-9\u00a1-\u1fff"
_HAN = r"[\u3400-\u9fff]+"

_LOCAL = rf"[{_LATIN}_!\#$%&'*+/=?^`{{|}}~-]+"
_EMAIL = rf"""
    (?<![{_LATIN}_.!\#$%&'*+/=?^`{{|}}~@-])
    {_LOCAL}(?:\.{_LOCAL})*
    @(?:[{_LATIN}](?:[{_LATIN}-]{{0,61}}[{_LATIN}])?\.)+
    (?:[A-Za-z]{{2,63}} | [^\W\dA-Za-z_]{{2,63}})
    (?![{_LATIN}@])
  | {_HAN}@{_HAN}(?:\.{_HAN})+
"""

_IPV4 = rf"(?<![{_LATIN}_.:/-]) (?:\d{{1,3}}\.){{3}}\d{{1,3}} (?![{_LATIN}_-]|\.[{_LATIN}])"
_IPV6 = rf"""
    (?<![{_LATIN}_.:])
    [0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f]{{0,4}}:[0-9A-Fa-f:]{{0,34}} (?:\.\d{{1,3}}){{0,3}}
    (?![{_LATIN}_:]|\.\d)
"""

_CARD = rf"(?<![{_LATIN}_.,/+-]) \d(?:[ \u00a0-]?\d){{11,18}} (?![{_LATIN}_/]|[.,-]\d)"
_IBAN = rf"""
    (?<![{_LATIN}_-])
    [A-Za-z]{{2}}\d{{2}} (?:[ \u00a0-]?[A-Za-z0-9]{{4}}){{2,7}} (?:[ \u00a0-]?[A-Za-z0-9]{{1,3}})?
    (?![{_LATIN}_-])
"""
_CHINESE_ID = rf"(?<![{_LATIN}_]) \d{{17}}[\dXx] (?![{_LATIN}_])"

# Formats of issued keys, as their issuers and the rules of gitleaks (gitleaks/gitleaks, config) describe them.
_API_KEY = r"""
    (?<![A-Za-z0-9_-])
    (?: (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}                       # Amazon Web Services
      | gh[pousr]_[A-Za-z0-9]{36,255} | github_pat_\w{22,255}     # GitHub
      | glpat-[\w-]{20,}                                          # GitLab
      | xox[abeoprs]-[A-Za-z0-9-]{10,}                            # Slack
      | AIza[\w-]{35} | ya29\.[\w-]{20,}                          # Google
      | [rs]k_(?:live|test)_[A-Za-z0-9]{16,}                      # Stripe
      | sk-(?:proj-|ant-)?[A-Za-z0-9_-]{20,}                      # OpenAI, Anthropic
      | hf_[A-Za-z]{34}                                           # Hugging Face
      | pypi-[\w-]{50,} | npm_[A-Za-z0-9]{36}
      | SG\.[\w-]{16,32}\.[\w-]{16,64}                            # SendGrid
      | eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}                     # a JSON Web Token
    )
    (?![A-Za-z0-9_-])
  | -----BEGIN[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----[\s\S]+?-----END[ ](?:[A-Z]+[ ])*PRIVATE[ ]KEY-----
"""


@lru_cache(maxsize=16)
def recognisers(
    kinds: tuple[Kind, ...], phone_regions: tuple[str, ...], private_addresses: bool, name_model: str | None = None
) -> tuple[Recogniser, ...]:
    """Return what finds some kinds of personal data, the ones that are surer of what they find first.

    A text with telephone numbers raises `StepError` where they are wanted and what knows them is not installed.

    Args:
        kinds: which.
        phone_regions: the countries, as two letters, whose telephone numbers are found without a country code, too.
        private_addresses: find the addresses of machines in private networks, too.
        name_model: the model that finds people's names; None: they are not looked for.

    Raises:
        StepError: what finds names is not installed.
    """
    everything = (
        Recogniser("api_key", _KEY_SCREEN, matches(_API_KEY)),
        Recogniser("email", r"\S@\S", matches(_EMAIL, _has_short_parts)),
        Recogniser("iban", r"[A-Za-z]{2}\d{2}[ \x{a0}-]?[A-Za-z0-9]{4}", matches(_IBAN, is_iban)),
        Recogniser("chinese_id", r"\d{17}[\dXx]", matches(_CHINESE_ID, is_chinese_resident_id)),
        Recogniser("card", r"\d(?:[ \x{a0}-]?\d){11}", matches(_CARD, is_card_number)),
        Recogniser("ip", r"\d\.\d{1,3}\.\d{1,3}\.\d|:[0-9A-Fa-f]*:", _addresses(private_addresses)),
        Recogniser("phone", r"\d(?:[^\d\n]{0,4}\d){6}", _telephones(phone_regions)),
    )
    wanted = tuple(one for one in everything if one.kind in kinds)
    return wanted if name_model is None else (*wanted, Recogniser("name", r"\p{L}", person_names(name_model)))


KINDS: tuple[Kind, ...] = get_args(Kind)
"""The kinds of personal data that can be found."""

_KEY_SCREEN = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|AIza|ya29\.|[rs]k_(?:live|test)_|sk-\w|"
    r"hf_\w|pypi-\w|npm_\w|SG\.\w|eyJ\w|PRIVATE KEY-----"
)


def _has_short_parts(address: str) -> bool:
    local, _, domain = address.rpartition("@")
    return len(local) <= 64 and len(domain) <= 253  # RFC 5321, section 4.5.3.1


def _addresses(private: bool) -> Callable[[str], Iterator[Span]]:
    def accepts(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return private or parsed.is_global

    four, six = matches(_IPV4, accepts), matches(_IPV6, accepts)

    def find(text: str) -> Iterator[Span]:
        yield from four(text)
        if ":" in text:
            yield from six(text)

    return find


def _telephones(regions: Sequence[str]) -> Callable[[str], Iterator[Span]]:
    def find(text: str) -> Iterator[Span]:
        try:
            import phonenumbers
        except ImportError:
            raise StepError(
                "telephone numbers are found by phonenumbers, which is not installed; run: "
                'pip install "headrace[pii]", or leave phone out of the kinds'
            ) from None
        mobile = phonenumbers.PhoneNumberType.MOBILE
        for region in regions or (None,):
            for match in phonenumbers.PhoneNumberMatcher(text, region):
                # A run of digits alone could count anything, unless only a mobile telephone has such a number.
                if match.raw_string.isdigit() and phonenumbers.number_type(match.number) != mobile:
                    continue
                # A bracket that is opened before the number and closed behind it is not of it.
                inside = match.raw_string.startswith("(") and ")" not in match.raw_string[:-1]
                yield Span(match.start + inside, match.end - match.raw_string.endswith(")"))

    return find
