"""Running Python over a frame's rows as Arrow batches: `DataFrame.mapInArrow`, without its weak places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType

Work = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]


def map_in_arrow(frame: DataFrame, work: Work, schema: StructType) -> DataFrame:
    """Return ``frame.mapInArrow(work, schema)``, for columns of any name, with batches that Arrow C++ can use.

    PySpark takes the names for expressions, so that it does not find one with a dot or a backtick in it, or two that
    differ in case alone. Of the batches see `well_formed`.
    """
    names = [field.name for field in frame.schema]
    if len({name.casefold() for name in names}) < len(names) or any(set(name) & {".", "`"} for name in names):
        frame = frame.toDF(*(str(number) for number in range(len(names))))
    return frame.mapInArrow(_WithGoodBatches(tuple(names), work), schema)


@dataclass(frozen=True)
class _WithGoodBatches:
    """Does `work` over batches that have the frame's names and are well formed."""

    names: tuple[str, ...]
    work: Work

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        return self.work(self._good(batches))

    def _good(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            fields = [field.with_name(name) for field, name in zip(batch.schema, self.names, strict=True)]
            columns = [well_formed(column, field) for column, field in zip(batch, fields, strict=True)]
            yield pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def well_formed(column: pa.Array, field: pa.Field) -> pa.Array:
    """Return a column that Spark's JVM has written, with the same values, as Arrow C++ demands it.

    - Where all of the lists or maps that hold lists are empty, Arrow Java before version 19 leaves out the one offset
      that those within must have (https://github.com/apache/arrow-java/issues/343). A look at the size of such a
      column, as Ray takes, ends the process with a segmentation fault. It gets its offsets.
    - Where a struct is null, Spark writes nulls for its fields, for those also that never are null. Arrow C++ then
      refuses the column when it is cast, even to its own type. Such fields get no nulls, as the struct's hides them.

    Args:
        column: no slice.
        field: what it is a column of.
    """
    kind = column.type
    if not len(column):
        return pa.array([], kind)
    nulls, *values = column.buffers()
    children: list[pa.Array] | None = None
    if pa.types.is_nested(kind):
        children = [well_formed(child, inside) for child, inside in _children(column)]
        # A struct's own buffer is that of its nulls, lists and maps have offsets besides; then come their children's.
        values = [] if pa.types.is_struct(kind) else values[:1]
        if pa.types.is_map(kind):
            children = [pa.StructArray.from_arrays(children, fields=[kind.key_field, kind.item_field])]
    elif field.nullable or not column.null_count:
        return column
    return pa.Array.from_buffers(kind, len(column), [nulls if field.nullable else None, *values], children=children)


def _children(column: pa.Array) -> list[tuple[pa.Array, pa.Field]]:
    kind = column.type
    if pa.types.is_struct(kind):
        return [(column.field(index), kind.field(index)) for index in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [(column.keys, kind.key_field), (column.items, kind.item_field)]
    return [(column.values, kind.value_field)]
