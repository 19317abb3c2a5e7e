"""Finding pairs of texts that are nearly the same, in Spark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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
_PAIRS = pa.schema([(ONE, pa.string()), (OTHER, pa.string())])
_FIRST, _SECOND = "first_text", "second_text"


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
    candidates = _candidates(map_in_arrow(texts, _BandKeys(bands, size), arrow_to_spark_schema(_KEYS)))
    first = texts.select(sql.col(ROW_ID).alias(ONE), sql.col(TEXT).alias(_FIRST))
    second = texts.select(sql.col(ROW_ID).alias(OTHER), sql.col(TEXT).alias(_SECOND))
    compared = candidates.join(first, ONE).join(second, OTHER).select(ONE, OTHER, _FIRST, _SECOND)
    return map_in_arrow(compared, _Alike(size, similarity), arrow_to_spark_schema(_PAIRS))


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
class _Alike:
    """Keeps the pairs whose texts are alike enough."""

    size: int
    similarity: float

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            # A text is in many pairs where many are alike, and is looked at once.
            both = pa.chunked_array([batch.column(_FIRST), batch.column(_SECOND)]).combine_chunks().dictionary_encode()
            shingles = shingle(both.dictionary, self.size)
            sets = [np.unique(part) for part in np.split(shingles.hashes, shingles.offsets[1:-1])]
            one, other = np.split(np.asarray(both.indices), 2)
            alike = [_jaccard(sets[a], sets[b]) >= self.similarity for a, b in zip(one, other, strict=True)]
            yield batch.select([ONE, OTHER]).filter(pa.array(alike, pa.bool_()))


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return how much of what is in either of two sorted sets is in both."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(len(one) + len(other) - common, 1)
