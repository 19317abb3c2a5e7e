"""Turning the rows of Ray Datasets into what training reads, in Ray tasks and actors."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, DataContext, Dataset
from tokenizers import Tokenizer

from training.encoder import ScratchEncoder, learn_tokenizer
from training.labels import LABEL, label_ids
from training.rows import CLASS, ROW_ID, TEXT, TOKENS, VECTOR

if TYPE_CHECKING:
    from training.model import Model

Listener = Callable[[str, int], None]

BLOCK_ROWS = 128
"""Rows a block on small data: few enough that progress shows, and that actors which encode them finish together."""

ACTOR_ROWS = 256
"""Rows that are worth an actor: fewer are encoded before another one has loaded the model."""

MAX_BLOCKS = 256
"""Shuffling moves blocks in times blocks out pieces; with this many, 100 GB of text are some 200,000 of them."""


VOCABULARY_ROWS = 500_000
"""Texts that a vocabulary is learnt from at most: the counts of its pieces no longer change much beyond."""

_BY_BLOCK: dict[str, Any] = {"batch_format": "pyarrow", "batch_size": None}


def shuffle(dataset: Dataset, *, seed: int) -> Dataset:
    """Return the rows in a random order that depends on their ids and the seed alone, in the object store.

    However the rows arrive, and in whatever blocks, the same rows come out in the same order and in the same blocks,
    which is what makes a training repeatable. `Dataset.sort` would do, but it starts processes for each of its stages,
    which takes longer than moving the rows; a hash is uniform, so its ranges need no sampling.

    Args:
        dataset: rows with ``row_id``, ``text`` and ``label``; other columns are left behind.
        seed: another seed gives another order.
    """
    blocks = min(max(math.ceil(dataset.count() / BLOCK_ROWS), 1), MAX_BLOCKS)
    scatter = _scatter.options(num_returns=blocks)
    pieces = [scatter.remote(block, seed, blocks) for block in dataset.to_arrow_refs()]
    columns = zip(*pieces, strict=True) if blocks > 1 else [pieces]
    return ray.data.from_arrow_refs([_gather.remote(seed, *column) for column in columns])


def learn_vocabulary(train: Dataset, scratch: ScratchEncoder) -> Tokenizer:
    """Learn a tokenizer from the training rows, in one Ray task that reads a block at a time.

    Of more than `VOCABULARY_ROWS` rows, as many are read, the first ones; so the rows should be in random order.
    """
    texts = train.limit(VOCABULARY_ROWS).select_columns([TEXT]).to_arrow_refs()
    return Tokenizer.from_str(ray.get(_learn.remote(scratch, texts)))


def to_tokens(splits: list[Dataset], model: Model, listener: Listener) -> list[Dataset]:
    """Return the rows of each split with their class and token ids, in the object store, in the same order."""
    shared, labels = ray.put(model), model.labels

    def tokenized(batch: pa.Table) -> pa.Table:
        tokens = ray.get(shared).tokenize(batch.column(TEXT).to_pylist())
        return _features(batch, TOKENS, pa.array(tokens, pa.list_(pa.int32())), labels)

    return _kept(splits, lambda rows: rows.map_batches(tokenized, **_BY_BLOCK), "tokenizing", listener)


def to_vectors(splits: list[Dataset], model: Model, listener: Listener) -> list[Dataset]:
    """Return the rows of each split with their class and vector, each encoded once, as `to_tokens`."""
    shared, pool = ray.put(model), ActorPoolStrategy(size=actors_for(sum(split.count() for split in splits)))

    def encoded(rows: Dataset) -> Dataset:
        return rows.map_batches(_Encoder, fn_constructor_args=(shared,), compute=pool, num_cpus=1, **_BY_BLOCK)

    return _kept(splits, encoded, "encoding", listener)


def actors_for(rows: int) -> int:
    """Return how many one-CPU actors to share rows out to: one a free CPU, while each has enough to do."""
    free = int(ray.available_resources().get("CPU", 1))
    return max(1, min(free, math.ceil(rows / ACTOR_ROWS)))


@contextmanager
def quiet(*datasets: Dataset | None) -> Iterator[None]:
    """Keep Ray Data off the terminal and the rows in order, and put the settings back."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    contexts = [DataContext.get_current(), *(dataset.context for dataset in datasets if dataset is not None)]
    before = [
        (context.enable_progress_bars, context.print_on_execution_start, context.execution_options.preserve_order)
        for context in contexts
    ]
    for context in contexts:
        context.enable_progress_bars = context.print_on_execution_start = False
        context.execution_options.preserve_order = True
    try:
        yield
    finally:
        logger.setLevel(level)
        for context, (bars, notices, ordered) in zip(reversed(contexts), reversed(before), strict=True):
            context.enable_progress_bars, context.print_on_execution_start = bars, notices
            context.execution_options.preserve_order = ordered


