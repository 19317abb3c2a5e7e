"""A source of JSON over HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import ClassVar
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from connectors.errors import EmptySourceError, SourceError
from connectors.files.json_types import parse_type
from connectors.options import Items
from connectors.rest.client import RestClient
from connectors.rest.cursor import cursor_text, parse_cursors
from connectors.rest.options import Pages
from connectors.rest.pages import Listing, Pager, Span
from connectors.rest.plan import Increments, RestPart, RestPartition, divide
from connectors.rest.records import RecordColumns
from connectors.rest.server import ServerOptions
from connectors.source import BadRow, Partition, PartitionedSource, Plan

_VALUE = "{value}"
_WHOLE = "all"


class Rest(ServerOptions, PartitionedSource):
    """Records that a server lists as JSON, over HTTP, page by page.

    Pages are read one after the other, by one task, as each leads to the next one. They are divided among tasks where
    `pages` are numbers or offsets and say their `total`, and where `for_each` gives several addresses.

    A record that is no object, lacks its text or key, or holds a value of another type than its column has is a bad
    row. So is one with the key of a record on the same page or the one before, as happens where records are added
    while pages are read. ``row_id`` is the field `id_column`, or made of the page and the position, and then means the
    same record for as long as the listing stays as it is. A task that is repeated reads again: it gives the same rows
    where the listing has not changed. Where it does change, prefer pages by link or cursor, oldest first, and a key:
    pages by number and offset pass records over when earlier ones are deleted.

    With a `cursor_column`, a plan knows how far each listing has come, and the next one reads on from there, `late`
    before, as records may appear out of order; those are read again, for a sink that merges by keys. To know it, a plan
    goes through the pages that have come since and keeps the largest value; tasks read them again, and leave out what
    has come after. Of times, the last second of the server's clock, as it is not over, and the future wait for a later
    plan, and do not move the cursor. With `newest_first` a plan asks for one page only, unless all of it is to wait;
    with `until_parameter` (times only) it asks for none, the cursor is the server's clock, and `late` must cover the
    time from a record's stamp to its appearance.

    Attributes:
        records: the dotted path of the list of records in the response; empty: the response is the list.
        pages: how the listing is divided into pages; None: it is one.
        max_pages: more of one listing are refused.
        text_column: the field that becomes ``text``.
        label_column: the field that becomes ``label``, and must not be missing; None takes ``label``, if there is one.
        id_column: a field, unique in the whole source, that becomes ``row_id``.
        fields: column to dotted path in the record; empty makes a column of each field.
        types: column to type (``string``, ``int64``, ``float64``, ``bool``, ``list<…>``); empty infers columns and
            types from the first page.
        for_each: values that take the place of ``{value}`` in `url`, in turn: each makes a listing.
        value_column: the column that is given the value of `for_each`.
        partitions_wanted: how many partitions there are at most.
        cursor_column: a field that grows with each record that comes or changes: a number, or a time as ISO 8601
            writes it.
        since_parameter: the query parameter by which the server is told to list what comes after the cursor; None reads
            all and leaves out what is older.
        until_parameter: the query parameter by which it is told where to end.
        newest_first: whether the records with the largest cursor are listed first.
        late: how far before the cursor reading on begins: units of a number, seconds of a time.
    """

    identity_options: ClassVar[tuple[str, ...]] = (
        "url",
        "parameters",
        "headers",
        "records",
        "id_column",
        "cursor_column",
    )

    records: str = ""
    pages: Pages | None = None
    max_pages: int = Field(default=10_000, ge=1)
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None
    fields: Items[str] = ()
    types: Items[str] = ()
    for_each: tuple[str, ...] = ()
    value_column: str | None = None
    partitions_wanted: int = Field(default=8, ge=1)
    cursor_column: str | None = None
    since_parameter: str | None = None
    until_parameter: str | None = None
    newest_first: bool = False
    late: float = Field(default=0.0, ge=0)

    @field_validator("types")
    @classmethod
    def _are_known(cls, value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for _, name in value:
            parse_type(name)
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if bool(self.for_each) != (_VALUE in self.url):
            raise ValueError("'for_each' and {value} in 'url' go together: its values take the place of {value}")
        wrong = [value for value in self.for_each if value.strip(".") == "" or self.for_each.count(value) > 1]
        if wrong:
            raise ValueError(f"the values of 'for_each' must be parts of a path, each once; got {wrong[0]!r}")
        if self.value_column is not None and not self.for_each:
            raise ValueError("'value_column' goes with 'for_each'")
        beside = ("since_parameter", "until_parameter", "newest_first", "late")
        used = [name for name in beside if getattr(self, name)]
        if used and self.cursor_column is None:
            raise ValueError(f"'{used[0]}' goes with 'cursor_column'")
        if self.cursor_column is not None and self.id_column is None:
            raise ValueError(
                "'cursor_column' needs 'id_column': ids that are made of positions come again in the next increment"
            )
        return self

    def identity(self) -> dict[str, object]:
        """Return what the rows are listed by, and which field the cursor is of; see `Source.identity`."""
        path = dict(self.fields).get(self.cursor_column or "")
        return super().identity() | ({} if path is None else {"cursor's field": path})

    def read_schema(self) -> pa.Schema:
        """Return the columns, declared or of the first page's records; see `PartitionedSource.read_schema`."""
        with self.asking() as client:
            return self._columns().layout(self._head(client)[0], self.url).schema

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield the listings, or parts of them; see `PartitionedSource.plan`. Columns and predicate are not used."""
        if since is not None and self.cursor_column is None:
            raise SourceError(
                "Rest keeps no position without a cursor_column, so it cannot read on from a cursor; name one, or "
                "leave 'since' out"
            )
        listings = self._listings()
        reached = parse_cursors(since, tuple(listing.value for listing in listings))
        with self.asking() as client:
            found, now = self._head(client)
            self._columns().layout(found, self.url)
            if self.cursor_column is None:
                parts = [RestPart(listing) for listing in listings]
            else:
                pager, increments = self._pager(client), self._increments()
                bounded = [increments.bounded(pager, one, reached.get(one.value), now) for one in listings]
                parts = [part for part in bounded if part is not None]
                reached |= {part.listing.value: part.window.upto for part in parts if part.window and part.window.upto}
            divided = divide(self._pager(client), parts, found, self.partitions_wanted)
        yield Plan(divided, cursor_text(reached, several=bool(self.for_each)))

    def reads_again(self) -> bool:
        """Tell whether there is a window for late rows; see `PartitionedSource.reads_again`."""
        return self.late > 0

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the records of a partition's listings, page by page."""
        assert isinstance(partition, RestPartition)
        columns = self._columns()
        with self.asking(partition.share) as client:
            for part in partition.parts:
                pages = self._pager(client).go(part.listing, part.span)
                yield from columns.rows(pages, part.listing, partition.found, part.window)

    def _head(self, client: RestClient) -> tuple[pa.Schema, datetime]:
        """Return the columns, as declared or as the first page with records has them, and the server's clock."""
        for listing in self._listings():
            page = next(self._pager(client).go(listing, Span()))
            if not page.records:
                continue
            found = pa.schema([(name, parse_type(kind)) for name, kind in self.types])
            if self.types and self.value_column is not None and self.value_column not in found.names:
                found = found.append(pa.field(self.value_column, pa.string()))
            found = found if self.types else self._columns().infer(page.records, listing)
            return found, page.served or datetime.now(timezone.utc)
        raise EmptySourceError(
            f"{self.url} lists no record" + (f" for any of {len(self.for_each)} values" if self.for_each else "")
        )

    def _listings(self) -> list[Listing]:
        parameters = self.open_parameters()
        if not self.for_each:
            return [Listing(_WHOLE, self.url, parameters)]
        values = [(value, quote(value, safe="")) for value in self.for_each]
        return [Listing(written, self.url.replace(_VALUE, written), parameters, value) for value, written in values]

    def _pager(self, client: RestClient) -> Pager:
        return Pager(client, self.pages, self.records, self.max_pages)

    def _columns(self) -> RecordColumns:
        return RecordColumns(
            self.text_column, self.label_column, self.id_column, self.cursor_column, self.value_column, self.fields
        )

    def _increments(self) -> Increments:
        return Increments(self._columns(), self.since_parameter, self.until_parameter, self.newest_first, self.late)
