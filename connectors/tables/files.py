"""The data files of a table: dividing them among tasks, and telling which of them can hold what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columns import Layout
from connectors.files.partition import MAX_FILES, MAX_PARTITION_BYTES, MIN_PARTITION_BYTES, WANTED_PARTITIONS

_File = TypeVar("_File")


def grouped(files: Sequence[_File], size: Callable[[_File], int]) -> Iterator[tuple[_File, ...]]:
    """Put neighbouring small files together; a large one stays by itself."""
    wanted = sum(map(size, files)) // WANTED_PARTITIONS
    target = min(MAX_PARTITION_BYTES, max(MIN_PARTITION_BYTES, wanted))
    group: list[_File] = []
    used = 0
    for file in files:
        if group and (used + size(file) > target or len(group) == MAX_FILES):
            yield tuple(group)
            group, used = [], 0
        group.append(file)
        used += size(file)
    if group:
        yield tuple(group)


@dataclass(frozen=True)
class Known:
    """What a table's metadata says of the values in a file, by column.

    Attributes:
        constants: what every row has; None is null.
        least: the least value, or one that is less.
        most: the greatest value, or one that is greater.
        nulls: how many nulls there are.
    """

    constants: Mapping[str, object] = field(default_factory=dict)
    least: Mapping[str, object] = field(default_factory=dict)
    most: Mapping[str, object] = field(default_factory=dict)
    nulls: Mapping[str, int] = field(default_factory=dict)


def may_hold(
    files: Sequence[_File], known: Callable[[_File], Known], layout: Layout, predicate: pc.Expression | None
) -> list[_File]:
    """Return the files that may hold a row that the predicate wants; all of them where that cannot be told.

    Args:
        files: of the table.
        known: what is known of a file, by the table's columns.
        layout: how rows are made of those, as the predicate names the rows' columns.
        predicate: which rows are wanted.
    """
    if predicate is None:
        return list(files)
    # Imported late, because it imports pandas.
    import pyarrow.dataset as pds
    from pyarrow.fs import LocalFileSystem

    names = layout.schema.names if layout.keyed else layout.schema.names[1:]
    sources = {source: name for name, source in zip(names, layout.sources, strict=True)}
    format_, nowhere = pds.ParquetFileFormat(), LocalFileSystem()
    try:
        fragments = [
            format_.make_fragment(str(number), nowhere, _guarantee(known(file), sources, layout.schema))
            for number, file in enumerate(files)
        ]
        found = pds.FileSystemDataset(fragments, layout.schema, format_, nowhere).get_fragments(filter=predicate)
        return [files[int(fragment.path)] for fragment in found]
    except (pa.ArrowException, ValueError, TypeError):
        return list(files)


def _guarantee(known: Known, names: Mapping[str, str], schema: pa.Schema) -> pc.Expression:
    """Return an expression that is true of all rows of a file."""
    said = pc.scalar(True)
    for one in _said(known, names, schema):
        said = said & one
    return said


def _said(known: Known, names: Mapping[str, str], schema: pa.Schema) -> Iterable[pc.Expression]:
    for source, name in names.items():
        kind, column = schema.field(name).type, pc.field(name)
        if source in known.constants:
            value = known.constants[source]
            if value is None:
                yield column.is_null()
            elif isinstance(value, str) == pa.types.is_string(kind):
                yield column == pa.scalar(value, kind)
            continue
        # Of other types, the extremes are rounded, or leave values out that a predicate may want.
        if not (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_date(kind)):
            continue
        for value, relation in ((known.least.get(source), column.__ge__), (known.most.get(source), column.__le__)):
            if value is None or isinstance(value, str) != pa.types.is_string(kind):
                continue
            bound = relation(pa.scalar(value, kind))
            yield bound if known.nulls.get(source) == 0 else bound | column.is_null()
