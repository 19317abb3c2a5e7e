"""Telling the records of a CSV file apart, and going on after a broken one."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.files.lines import MAX_RECORD_BYTES, Fault, decode, read_lines
from connectors.files.partition import FilePart


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written; see `connectors.Csv` for the meaning of each."""

    delimiter: str
    quote: str | None
    escape: str | None
    encoding: str


@dataclass(frozen=True)
class Record:
    """One record of a CSV file.

    Attributes:
        line: the number of the line that it begins on, from 1.
        raw: its bytes.
        fields: its fields, or what is wrong with it.
    """

    line: int
    raw: bytes
    fields: list[str] | Fault


def read_records(part: FilePart, dialect: Dialect) -> Iterator[Record]:
    """Yield the records of a file in order; empty lines between them are none.

    When the quoting of a record is broken, its first line alone is the bad record, and reading goes on with the line
    after it: a stray quote must not swallow the good records that follow.
    """
    # The limit is the csv module's own state and guards against what MAX_RECORD_BYTES guards against here; raising it
    # takes nothing from other users of the module.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES + 1))
    feed = _Feed(read_lines(part), dialect.encoding)
    reader = csv.reader(
        feed,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=csv.QUOTE_NONE if dialect.quote is None else csv.QUOTE_MINIMAL,
        strict=True,
    )
    while True:
        feed.start()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLongError) as error:
            yield feed.first_line(error)
            continue
        if fields:
            (line, _), raw = feed.taken[0], b"".join(data for _, data in feed.taken)
            yield Record(line, raw, feed.fault or fields)


class _TooLongError(Exception):
    """A record goes on for longer than `MAX_RECORD_BYTES`."""


class _Feed:
    """Hands lines to the csv reader, and takes back those of a record that turned out to be broken.

    Attributes:
        taken: the lines of the current record, with their numbers.
        fault: the first line among them that is no text in the encoding, as a fault.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]], encoding: str) -> None:
        self.start()
        self._lines = lines
        self._returned: deque[tuple[int, bytes]] = deque()
        self._encoding = encoding

    def start(self) -> None:
        """Begin a new record."""
        self.taken: list[tuple[int, bytes]] = []
        self.fault: Fault | None = None
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        self._size += len(line[1])
        if self._size > MAX_RECORD_BYTES:
            raise _TooLongError
        text = decode(line[1], self._encoding)
        if isinstance(text, str):
            return text
        self.fault = self.fault or text
        # The parser is to see the commas and quotes all the same; NUL it would refuse before Python 3.11.
        return line[1].decode(self._encoding, "surrogateescape").replace("\0", "\udc00")

    def first_line(self, error: Exception) -> Record:
        """Return the first line taken as a broken record, and keep the others for the next one."""
        (number, data), *others = self.taken
        self._returned.extendleft(reversed(others))
        fault = decode(data, self._encoding)
        if isinstance(fault, str):
            endless = isinstance(error, _TooLongError) or others or "end of data" in str(error)
            detail = "a quoted field does not end where a field can end" if endless else str(error)
            fault = Fault("malformed_csv", f"broken quoting: {detail}")
        return Record(number, data, fault)
