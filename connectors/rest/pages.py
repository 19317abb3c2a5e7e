"""Going through the pages of a listing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from urllib.parse import urljoin

from connectors.errors import SourceError
from connectors.rest.client import Answer, RestClient
from connectors.rest.options import CursorPages, LinkPages, NumberedPages, OffsetPages, Pages

_SAME = 3
"""So many pages with the same records, one after the other, are taken for one page that comes again and again."""


@dataclass(frozen=True)
class Listing:
    """What one address lists.

    Attributes:
        key: names it within its source; ids that are made begin with it.
        url: its address.
        parameters: of the query, those apart that are secret.
        value: what it is read for, of the option ``for_each``.
    """

    key: str
    url: str
    parameters: Mapping[str, str]
    value: str = ""


@dataclass(frozen=True)
class Span:
    """A part of a listing.

    Attributes:
        start: the page's number, or the offset, that it begins with; None for the beginning.
        stop: the one that it ends before; None for the end.
    """

    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class Page:
    """Records that came together.

    Attributes:
        name: what ids of its records begin with, where ids are made.
        first: the position of its first record, from 1.
        records: what the server lists.
        url: its address as people may see it.
        served: the server's clock, as far as it tells.
        total: how many pages, or records, the listing has, as far as the server says.
    """

    name: str
    first: int
    records: list[object]
    url: str
    served: datetime | None = None
    total: int | None = None


@dataclass(frozen=True)
class _Step:
    """A request to make, and what its page is called."""

    url: str
    parameters: Mapping[str, str]
    name: str
    first: int


@dataclass(frozen=True)
class Pager:
    """Goes through the pages of listings.

    Attributes:
        client: makes the requests.
        pages: how a listing is divided into pages; None: it is one.
        records: the dotted path of the records in the response.
        max_pages: more of one listing are taken for an endless one.
    """

    client: RestClient
    pages: Pages | None
    records: str
    max_pages: int

    def go(self, listing: Listing, span: Span) -> Iterator[Page]:
        """Yield the pages of a part of a listing, in order; those without records as well.

        Raises:
            SourceError: a page comes again, there are too many, or one has no list of records.
        """
        step: _Step | None = self._begin(listing, span)
        asked: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        digest, same = b"", 0
        while step is not None:
            request = (step.url, tuple(sorted(step.parameters.items())))
            if request in asked:
                raise SourceError(
                    f"the pages of {self.client.shown(listing.url)} go round in a circle: after {len(asked)} pages, "
                    "the next one is one that was read; check the option 'pages'"
                )
            if len(asked) == self.max_pages:
                raise SourceError(
                    f"{self.client.shown(listing.url)} has more than {self.max_pages:,} pages; raise the option "
                    "'max_pages' if that is right"
                )
            asked.add(request)
            answer = self.client.get(step.url, step.parameters)
            page = self._page(step, answer, span)
            now = sha256(json.dumps(page.records).encode()).digest()
            same = same + 1 if now == digest and page.records else 1
            digest = now
            if same == _SAME:
                raise SourceError(
                    f"{page.url} gives the same records as the {_SAME - 1} pages before it; check in the option "
                    "'pages' by which parameter the server tells pages apart"
                )
            yield page
            step = self._next(step, answer, page, span)

    def _begin(self, listing: Listing, span: Span) -> _Step:
        parameters, name, first = dict(listing.parameters), listing.key, 1
        if isinstance(self.pages, NumberedPages):
            number = self.pages.first if span.start is None else span.start
            parameters[self.pages.parameter], name = str(number), f"{name}:{number}"
            if self.pages.size is not None:
                parameters[self.pages.size_parameter] = str(self.pages.size)
        elif isinstance(self.pages, OffsetPages):
            first = (span.start or 0) + 1
            parameters |= self._offset(self.pages, first - 1, span)
        return _Step(listing.url, parameters, name, first)

    def _next(self, step: _Step, answer: Answer, page: Page, span: Span) -> _Step | None:
        """Return the request for the page behind this one, if there is one."""
        pages, first = self.pages, step.first + len(page.records)
        if isinstance(pages, LinkPages):
            link = answer.next_link if pages.next is None else look_up(answer.body, pages.next)
            return _Step(urljoin(answer.url, str(link)), {}, step.name, first) if link else None
        if isinstance(pages, CursorPages):
            token = look_up(answer.body, pages.next)
            if token in (None, "", False) or (pages.more is not None and not look_up(answer.body, pages.more)):
                return None
            return _Step(step.url, {**step.parameters, pages.parameter: str(token)}, step.name, first)
        if not page.records:
            return None
        if isinstance(pages, NumberedPages):
            number = int(step.parameters[pages.parameter]) + 1
            ended = page.total is not None and number >= pages.first + page.total
            if ended or number == span.stop:
                return None
            name = step.name.rpartition(":")[0]
            return _Step(step.url, {**step.parameters, pages.parameter: str(number)}, f"{name}:{number}", 1)
        if isinstance(pages, OffsetPages):
            ended = page.total is not None and first > page.total
            if ended or (span.stop is not None and first > span.stop):
                return None
            return _Step(step.url, {**step.parameters, **self._offset(pages, first - 1, span)}, step.name, first)
        return None

    def _offset(self, pages: OffsetPages, offset: int, span: Span) -> dict[str, str]:
        size = pages.size if span.stop is None else min(pages.size, span.stop - offset)
        return {pages.parameter: str(offset), pages.size_parameter: str(size)}

    def _page(self, step: _Step, answer: Answer, span: Span) -> Page:
        url = self.client.shown(answer.url)
        records = look_up(answer.body, self.records) if self.records else answer.body
        if not isinstance(records, list) and not (records is None and self._may_lack_records(answer.body)):
            raise SourceError(
                f"{url} has no list of records at {self.records or 'its top'!r}; {_described(answer.body)}; name the "
                "dotted path of the list in the option 'records'"
            )
        found = records if isinstance(records, list) else []
        if isinstance(self.pages, OffsetPages) and span.stop is not None:
            found = found[: max(0, span.stop - step.first + 1)]
        return Page(step.name, step.first, found, url, answer.served, self._total(answer, url))

    def _may_lack_records(self, body: object) -> bool:
        """Tell whether a response without records says that there are none: no content, or a null in their place."""
        parent, _, name = self.records.rpartition(".")
        holder = look_up(body, parent) if parent else body
        return body is None or (bool(name) and isinstance(holder, dict) and name in holder)

    def _total(self, answer: Answer, url: str) -> int | None:
        path = self.pages.total if isinstance(self.pages, (NumberedPages, OffsetPages)) else None
        if path is None or answer.body is None:
            return None
        total = look_up(answer.body, path)
        if isinstance(total, bool) or not isinstance(total, int) or total < 0:
            raise SourceError(
                f"{url} has no whole number at {path!r}; {_described(answer.body)}; mend 'total' in the option "
                "'pages', or leave it out"
            )
        return total


def look_up(body: object, path: str) -> object:
    """Return what lies at a dotted path of names and, in lists, numbers; None where there is nothing."""
    found = body
    for name in path.split("."):
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.lstrip("-").isdigit() and -len(found) <= int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _described(body: object) -> str:
    if isinstance(body, dict):
        names = [f"{name} ({_kind(value)})" for name, value in list(body.items())[:12]]
        return f"it is an object of {', '.join(names) or 'nothing'}"
    return f"it is {_kind(body)}"


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
