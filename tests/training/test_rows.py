from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from training.rows import CLASS, ROW_ID, TOKENS, VECTOR, WINDOW_ROWS, Share, batch_up, to_tensors


def tokens_table(lengths: list[int]) -> pa.Table:
    return pa.table(
        {
            ROW_ID: [f"r{number}" for number in range(len(lengths))],
            CLASS: pa.array([0] * len(lengths), pa.int32()),
            TOKENS: pa.array([[1] * length for length in lengths], pa.list_(pa.int32())),
        }
    )


@given(st.lists(st.integers(1, 50), max_size=300), st.integers(1, 9), st.integers(0, 5))
def test_every_position_is_in_one_batch_and_only_one_batch_is_short(lengths: list[int], size: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    batches = list(batch_up(generator.permutation(len(lengths)), np.array(lengths, dtype=np.int64), size, generator))
    assert sorted(position for batch in batches for position in batch) == list(range(len(lengths)))
    assert sum(len(batch) != size for batch in batches) <= 1


def test_a_batch_holds_texts_of_like_length() -> None:
    lengths = [1, 50] * 40
    share = Share(lambda rows: [tokens_table(lengths)], len(lengths), 8)
    widths = [
        {len(tokens) for tokens in batch[TOKENS].to_pylist()} for batch in share.shuffled(np.random.default_rng(0))
    ]
    assert all(len(width) == 1 for width in widths)


def test_the_order_depends_on_the_generator_alone() -> None:
    def order(seed: int) -> list[str]:
        share = Share(lambda rows: [tokens_table([3] * 40)], 40, 4)
        return [row for batch in share.shuffled(np.random.default_rng(seed)) for row in batch[ROW_ID].to_pylist()]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_what_fits_in_a_window_is_read_once() -> None:
    reads = []

    def read(rows: int) -> list[pa.Table]:
        reads.append(rows)
        return [tokens_table([3] * 10)]

    share = Share(read, 10, 4)
    for _ in range(3):
        assert sum(batch.num_rows for batch in share.shuffled(np.random.default_rng(0))) == 10
    assert sum(batch.num_rows for batch in share.sequential()) == 10
    assert reads == [WINDOW_ROWS // 4 * 4]


def test_what_does_not_fit_is_read_in_whole_batches_each_time() -> None:
    windows = [tokens_table([3] * 8), tokens_table([3] * 5)]
    share = Share(lambda rows: windows, 13, 4)
    for _ in range(2):
        sizes = sorted(batch.num_rows for batch in share.shuffled(np.random.default_rng(0)))
        assert sizes == [1, 4, 4, 4]
    assert share.batches == 4


def test_a_batch_of_tokens_is_padded_to_its_own_longest() -> None:
    (ids, mask), classes = to_tensors(tokens_table([1, 3]), pad_id=9)
    assert ids.tolist() == [[1, 9, 9], [1, 1, 1]]
    assert mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert classes.tolist() == [0, 0]


def test_a_batch_of_vectors_survives_slicing() -> None:
    flat = pa.array(np.arange(12, dtype=np.float32))
    table = pa.table({CLASS: pa.array([0, 1, 2], pa.int32()), VECTOR: pa.FixedSizeListArray.from_arrays(flat, 4)})
    (vectors,), classes = to_tensors(table.slice(1, 1), pad_id=0)
    assert vectors.tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert classes.tolist() == [1]
