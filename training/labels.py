"""Counting the labels of a Dataset, ordering them, and turning them into class ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from training.errors import LabelError

if TYPE_CHECKING:
    from ray.data import Dataset

LABEL = "label"

_SHOWN = 10
"""How many labels an error names before it says "and n more"."""


def count_labels(dataset: Dataset, *, split: str) -> dict[str, int]:
    """Return how many rows each label has; the counting runs in Ray tasks, one a block.

    Args:
        dataset: rows with a ``label``.
        split: what to call the rows in an error, e.g. ``training``.

    Raises:
        LabelError: there are no rows, no column ``label``, or labels that are null or not strings.
    """
    schema = dataset.schema()
    if schema is None:
        raise LabelError(f"the {split} split has no rows; look at the steps before it and at the split's shares")
    if LABEL not in schema.names:
        raise LabelError(
            f"the {split} split has no column {LABEL!r}, only {', '.join(schema.names)}; give the source its label, or "
            f"rename the column that holds it to {LABEL!r}"
        )
    totals: Counter[str] = Counter()
    counted = dataset.map_batches(count_block, batch_format="pyarrow", batch_size=None)
    tables: Iterable[pa.Table] = counted.iter_batches(batch_format="pyarrow", batch_size=None)
    for counts in tables:
        problem = next((value for value in counts["problem"].to_pylist() if value), None)
        if problem:
            raise LabelError(f"the {split} split: {problem}")
        totals.update(dict(zip(counts[LABEL].to_pylist(), counts["rows"].to_pylist(), strict=True)))
    if not totals:
        raise LabelError(f"the {split} split has no rows; look at the steps before it and at the split's shares")
    return dict(sorted(totals.items()))


def order_labels(counts: Mapping[str, int], wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the classes in the order of their ids: as given, else sorted.

    Args:
        counts: rows per label in the training split.
        wanted: the order asked for; it must name exactly the labels that occur.

    Raises:
        LabelError: fewer than two classes, a class with one example, or labels other than the wanted ones.
    """
    if len(counts) < 2:
        raise LabelError(
            f"there is nothing to tell apart: every training row is labelled {_listed(counts)}; a classifier needs two "
            "classes or more"
        )
    alone = [label for label, rows in counts.items() if rows < 2]
    if alone:
        raise LabelError(
            f"one training example is not enough for a class, and {_listed(alone)} has no more; add examples, merge "
            "the class with another (map_labels), or drop it"
        )
    if wanted is None:
        return tuple(sorted(counts))
    unknown, absent = sorted(set(counts) - set(wanted)), [label for label in wanted if label not in counts]
    if unknown:
        raise LabelError(
            f"training rows carry {_listed(unknown)}, which labels: does not name; it names {_listed(wanted)}; "
            "add them there, or map or drop these rows"
        )
    if absent:
        raise LabelError(
            f"labels: names {_listed(absent)}, and no training row carries that; training has {_listed(counts)}; "
            "remove it there, or add examples"
        )
    return wanted


def check_known(counts: Mapping[str, int], labels: tuple[str, ...], *, split: str) -> None:
    """Check that a split has no labels but those that were trained on.

    Raises:
        LabelError: it has; the message names them.
    """
    unknown = sorted(set(counts) - set(labels))
    if unknown:
        raise LabelError(
            f"the {split} split has the labels {_listed(unknown)}, which training never saw; it saw {_listed(labels)}; "
            "split within each label, or map or drop these rows"
        )


def label_ids(column: pa.ChunkedArray, labels: tuple[str, ...]) -> pa.ChunkedArray:
    """Return each label's position in `labels`, as int32.

    Raises:
        LabelError: a label is not among them.
    """
    ids = pc.index_in(column.cast(pa.string()), value_set=pa.array(labels, pa.string()))
    if ids.null_count:
        found = pc.unique(column.cast(pa.string()).filter(pc.is_null(ids))).to_pylist()
        raise LabelError(f"the labels {_listed(map(str, found))} are not among those trained on: {_listed(labels)}")
    return ids


def count_block(block: pa.Table) -> pa.Table:
    """Return rows per label of one block: columns ``label``, ``rows``, and ``problem`` where they cannot be counted."""
    column = block.column(LABEL)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    problem = None
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        problem = f"column {LABEL!r} holds lists, and this trainer learns one label a row; give it a string"
    elif block.num_rows and not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        problem = f"column {LABEL!r} is of type {kind}, and labels are strings; cast the column to string"
    elif column.null_count:
        problem = f"{column.null_count:,} rows have no label (null); drop them, or label them"
    if problem:
        return _counted([""], [0], [problem])
    found = pc.value_counts(column.cast(pa.string()))
    return _counted(found.field("values"), found.field("counts"), [None] * len(found))


def _counted(labels: pa.Array | list[str], rows: pa.Array | list[int], problems: list[str | None]) -> pa.Table:
    types = pa.schema([(LABEL, pa.string()), ("rows", pa.int64()), ("problem", pa.string())])
    columns = [pa.array(values, field.type) for values, field in zip((labels, rows, problems), types, strict=True)]
    return pa.Table.from_arrays(columns, schema=types)


def _listed(labels: Iterable[str]) -> str:
    names = [repr(label) for label in labels]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
