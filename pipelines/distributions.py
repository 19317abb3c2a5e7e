"""How rows are spread over lengths, labels, languages, scores and sizes of clusters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.source import LABEL, TEXT
from pipelines.steps.columns import SPLIT

Distribution = dict[str, int]
"""How many rows have which value, or are in which range, named by its least value."""

MAX_VALUES = 100
"""How many different values are told apart; rows with others are counted as `OTHERS`."""

OTHERS, NOTHING = "(others)", "(none)"

BYTES = "bytes of text"
"""The lengths of texts in UTF-8, in ranges of which each begins at twice the one before."""

_VALUES = (LABEL, "language", SPLIT)
_SHARES = ("quality", "language_confidence")
_SIZES = ("duplicate_count",)


def measure(batch: pa.RecordBatch) -> dict[str, Distribution]:
    """Return how the rows of a batch are spread, by what: `BYTES`, and those columns that there are.

    Columns of values are ``label`` (each of a list), ``language`` and ``split``; of shares, in tenths, ``quality`` and
    ``language_confidence``; and of sizes, in ranges as of `BYTES`, ``duplicate_count``.
    """
    found = {BYTES: _sizes(pc.binary_length(batch.column(TEXT)))} if TEXT in batch.schema.names else {}
    for name in batch.schema.names:
        column = batch.column(name)
        if name in _VALUES:
            found[name] = _values(column)
        elif name in _SHARES and pa.types.is_floating(column.type):
            found[name] = _shares(column)
        elif name in _SIZES and pa.types.is_integer(column.type):
            found[name] = _sizes(column)
    return found


def merge(into: dict[str, Distribution], more: Mapping[str, Distribution]) -> None:
    """Add distributions to others; the first `MAX_VALUES` values that are met are told apart."""
    for name, distribution in more.items():
        known = into.setdefault(name, {})
        for value, rows in distribution.items():
            key = value if value in known or len(known) < MAX_VALUES else OTHERS
            known[key] = known.get(key, 0) + rows


def in_order(name: str, *distributions: Mapping[str, int]) -> list[str]:
    """Return all values or ranges of some distributions, as they are to be shown: ranges in order, values by rows."""
    every = list(dict.fromkeys(value for one in distributions for value in one))
    if name in _VALUES:
        return sorted(every, key=lambda value: (-max(one.get(value, 0) for one in distributions), value))
    return sorted(every, key=lambda value: -1.0 if value == NOTHING else float(value))


def _sizes(column: pa.Array) -> Distribution:
    known = np.asarray(column.drop_null(), np.int64)
    # The bits of a number tell its range: 0, 1, 2-3, 4-7, …
    found = {str(1 << bits - 1 if bits else 0): rows for bits, rows in _counted(np.frexp(known)[1])}
    return found | ({NOTHING: column.null_count} if column.null_count else {})


def _shares(column: pa.Array) -> Distribution:
    known = np.asarray(column.drop_null(), np.float64)
    tenths = np.clip(np.floor(np.nan_to_num(known) * 10), 0, 9).astype(np.int64)
    found = {f"{tenth / 10:.1f}": rows for tenth, rows in _counted(tenths)}
    return found | ({NOTHING: column.null_count} if column.null_count else {})


def _counted(numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
    counts = np.bincount(numbers)
    return [(int(number), int(counts[number])) for number in np.flatnonzero(counts)]


def _values(column: pa.Array) -> Distribution:
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        column = pc.list_flatten(column)
    counted = pc.value_counts(column.cast(pa.string()))
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    merged: dict[str, Distribution] = {}
    merge(merged, {"": {NOTHING if value is None else value: rows for value, rows in pairs}})
    return merged.get("", {})
