"""A worker's share of the rows, and the batches that it trains on; free of Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.network import pad

ROW_ID, TEXT = "row_id", "text"

CLASS, TOKENS, VECTOR = "class_id", "tokens", "vector"
"""The columns that training reads: the class as int32, and either token ids (list of int32) or the frozen encoder's
vector (fixed-size list of float32)."""

WINDOW_ROWS = 65_536
"""Rows that are shuffled together, and held in memory by a worker: 100 MB of MiniLM vectors."""

GROUP_BATCHES = 50
"""Batches within which texts are sorted by length, so that little of a batch is padding while order stays random; on
short reviews 50 leave about a tenth of the tokens padding."""


class Share:
    """One worker's rows of a split, the same ones every epoch, in an order of their own every epoch."""

    def __init__(self, read: Callable[[int], Iterable[pa.Table]], rows: int, batch_rows: int) -> None:
        """Describe a share; nothing is read yet.

        Args:
            read: yields the rows in tables of as many rows as it is told (the last may have fewer).
            rows: how many there are.
            batch_rows: how many rows of a share make a batch.
        """
        self.rows = rows
        self.batch_rows = batch_rows
        # Whole batches only, so that just the last window ends in a short batch and `batches` can be known beforehand.
        self._window_rows = max(WINDOW_ROWS // batch_rows, 1) * batch_rows
        self._read = read
        self._kept: pa.Table | None = None

    @property
    def batches(self) -> int:
        """How many batches an epoch has."""
        return -(-self.rows // self.batch_rows)

    def shuffled(self, generator: np.random.Generator) -> Iterator[pa.Table]:
        """Yield every row once, in batches of texts of like length, in an order that the generator decides."""
        for window in self._windows():
            order = generator.permutation(window.num_rows)
            for rows in batch_up(order, _lengths(window), self.batch_rows, generator):
                yield window.take(pa.array(rows))

    def sequential(self) -> Iterator[pa.Table]:
        """Yield every row once, in batches."""
        for window in self._windows():
            order = np.argsort(_lengths(window), kind="stable")
            for start in range(0, window.num_rows, self.batch_rows):
                yield window.take(pa.array(order[start : start + self.batch_rows]))

    def _windows(self) -> Iterator[pa.Table]:
        if self._kept is not None:
            yield self._kept
            return
        for window in self._read(self._window_rows):
            if window.num_rows == self.rows:
                self._kept = window.combine_chunks()
            yield window


def batch_up(
    order: NDArray[np.int64], lengths: NDArray[np.int64], batch_rows: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the positions of `order` in batches of rows of like length, each position once.

    Args:
        order: positions, already shuffled.
        lengths: of the row at each position; all alike leaves the order as it is.
        batch_rows: positions a batch; only one batch may have fewer.
        generator: decides in which order the batches of a group come.
    """
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch_rows * GROUP_BATCHES):
        group = order[start : start + batch_rows * GROUP_BATCHES]
        group = group[np.argsort(lengths[group], kind="stable")]
        found = [group[first : first + batch_rows] for first in range(0, len(group), batch_rows)]
        batches.extend(found[position] for position in generator.permutation(len(found)))
    yield from batches


def to_tensors(batch: pa.Table, pad_id: int) -> tuple[tuple[Tensor, ...], Tensor]:
    """Collate a batch: padded to its own longest text and no further.

    Args:
        batch: rows with a class and tokens or a vector.
        pad_id: the id that fills up short texts.

    Returns:
        What the network takes (ids and mask, int64 ``[rows, tokens]``, or vectors, float32 ``[rows, width]``), and
        the classes, int64 ``[rows]``.
    """
    classes = torch.from_numpy(batch.column(CLASS).to_numpy().astype(np.int64))
    if TOKENS in batch.column_names:
        return pad([np.asarray(tokens, dtype=np.int32) for tokens in batch.column(TOKENS).to_numpy()], pad_id), classes
    column = batch.column(VECTOR).combine_chunks()
    vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, column.type.list_size)
    return (torch.from_numpy(np.array(vectors, dtype=np.float32)),), classes


def _lengths(window: pa.Table) -> NDArray[np.int64]:
    if TOKENS not in window.column_names:
        return np.zeros(window.num_rows, dtype=np.int64)
    found: NDArray[np.int64] = pc.list_value_length(window.column(TOKENS)).to_numpy().astype(np.int64)
    return found
