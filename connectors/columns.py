"""Giving a table's columns the names and types that rows have, and setting its unusable rows aside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrow_types import plain_type
from connectors.errors import SourceSchemaError
from connectors.source import LABEL, MAX_VALUE_CHARACTERS, ROW_ID, TEXT, BadRow


@dataclass(frozen=True)
class ColumnNames:
    """The options by which a source of tables says which column is which.

    Attributes:
        text: the column that becomes ``text``.
        label: the column that becomes ``label``; None takes one named ``label`` if there is one.
        row_id: the key column that becomes ``row_id``; None makes ids of file and position.
    """

    text: str
    label: str | None
    row_id: str | None

    def over(self, found: pa.Schema, origin: str) -> Layout:
        """Return how rows are made from the columns `found`.

        Raises:
            SourceSchemaError: a column named here is absent, has a type that cannot be used, or would clash with
                another column once it is renamed.
        """
        repeated = [name for name, count in Counter(found.names).items() if count > 1]
        if repeated:
            raise SourceSchemaError(
                f"{origin} has more than one column named {repeated[0]!r}; give each a name of its own"
            )
        renamed = self._renamed(found, origin)
        given = {source: target for target, source in renamed.items()}
        fields = [pa.field(target, _core_type(found, target, source, origin)) for target, source in renamed.items()]
        if ROW_ID not in renamed:
            fields.insert(0, pa.field(ROW_ID, pa.string()))
        for field in found:
            if field.name in given:
                continue
            if field.name in (TEXT, LABEL, ROW_ID):
                taken = f"and its column {renamed[field.name]!r} is to be" if field.name in renamed else "and ids are"
                raise SourceSchemaError(
                    f"{origin} has a column named {field.name!r}, {taken} given that name; rename the column in the "
                    f"data, or name it in the option '{_OPTIONS[field.name]}'"
                )
            fields.append(pa.field(field.name, plain_type(field.type)))
        read = fields if self.row_id is not None else fields[1:]
        sources = tuple(renamed.get(field.name, field.name) for field in read)
        return Layout(pa.schema(fields), sources, self.row_id is not None, self.label is not None)

    def require_in(self, names: Sequence[str], address: str) -> None:
        """See to it that one of several files has the columns that its rows are nothing without.

        Raises:
            SourceSchemaError: it has not.
        """
        for name in (self.text, self.label, self.row_id):
            if name is not None and name not in names:
                raise SourceSchemaError(
                    f"{address} has no column {name!r}, which other files of the source have; it has: "
                    f"{', '.join(names)}"
                )

    def targets(self, names: Sequence[str]) -> list[str]:
        """Return what columns are called in rows that are called `names` in the table."""
        given = {self.text: TEXT, self.label: LABEL, self.row_id: ROW_ID}
        return [given.get(name, name) for name in names]

    def _renamed(self, found: pa.Schema, origin: str) -> dict[str, str]:
        """Return the found column for each of ``row_id``, ``text`` and ``label``, as far as there is one."""
        label = self.label if self.label is not None or LABEL not in found.names else LABEL
        wanted = {ROW_ID: self.row_id, TEXT: self.text, LABEL: label}
        renamed = {target: source for target, source in wanted.items() if source is not None}
        for target, source in renamed.items():
            if source not in found.names:
                raise SourceSchemaError(
                    f"{origin} has no column {source!r} for {target}; it has: {', '.join(found.names) or 'none'}; name "
                    f"the right one in the option '{_OPTIONS[target]}'"
                )
        repeated = [source for source, count in Counter(renamed.values()).items() if count > 1]
        if repeated:
            raise SourceSchemaError(
                f"{origin}: column {repeated[0]!r} is named for more than one purpose; name each once"
            )
        return renamed


@dataclass(frozen=True)
class Layout:
    """How rows are made from a table's columns; see `ColumnNames.over`.

    Attributes:
        schema: the rows' columns: ``row_id``, ``text``, ``label`` if there is one, and the rest in their order.
        sources: the table's columns in the order of `schema`, without one for ``row_id`` if ids are made.
        keyed: True if ``row_id`` comes from a column.
        label_required: True if a row without a label is a bad row.
    """

    schema: pa.Schema
    sources: tuple[str, ...]
    keyed: bool
    label_required: bool

    def narrowed(self, columns: Sequence[str] | None) -> Layout:
        """Return the layout with ``row_id``, ``text``, ``label`` and, of the rest, only `columns`; None is all."""
        if columns is None:
            return self
        wanted = {ROW_ID, TEXT, LABEL, *columns}
        fields = [field for field in self.schema if field.name in wanted]
        names = self.schema.names if self.keyed else self.schema.names[1:]
        sources = tuple(source for name, source in zip(names, self.sources, strict=True) if name in wanted)
        return Layout(pa.schema(fields), sources, self.keyed, self.label_required)

    def rows(
        self, batch: pa.RecordBatch, positions: pa.Array, *, origin: str, name: str
    ) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a batch of the table, good ones in one batch and the others each by itself.

        Args:
            batch: has at least the columns `sources`.
            positions: where each row is in the origin, int64, from 1.
            origin: the file or table, for the record of a bad row.
            name: what ids begin with where they are made.
        """
        columns = [batch.column(source) for source in self.sources]
        if not self.keyed:
            columns = [pc.binary_join_element_wise(name, positions.cast(pa.string()), ":"), *columns]
        columns = [_cast(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        faults = self._faults(columns)
        rows = pa.RecordBatch.from_arrays(columns, schema=self.schema)
        for index, (rule, reason) in sorted(faults.items()):
            position = positions[index].as_py()
            row_id = rows.column(ROW_ID)[index].as_py() or f"{name}:{position}"
            yield BadRow(rule, reason, origin, position, _shown(batch, index), row_id)
        if faults:
            keep = pa.array([index not in faults for index in range(rows.num_rows)], pa.bool_())
            rows = rows.filter(keep)
        if rows.num_rows:
            yield rows

    def _faults(self, columns: list[pa.Array]) -> dict[int, tuple[str, str]]:
        """Return what is wrong with the rows that cannot be used, by their place in the batch."""
        faults: dict[int, tuple[str, str]] = {}
        for field, column in reversed(list(zip(self.schema, columns, strict=True))):
            required = field.name in (TEXT, ROW_ID) or (field.name == LABEL and self.label_required)
            if required and column.null_count:
                for index in _indices(pc.is_null(column)):
                    faults[index] = _NULLS[field.name]
            if field.name == LABEL and pa.types.is_list(field.type):
                for index in _null_members(column):
                    faults[index] = ("null_label", "a null among the labels")
            if pa.types.is_string(field.type):
                for index in _not_utf8(column):
                    faults[index] = ("undecodable", f"column {field.name!r} is said to be UTF-8 and is not")
        return faults


def positions_from(first: int, count: int) -> pa.Array:
    """Return the positions of rows that follow one another, int64."""
    return pa.array(np.arange(first, first + count))


_OPTIONS = {TEXT: "text_column", LABEL: "label_column", ROW_ID: "id_column"}
_NULLS = {
    TEXT: ("null_text", "the text is null or missing"),
    LABEL: ("null_label", "the label is null or missing"),
    ROW_ID: ("null_id", "the key is null or missing"),
}


def _core_type(found: pa.Schema, target: str, source: str, origin: str) -> pa.DataType:
    """Return the type that ``row_id``, ``text`` or ``label`` gets, having checked that the column can be that."""
    kind = plain_type(found.field(source).type)
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return pa.string()
    if target == LABEL and pa.types.is_list(kind) and _is_scalar_label(kind.value_type):
        return pa.list_(pa.string())
    if target == LABEL and _is_scalar_label(kind):
        return pa.string()
    if target == ROW_ID and pa.types.is_integer(kind):
        return pa.string()
    allowed = {
        TEXT: "strings",
        LABEL: "strings, numbers, booleans, or lists of those",
        ROW_ID: "strings or whole numbers",
    }[target]
    raise SourceSchemaError(
        f"{origin}: column {source!r} holds {kind}, and {target} must be {allowed}; name another column in the option "
        f"'{_OPTIONS[target]}', or convert this one"
    )


def _is_scalar_label(kind: pa.DataType) -> bool:
    types = pa.types
    return any(
        test(kind) for test in (types.is_string, types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    )


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type.equals(kind):
        return column
    # Timestamps finer than a microsecond are the one case that loses digits: Spark has none finer.
    return column.cast(kind, safe=not pa.types.is_timestamp(column.type))


def _indices(mask: pa.Array) -> list[int]:
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


def _null_members(column: pa.Array) -> list[int]:
    members = pc.list_flatten(column)
    if not members.null_count:
        return []
    parents = pc.list_parent_indices(column).filter(pc.is_null(members))
    return sorted(set(parents.to_pylist()))


def _not_utf8(column: pa.Array) -> list[int]:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return [index for index in range(len(column)) if not _is_utf8(column[index])]
    return []


def _is_utf8(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _shown(batch: pa.RecordBatch, index: int) -> str:
    try:
        row = batch.slice(index, 1).to_pylist()[0]
    except UnicodeDecodeError:
        return "(a row with bytes that are not UTF-8)"
    return json.dumps(row, ensure_ascii=False, default=str)[:MAX_VALUE_CHARACTERS]
