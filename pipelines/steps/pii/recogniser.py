"""What finds one kind of personal data in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["email", "phone", "ip", "card", "iban", "chinese_id", "api_key"]
"""What personal data can be that is told by its form; see `RedactPii`."""


class Span(NamedTuple):
    """A place in a text, in characters; the end is behind its last one."""

    start: int
    end: int


@dataclass(frozen=True)
class Recogniser:
    """Finds one kind of personal data.

    Attributes:
        kind: what it is called: a `Kind`, or ``name``.
        screen: an expression in RE2's syntax, fast to search for in many texts: one without a match has none of it.
        find: yields the places in one text, from front to back.
    """

    kind: str
    screen: str
    find: Callable[[str], Iterator[Span]]


def matches(pattern: str, accepts: Callable[[str], bool] = bool) -> Callable[[str], Iterator[Span]]:
    """Return what finds the matches of an expression that pass a check; of its first group, where it has one."""
    compiled = re.compile(pattern, re.VERBOSE)

    def find(text: str) -> Iterator[Span]:
        for match in compiled.finditer(text):
            start, end = match.span(1 if compiled.groups else 0)
            if accepts(text[start:end]):
                yield Span(start, end)

    return find
