"""The frames that are handed over: what data for training looks like.

Every contender is given the same frame, which Spark computes anew each time from nothing but row numbers. That must be
cheap, or it would hide what is measured: a row takes its values from a small pool of constants, by a hash of its
number, so that computing it is little more than copying. The pools are random with a fixed seed, so the rows of a shape
are the same in every run and every process. No value is null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from tests.benchmarks.corpus import passages

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_POOL = 256
_SEED = 20240229
_WORDS = re.findall(
    r"\w+",
    """water river mill wheel stone grain flour channel gate weir pond stream bank reed oak beam gear shaft sluice
    bucket rain valley bridge miller sack cart road village morning evening price harvest barley wheat rye oats of the
    a in to and with by for from under over slow quick deep shallow old new broad narrow turns runs grinds falls""",
)


@dataclass(frozen=True)
class Shape:
    """A kind of frame.

    Attributes:
        name: how it is asked for.
        title: what a table or a chart calls it.
        rows: its rows at full scale.
        row_bytes: the size of a row in Arrow's layout, on average.
        columns: makes the SQL expressions of its columns, over a column ``id`` of row numbers.
    """

    name: str
    title: str
    rows: int
    row_bytes: int
    columns: Callable[[], Sequence[str]]

    def rows_at(self, scale: float) -> int:
        """Return how many rows it has at `scale`, at least 1."""
        return max(1, int(self.rows * scale))

    def frame(self, spark: SparkSession, scale: float, partitions: int) -> DataFrame:
        """Return the frame, not computed yet."""
        return spark.range(0, self.rows_at(scale), 1, partitions).selectExpr(*self.columns())


def _integers() -> Sequence[str]:
    return ("id", "xxhash64(id) AS user", "xxhash64(id, 1) AS item", "pmod(xxhash64(id, 2), 1000) AS amount")


def _short_text() -> Sequence[str]:
    sentences = [_sentence(Random(f"{_SEED}/{number}"), 50) for number in range(_POOL)]
    return ("id", f"concat({_pick(_strings(sentences), 1)}, lpad(cast(id AS string), 16, '0')) AS text")


def _long_documents() -> Sequence[str]:
    paragraphs = _strings(list(islice(passages(1024, _SEED), _POOL)))
    return ("id", f"concat({', '.join(_pick(paragraphs, part) for part in range(10))}) AS text")


def _embeddings() -> Sequence[str]:
    random = Random(_SEED)
    pieces = _arrays([[f"{random.gauss(0, 0.05):.8f}" for _ in range(128)] for _ in range(_POOL)], "float")
    return ("id", f"concat({', '.join(_pick(pieces, part) for part in range(3))}) AS embedding")


def _tokens() -> Sequence[str]:
    random = Random(_SEED)
    # Frequent words have small ids, as in a vocabulary that is sorted by frequency; lengths differ as texts' do.
    lengths = [random.randint(32, 96) for _ in range(_POOL)]
    pieces = _arrays(
        [[str(min(30521, int(random.paretovariate(0.25)))) for _ in range(size)] for size in lengths], "int"
    )
    return ("id", f"concat({', '.join(_pick(pieces, part) for part in range(2))}) AS tokens")


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("integers", "narrow integers (4 × int64)", 23_000_000, 32, _integers),
        Shape("short_text", "short text (66 B and an id)", 10_000_000, 78, _short_text),
        Shape("long_documents", "long documents (10 KB)", 72_000, 10_252, _long_documents),
        Shape("embeddings", "embeddings (384 × float32)", 475_000, 1_548, _embeddings),
        Shape("tokens", "token ids (about 128 × int32)", 1_400_000, 524, _tokens),
    )
}
"""All shapes, by name; each is about 740 MB at full scale."""


def _sentence(random: Random, length: int) -> str:
    words: list[str] = []
    while len(" ".join(words)) < length:
        words.append(random.choice(_WORDS))
    return " ".join(words)[:length]


def _strings(values: Sequence[str]) -> str:
    return f"array({', '.join(repr(value) for value in values)})"


def _arrays(values: Sequence[Sequence[str]], kind: str) -> str:
    """Write arrays as text that Spark folds into one constant: as many literals would take seconds to parse."""
    return "array(" + ", ".join(f"cast(split('{' '.join(one)}', ' ') AS array<{kind}>)" for one in values) + ")"


def _pick(pool: str, part: int) -> str:
    return f"element_at({pool}, cast(1 + pmod(xxhash64(id, {part}), {_POOL}) AS int))"
