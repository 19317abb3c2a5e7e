"""What a Dataset holds, as a number that depends on neither the order of its rows nor the blocks they are in.

There are two. `checksum` reads every byte once and is so cheap that it can stop the clock: all contenders must come to
the same one in every run. `row_digest` hashes each row by its columns' contents and adds the hashes up, so that values
that were swapped between rows, or bytes within a value, show as well; it is taken once of each setting of each
contender, off the clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data.block import BlockAccessor

if TYPE_CHECKING:
    from ray.data import Dataset

T = TypeVar("T")
Hashes = npt.NDArray[np.uint64]

_MODULUS = 2**64
# Odd numbers without pattern: the constants of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
# Generators, 2014), and the inverse of the first one, by which a place in a block becomes a place in a row.
_BASE = 0x9E3779B97F4A7C15
_UNBASE = pow(_BASE, -1, _MODULUS)
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SLICE_BYTES = 4 * 2**20


class ChecksumError(Exception):
    """A Dataset cannot be summed, or is not what it must be."""


@dataclass(frozen=True)
class Checksum:
    """The sum over a Dataset.

    Attributes:
        rows: how many rows there are.
        values: the sum of all bytes of strings and all words of numbers, weighted by column, modulo 2^64.
    """

    rows: int
    values: int

    def __add__(self, other: Checksum) -> Checksum:
        return Checksum(self.rows + other.rows, (self.values + other.values) % _MODULUS)


def checksum(dataset: Dataset) -> Checksum:
    """Read every block of a Dataset once, in this process, and return the sum over its contents.

    Raises:
        ChecksumError: a column has nulls, or a type that no shape has.
    """
    return sum(_over_blocks(dataset, _sum_of_block), start=Checksum(0, 0))


def row_digest(dataset: Dataset) -> int:
    """Return the sum of the hashes of all rows, modulo 2^64.

    Raises:
        ChecksumError: a column has nulls, or a type that no shape has.
    """
    digests: Iterator[int] = _over_blocks(dataset, _digest_of_block)
    return sum(digests) % _MODULUS


def _over_blocks(dataset: Dataset, work: Callable[[pa.Table], T]) -> Iterator[T]:
    """Apply `work` to every block, on as many threads as there are cores.

    In the driver and not in Ray tasks, which one contender's fetching leaves in a state that later tasks trip over.
    """
    blocks = [block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs]

    def read(block: ray.ObjectRef[Any]) -> T:
        return work(BlockAccessor.for_block(ray.get(block)).to_arrow())

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        yield from threads.map(read, blocks)


def _sum_of_block(table: pa.Table) -> Checksum:
    total = 0
    for number, name in enumerate(sorted(table.column_names)):
        for chunk in table[name].chunks:
            lengths, values = _parts(chunk, name)
            words = _words(values)
            total += (pc.sum(words).as_py() or 0) * pow(_BASE, number + 1, _MODULUS)
            total += (pc.sum(lengths).as_py() or 0) if lengths is not None else 0
    return Checksum(table.num_rows, total % _MODULUS)


def _digest_of_block(table: pa.Table) -> int:
    rows = max(1, _SLICE_BYTES * max(1, table.num_rows) // max(1, table.nbytes))
    total = 0
    for start in range(0, table.num_rows, rows):
        hashes = np.zeros(min(rows, table.num_rows - start), np.uint64)
        part = table.slice(start, rows).combine_chunks()
        for number, name in enumerate(sorted(part.column_names)):
            hashes += _mixed(_hashes(part[name].chunk(0), name) + np.uint64(_MIX[0] * (number + 1) % _MODULUS))
        total += int(_mixed(hashes).sum())
    return total % _MODULUS


def _hashes(column: pa.Array, name: str) -> Hashes:
    """Return a hash of each value: of a string or a list, a polynomial over its bytes or elements."""
    lengths, values = _parts(column, name)
    words: Hashes = _words(values).to_numpy(zero_copy_only=False).astype(np.uint64)
    if lengths is None:
        return words
    sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(sizes)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((words + np.uint64(1)) * _powers(_BASE, len(words)))])
    starts = ends - sizes
    hashes: Hashes = (sums[ends] - sums[starts]) * _powers(_UNBASE, len(words) + 1)[starts]
    hashes += sizes.astype(np.uint64)
    return hashes


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    if count:
        powers[0] = 1
    products: Hashes = np.cumprod(powers)
    return products


def _mixed(hashes: Hashes) -> Hashes:
    """Spread every bit over the whole word; the finaliser of splitmix64."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(_MIX[0])
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(_MIX[1])
    mixed: Hashes = hashes ^ (hashes >> np.uint64(31))
    return mixed


def _parts(column: pa.Array, name: str) -> tuple[pa.Array | None, pa.Array]:
    """Return the length of each value, where values have one, and the numbers or bytes that they are made of."""
    if column.null_count:
        raise ChecksumError(
            f"column {name!r} has {column.null_count} nulls, and no shape has any: the rows are not those"
        )
    if isinstance(column, pa.ExtensionArray):
        storage = column.storage
        # What was pandas comes as Ray's tensors; those of unequal lengths are their data beside their lengths.
        return _parts(pc.struct_field(storage, "data") if pa.types.is_struct(storage.type) else storage, name)
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pc.list_value_length(column).cast(pa.int64()), column.flatten()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.binary_length(column).cast(pa.int64()), _bytes(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return None, column
    raise ChecksumError(f"column {name!r} holds {kind}; what can be summed is numbers, strings and lists of numbers")


def _bytes(column: pa.Array) -> pa.Array:
    """Return the bytes of all strings of a column, without a copy."""
    _, offsets, data = column.buffers()
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    ends = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1] if offsets else np.zeros(1)
    first, last = int(ends[0]), int(ends[-1])
    if data is None:
        return pa.array([], pa.uint8())
    return pa.Array.from_buffers(pa.uint8(), last - first, [None, data], offset=first)


def _words(values: pa.Array) -> pa.Array:
    """Return numbers as unsigned ones of the same bits, without a copy."""
    if values.null_count:
        raise ChecksumError(
            f"{values.null_count} elements of lists are null, and no shape has any: the rows are not those"
        )
    kind = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}[values.type.bit_width]
    return pa.Array.from_buffers(kind, len(values), [None, values.buffers()[1]], offset=values.offset)
