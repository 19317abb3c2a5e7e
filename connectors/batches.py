"""Gathering rows into batches of a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa

from connectors.source import BATCH_BYTES, LABEL, ROW_ID, TEXT, BadRow

_Row = TypeVar("_Row")

_ROW_OVERHEAD = 200
"""Bytes that a row costs in Python besides its text (CPython's tuple, string headers and list slots)."""


def gather(
    records: Iterable[tuple[int, _Row] | BadRow],
    convert: Callable[[list[_Row]], Iterable[pa.RecordBatch | BadRow]],
) -> Iterator[pa.RecordBatch | BadRow]:
    """Pass bad rows on as they come, and the others through `convert` in lists of about `BATCH_BYTES`.

    Args:
        records: rows, each with its size in bytes, and bad rows.
        convert: makes batches of a list of rows; may find further bad ones.
    """
    rows: list[_Row] = []
    size = 0
    for record in records:
        if isinstance(record, BadRow):
            yield record
            continue
        size += record[0] + _ROW_OVERHEAD
        rows.append(record[1])
        if size >= BATCH_BYTES:
            yield from convert(rows)
            rows, size = [], 0
    if rows:
        yield from convert(rows)


def text_schema(*, labelled: bool) -> pa.Schema:
    """Return the columns of a source of plain text: ``row_id``, ``text`` and perhaps ``label``, all strings."""
    names = (ROW_ID, TEXT, LABEL) if labelled else (ROW_ID, TEXT)
    return pa.schema([(name, pa.string()) for name in names])


def text_batch(rows: Sequence[tuple[str, str, str | None]], *, labelled: bool) -> pa.RecordBatch:
    """Return rows of id, text and label as a batch of `text_schema`."""
    schema = text_schema(labelled=labelled)
    columns = list(zip(*rows, strict=True))[: len(schema)]
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema)