class _Encoder:
    """Holds the encoder in an actor that has one CPU."""

    def __init__(self, model: ray.ObjectRef[Model]) -> None:
        import torch

        torch.set_num_threads(1)
        self._model = ray.get(model)

    def __call__(self, batch: pa.Table) -> pa.Table:
        vectors = self._model.embed(batch.column(TEXT).to_pylist())
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
        return _features(batch, VECTOR, pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]), self._model.labels)


def _features(batch: pa.Table, name: str, column: pa.Array, labels: tuple[str, ...]) -> pa.Table:
    classes = label_ids(batch.column(LABEL), labels)
    return pa.table({ROW_ID: batch.column(ROW_ID), CLASS: classes, name: column})


def _kept(
    splits: list[Dataset], prepare: Callable[[Dataset], Dataset], doing: str, listener: Listener
) -> list[Dataset]:
    """Compute all splits in one go into the object store, in order, telling the listener how far it is."""
    # `Dataset.union` takes blocks from its inputs in turn, which would mix the splits.
    everything = ray.data.from_arrow_refs([block for split in splits for block in split.to_arrow_refs()])
    references, rows = [], 0
    listener(doing, rows)
    for bundle in prepare(everything).iter_internal_ref_bundles():
        references.extend(bundle.block_refs)
        rows += bundle.num_rows() or 0
        listener(doing, rows)
    prepared = ray.data.from_arrow_refs(references)
    if len(splits) == 1:
        return [prepared]
    bounds = list(itertools.accumulate(split.count() for split in splits))[:-1]
    return list(prepared.split_at_indices(bounds))


@ray.remote
def _learn(scratch: ScratchEncoder, blocks: list[ray.ObjectRef[pa.Table]]) -> str:
    texts = (text for block in blocks for text in ray.get(block).column(TEXT).to_pylist())
    return str(learn_tokenizer(scratch, texts).to_str())


@ray.remote
def _scatter(block: pa.Table, seed: int, parts: int) -> list[pa.Table] | pa.Table:
    """Share a block's rows out by the range that the hash of their id falls into."""
    block = block.select([ROW_ID, TEXT, LABEL])
    part = (_order_of(block.column(ROW_ID).to_pylist(), seed) >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)
    pieces = [block.take(pa.array(np.flatnonzero(part == number))) for number in range(parts)]
    return pieces if parts > 1 else pieces[0]


@ray.remote
def _gather(seed: int, *pieces: pa.Table) -> pa.Table:
    block = pa.concat_tables(pieces).combine_chunks()
    return block.take(pa.array(np.argsort(_order_of(block.column(ROW_ID).to_pylist(), seed), kind="stable")))


def _order_of(row_ids: list[str], seed: int) -> NDArray[np.uint64]:
    """Return a hash of each id, uniform over 64 bits."""
    digests = [hashlib.blake2b(f"{seed}:{row_id}".encode(), digest_size=8).digest() for row_id in row_ids]
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
