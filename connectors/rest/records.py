"""Making rows of the records that a server lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from connectors.batches import gather
from connectors.columns import ColumnNames, Layout
from connectors.errors import SourceSchemaError
from connectors.files.json_types import DriftError, coercer, describe, infer_schema
from connectors.files.lines import Fault
from connectors.rest.cursor import Window, read_mark
from connectors.rest.pages import Listing, Page, look_up
from connectors.source import MAX_VALUE_CHARACTERS, ROW_ID, BadRow

_KEY = "headrace key"


@dataclass(frozen=True)
class RecordColumns:
    """The options by which a source of JSON says what its columns are.

    Attributes:
        text: the column that becomes ``text``.
        label: the column that becomes ``label``; None takes one named ``label``, if there is one.
        row_id: the column that becomes ``row_id``; None makes ids.
        cursor: the column that says how far a listing has come; None where no position is kept.
        value: the column that is given what a listing is read for; None leaves it out.
        paths: column to dotted path in the record; empty takes a record's own names.
    """

    text: str
    label: str | None
    row_id: str | None
    cursor: str | None
    value: str | None
    paths: Sequence[tuple[str, str]]

    def flat(self, record: object, listing: Listing) -> dict[str, object] | None:
        """Return a record by columns; None if it is no object."""
        if not isinstance(record, dict):
            return None
        flat = {name: look_up(record, path) for name, path in self.paths} if self.paths else dict(record)
        return flat | {self.value: listing.value} if self.value is not None else flat

    def infer(self, records: Iterable[object], listing: Listing) -> pa.Schema:
        """Return the columns that records have."""
        return infer_schema(flat for one in records if (flat := self.flat(one, listing)) is not None)

    def layout(self, found: pa.Schema, origin: str) -> Layout:
        """Return how rows are made of the columns `found`.

        Raises:
            SourceSchemaError: a column that an option names is not there, or cannot be what it is to be.
        """
        for option, name in (("id_column", self.row_id), ("cursor_column", self.cursor)):
            if name is not None and name not in found.names:
                raise SourceSchemaError(
                    f"{origin} has no field {name!r} as the option '{option}' wants; it has: {', '.join(found.names)}"
                )
        if self.row_id is not None and found.field(self.row_id).type not in (pa.string(), pa.int64(), pa.null()):
            raise SourceSchemaError(
                f"{origin}: {self.row_id!r} holds {found.field(self.row_id).type}, and {ROW_ID} must be strings or "
                "whole numbers; name another field in the option 'id_column'"
            )
        rest = [field for field in found if field.name != self.row_id]
        return ColumnNames(self.text, self.label, _KEY).over(pa.schema([(_KEY, pa.string()), *rest]), origin)

    def rows(
        self, pages: Iterable[Page], listing: Listing, found: pa.Schema, window: Window | None
    ) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a listing's pages, as far as they are in the window."""
        layout = self.layout(found, listing.url)
        rest = [field for field in found if field.name != self.row_id]
        schema = pa.schema([(_KEY, pa.string()), *rest])
        reader = _Reader(self, listing, window, tuple((field, coercer(field.type)) for field in rest))

        def convert(rows: list[tuple[int, list[object]]]) -> Iterator[pa.RecordBatch | BadRow]:
            positions = pa.array([position for position, _ in rows], pa.int64())
            columns = zip(*(values for _, values in rows), strict=True)
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            return layout.rows(batch, positions, origin=listing.url, name=listing.key)

        yield from gather(reader.records(pages), convert)


@dataclass(frozen=True)
class _Reader:
    """Takes the records of a listing's pages apart.

    Attributes:
        columns: what becomes of a record.
        listing: that they are listed in.
        window: which of them are wanted; None is all.
        coercers: of each column but the key.
    """

    columns: RecordColumns
    listing: Listing
    window: Window | None
    coercers: Sequence[tuple[pa.Field, Callable[[object], object]]]

    def records(self, pages: Iterable[Page]) -> Iterator[tuple[int, tuple[int, list[object]]] | BadRow]:
        """Yield the size, the position and the values of each record that is wanted, and the bad ones."""
        before: set[str] = set()
        for page in pages:
            keys: set[str] = set()
            for position, record in enumerate(page.records, page.first):
                made = f"{page.name}:{position}"
                flat = self.columns.flat(record, self.listing)
                key = made if self.columns.row_id is None else _key((flat or {}).get(self.columns.row_id))
                row = self._row(record, flat, key)
                if row is not None and key is not None and (key in before or key in keys):
                    row = Fault("repeated_record", f"{key!r} was listed shortly before; the listing may have moved")
                    key = None
                if isinstance(row, Fault):
                    value = json.dumps(record)[:MAX_VALUE_CHARACTERS]
                    yield BadRow(row.rule, row.reason, page.url, position, value, key or made)
                elif row is not None:
                    yield len(str(record)), (position, row)
                keys |= {key} if key is not None else set()
            before = keys

    def _row(self, record: object, row: dict[str, object] | None, key: str | None) -> list[object] | Fault | None:
        """Return a record's key and values, what is wrong with it, or None where it is not wanted.

        Args:
            record: as it is listed.
            row: the record by columns; None if it is no object.
            key: of the record; None if it has none that can be used.
        """
        if row is None:
            return Fault("not_an_object", f"{describe(record)}, and every record must be an object")
        if self.window is not None:
            mark = read_mark(row.get(self.columns.cursor or ""))
            if mark is None or not self.window.compares(mark):
                return Fault("bad_cursor", f"{self.columns.cursor!r} does not say whether the record was read before")
            if not self.window.holds(mark):
                return None
        if not _is_text(record):
            return Fault("undecodable", "half of a surrogate pair, which is no character")
        if key is None:
            return Fault("null_id", f"{self.columns.row_id!r} is missing, or no string and no whole number")
        values: list[object] = [key]
        for field, coerce in self.coercers:
            value = row.get(field.name)
            try:
                values.append(coerce(value))
            except DriftError:
                return Fault(
                    "type_drift",
                    f"{field.name!r} is {describe(value)}, and the column is {field.type}; if that is wrong, declare "
                    "the option 'types'",
                )
        return values


def _key(value: object) -> str | None:
    usable = isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" and _is_text(value)
    return str(value) if usable else None


def _is_text(record: object) -> bool:
    # JSON can escape half of a surrogate pair, which no encoding can hold.
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
