"""How far the records of a listing have come: numbers or times, compared as such and kept as the server writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

from connectors.errors import SourceError

_NUMBER = re.compile(r"-?\d{1,40}(\.\d{1,40})?")
_DATETIME = TypeAdapter(datetime)


@dataclass(frozen=True)
class Mark:
    """A value of the cursor's field.

    Attributes:
        text: as the server writes it.
        at: what is compared; times without a zone are taken as UTC.
    """

    text: str
    at: Decimal | datetime

    def before(self, late: float) -> Mark:
        """Return the mark that lies so many seconds, or units of a number, earlier."""
        if not late:
            return self
        if isinstance(self.at, datetime):
            return time_mark(self.at - timedelta(seconds=late))
        earlier = self.at - Decimal(str(late))
        return Mark(format(earlier.normalize(), "f"), earlier)

    def is_after(self, other: Mark) -> bool:
        """Tell whether this comes after the other.

        Raises:
            SourceError: one is a number, the other a time.
        """
        if isinstance(self.at, datetime) and isinstance(other.at, datetime):
            return self.at > other.at
        if isinstance(self.at, Decimal) and isinstance(other.at, Decimal):
            return self.at > other.at
        raise SourceError(
            f"the cursor is both {self.text} and {other.text}, a time and a number, which cannot be compared; name "
            "another field in the option 'cursor_column', or reset the pipeline's state"
        )


@dataclass(frozen=True)
class Window:
    """Which records of a listing are wanted: those after one mark, up to another.

    Attributes:
        after: None begins at the beginning.
        upto: how far the listing had come when it was planned; None if it had no record.
    """

    after: Mark | None
    upto: Mark | None

    def compares(self, mark: Mark) -> bool:
        """Tell whether a record's mark is of the window's kind."""
        bound = self.upto or self.after
        return bound is None or type(mark.at) is type(bound.at)

    def holds(self, mark: Mark) -> bool:
        """Tell whether a record is wanted."""
        return self.upto is not None and not mark.is_after(self.upto) and (not self.after or mark.is_after(self.after))


def read_mark(value: object) -> Mark | None:
    """Return what a record's field says; None where it is no number and no time as ISO 8601 writes it."""
    if isinstance(value, bool):
        return None
    text = value.strip() if isinstance(value, str) else str(value) if isinstance(value, (int, float)) else ""
    if isinstance(value, float):
        text = format(Decimal(text), "f") if value - value == 0 else ""
    if _NUMBER.fullmatch(text):
        return Mark(text, Decimal(text))
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return None
    try:
        at = _DATETIME.validate_python(text)
    except ValidationError:
        return None
    return Mark(text, at if at.tzinfo else at.replace(tzinfo=timezone.utc))


def time_mark(at: datetime) -> Mark:
    """Return a time as a mark, in UTC, as ISO 8601 writes it."""
    plain = at.astimezone(timezone.utc)
    return Mark(plain.replace(tzinfo=None).isoformat() + "Z", plain)


def parse_cursors(text: str | None, values: tuple[str, ...]) -> dict[str, Mark]:
    """Return the marks that a cursor holds: one for each value that pages are read for, or one for all.

    Raises:
        SourceError: the text is no such cursor.
    """
    if text is None:
        return {}
    said: object = text
    if text.lstrip().startswith("{"):
        try:
            said = json.loads(text)
        except ValueError:
            said = None
    given = said if isinstance(said, Mapping) else dict.fromkeys(values, said)
    marks = {str(value): read_mark(mark) for value, mark in given.items()}
    if None in marks.values():
        raise SourceError(
            f"{text[:80]!r} is not the cursor of this source, which is a number, or a time as 2026-01-31T12:00:00Z; "
            "reset the pipeline's state to read from the beginning"
        )
    return {value: mark for value, mark in marks.items() if mark is not None}


def cursor_text(marks: Mapping[str, Mark], *, several: bool) -> str | None:
    """Return the cursor as it is kept; None where there was nothing to read yet."""
    if not marks:
        return None
    if several:
        return json.dumps({value: mark.text for value, mark in marks.items()}, ensure_ascii=False, sort_keys=True)
    return next(iter(marks.values())).text
