"""Finding pairs of texts that are nearly the same, in Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors.source import ROW_ID, TEXT
from connectors.spark import arrow_to_spark_schema
from connectors.spark_batches import map_in_arrow
from pipelines.steps.minhash.shingles import shingle
from pipelines.steps.minhash.signatures import Bands

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ONE, OTHER = "one", "other"
"""The columns of pairs: two row ids, the first in the order of strings before the second."""

_NEIGHBOURS = 16
"""With how many texts before it in a band each is compared, besides the first; so no band, however full, makes more
pairs than that for each of its texts."""

_KEYS = pa.schema([(ROW_ID, pa.string()), ("keys", pa.list_(pa.int64()))])
_SHINGLES = pa.schema([(ROW_ID, pa.string()), ("shingles", pa.list_(pa.int64()))])


def near_pairs(texts: DataFrame, bands: Bands, size: int, similarity: float) -> DataFrame:
    """Return pairs of texts whose shingles have a Jaccard similarity of at least `similarity`; each pair once.

    Candidates have a band of their signatures in common, and are then compared exactly. In a band that many texts
    share, each is compared with the nearest before it and with the first alone, which leaves what is alike in one
    piece.

    Args:
        texts: ``row_id`` and ``text``; read twice.
        bands: how signatures are made.
        size: how many words a shingle has.
        similarity: the least, from 0 to 1.

    Returns:
        `ONE` and `OTHER`, row ids.
    """
    from pyspark.sql import functions as sql

    texts = texts.select(ROW_ID, TEXT)
    keys = map_in_arrow(texts, _BandKeys(bands, size), arrow_to_spark_schema(_KEYS))
    candidates = _candidates(keys)
    wanted = candidates.select(sql.explode(sql.array(ONE, OTHER)).alias(ROW_ID)).distinct()
    compared = texts.join(wanted, ROW_ID, "left_semi")
    shingles = map_in_arrow(compared, _Shingled(size), arrow_to_spark_schema(_SHINGLES))
    first = shingles.select(sql.col(ROW_ID).alias(ONE), sql.col("shingles").alias("_first"))
    second = shingles.select(sql.col(ROW_ID).alias(OTHER), sql.col("shingles").alias("_second"))
    common = sql.size(sql.array_intersect("_first", "_second"))
    either = sql.size("_first") + sql.size("_second") - common
    return candidates.join(first, ONE).join(second, OTHER).where(common >= similarity * either).select(ONE, OTHER)


def _candidates(keys: DataFrame) -> DataFrame:
    from pyspark.sql import Window
    from pyspark.sql import functions as sql

    of_band = keys.select(ROW_ID, sql.posexplode("keys").alias("band", "key"))
    same = Window.partitionBy("band", "key").orderBy(ROW_ID)
    before = sql.collect_list(ROW_ID).over(same.rowsBetween(-_NEIGHBOURS, -1))
    first = sql.first(ROW_ID).over(same)
    # Spark takes no window function inside of explode, so that the list is a column beforehand.
    listed = of_band.select(sql.array_union(before, sql.array(first)).alias(ONE), sql.col(ROW_ID).alias(OTHER))
    pairs = listed.select(sql.explode(ONE).alias(ONE), OTHER)
    return pairs.where(sql.col(ONE) != sql.col(OTHER)).distinct()


@dataclass(frozen=True)
class _BandKeys:
    bands: Bands
    size: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            shingles = shingle(batch.column(TEXT), self.size)
            # A text without a word is like no other.
            some = np.flatnonzero(np.diff(shingles.offsets))
            keys = self.bands.keys(shingles)[some]
            offsets = np.arange(len(some) + 1, dtype=np.int32) * self.bands.bands
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(keys.ravel()))
            yield pa.RecordBatch.from_arrays([batch.column(ROW_ID).take(pa.array(some)), lists], schema=_KEYS)


@dataclass(frozen=True)
class _Shingled:
    size: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            shingles = shingle(batch.column(TEXT), self.size)
            sets = [np.unique(part) for part in np.split(shingles.hashes, shingles.offsets[1:-1])]
            offsets = np.concatenate(([0], np.cumsum([len(one) for one in sets]))).astype(np.int32)
            flat = np.concatenate(sets) if sets else np.zeros(0, np.uint64)
            lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat.view(np.int64)))
            yield pa.RecordBatch.from_arrays([batch.column(ROW_ID), lists], schema=_SHINGLES)
