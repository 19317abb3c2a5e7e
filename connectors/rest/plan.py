"""Planning what is read of listings: how far they have come, and which task reads what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from math import ceil

import pyarrow as pa

from connectors.rest.cursor import Mark, Window, read_mark, time_mark
from connectors.rest.options import NumberedPages, OffsetPages
from connectors.rest.pages import Listing, Pager, Span
from connectors.rest.records import RecordColumns
from connectors.source import Partition


@dataclass(frozen=True)
class RestPart:
    """A part of a listing.

    Attributes:
        listing: what is listed, with the parameters that bound it.
        span: which of its pages.
        window: which of its records are wanted; None is all.
    """

    listing: Listing
    span: Span = field(default_factory=Span)
    window: Window | None = None

    @property
    def key(self) -> str:
        """What names the part within its source."""
        return self.listing.key if not self.span.start else f"{self.listing.key}:{self.span.start}"


@dataclass(frozen=True)
class RestPartition(Partition):
    """Parts of listings that one task reads.

    Attributes:
        parts: what to read, in order.
        found: the columns that records have.
        share: the task's part of the requests per second.
    """

    parts: tuple[RestPart, ...]
    found: pa.Schema
    share: float


@dataclass(frozen=True)
class Increments:
    """The options by which a listing is read on from where it had come.

    Attributes:
        columns: one of which is the cursor.
        since_parameter: that takes what to begin after.
        until_parameter: that takes where to end.
        newest_first: whether the first page has the largest cursor.
        late: how far before the cursor reading begins.
    """

    columns: RecordColumns
    since_parameter: str | None
    until_parameter: str | None
    newest_first: bool
    late: float

    def bounded(self, pager: Pager, listing: Listing, since: Mark | None, now: datetime) -> RestPart | None:
        """Return what of a listing is to be read, and how far it has come; None where nothing is new.

        Raises:
            SourceError: `since` is a number and the listing has times, or the other way round.
        """
        after = since.before(self.late) if since is not None else None
        if after is not None and self.since_parameter is not None:
            listing = _with(listing, self.since_parameter, after)
        # Records may yet be stamped with the second that is not over.
        past = time_mark(now.replace(microsecond=0) - timedelta(seconds=1))
        if self.until_parameter is not None:
            upto = since if since is not None and since.is_after(past) else past
            return RestPart(_with(listing, self.until_parameter, upto), window=Window(after, upto))
        last, doubtful = self._last(pager, listing, since, past)
        if not doubtful and (last is None or (after is not None and not last.is_after(after))):
            return None
        if since is not None and (last is None or since.is_after(last)):
            last = since
        return RestPart(listing, window=Window(after, last))

    def _last(self, pager: Pager, listing: Listing, since: Mark | None, past: Mark) -> tuple[Mark | None, bool]:
        """Return the largest mark of a listing, and whether some of its records cannot be compared with it.

        Of times, what is neither past nor before `since` is left for a later plan.
        """
        last, other = None, None
        doubtful = to_come = False
        kind = type(since.at) if since is not None else None
        for page in pager.go(listing, Span()):
            for record in page.records:
                mark = read_mark((self.columns.flat(record, listing) or {}).get(self.columns.cursor or ""))
                kind = type(mark.at) if kind is None and mark is not None else kind
                if mark is None or type(mark.at) is not kind:
                    doubtful, other = True, mark or other
                elif _is_to_come(mark, past, since):
                    to_come = True
                elif last is None or mark.is_after(last):
                    last = mark
            if self.newest_first and (last is not None or doubtful):
                break
        if since is not None and last is None and other is not None:
            since.is_after(other)
        if since is None and last is None and to_come:
            last = _BEFORE_ALL
        return last, doubtful


_BEFORE_ALL = time_mark(datetime.fromtimestamp(0, timezone.utc))


def _is_to_come(mark: Mark, past: Mark, since: Mark | None) -> bool:
    """Tell whether a time is in the future, or of the second that is not over."""
    if not isinstance(mark.at, datetime):
        return False
    return mark.is_after(past) and (since is None or mark.is_after(since))


def divide(pager: Pager, parts: Sequence[RestPart], found: pa.Schema, wanted: int) -> tuple[RestPartition, ...]:
    """Return partitions of listings, at most `wanted`; where there are fewer listings, their pages are divided."""
    spans = [replace(part, span=span) for part in parts for span in _spans(pager, part.listing, wanted // len(parts))]
    step = max(1, ceil(len(spans) / wanted))
    groups = [tuple(spans[start : start + step]) for start in range(0, len(spans), step)]
    return tuple(RestPartition(group[0].key, group, found, 1 / len(groups)) for group in groups)


def _spans(pager: Pager, listing: Listing, wanted: int) -> list[Span]:
    """Return parts of a listing; the last one is open, as records may have come before its pages until it is read."""
    pages = pager.pages
    if wanted < 2 or not isinstance(pages, (NumberedPages, OffsetPages)) or pages.total is None:
        return [Span()]
    total = next(pager.go(listing, Span())).total or 0
    if isinstance(pages, OffsetPages):
        first, step = 0, ceil(total / pages.size / wanted) * pages.size
    else:
        first, step = pages.first, ceil(total / wanted)
    starts = list(range(first, first + total, max(1, step)))
    return [Span(start, stop) for start, stop in zip(starts, [*starts[1:], None], strict=True)] or [Span()]


def _with(listing: Listing, parameter: str, mark: Mark) -> Listing:
    return replace(listing, parameters={**listing.parameters, parameter: mark.text})
