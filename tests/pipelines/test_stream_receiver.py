"""What a partition that is computed again must be like, once rows of it have been given out."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.errors import HandoffError
from pipelines.stream_receiver import Partition, fingerprint


def test_the_same_blocks_again_are_not_given_out_again() -> None:
    partition = Partition(3)
    assert [partition.is_new(0, 17), partition.is_new(1, 18)] == [True, True]
    assert [partition.is_new(0, 17), partition.is_new(1, 18), partition.is_new(2, 19)] == [False, False, True]
    partition.ends_at(3)
    partition.ends_at(3)


@pytest.mark.parametrize("block", [0, 1])
def test_a_block_that_differs_is_an_error(block: int) -> None:
    partition = Partition(3)
    partition.is_new(0, 17)
    partition.is_new(1, 18)
    with pytest.raises(HandoffError, match="partition 3 came out differently"):
        partition.is_new(block, 99)


def test_an_end_that_comes_sooner_or_later_is_an_error() -> None:
    partition = Partition(3)
    partition.is_new(0, 17)
    partition.is_new(1, 18)
    with pytest.raises(HandoffError, match="differently"):
        partition.ends_at(1)
    partition.ends_at(2)
    with pytest.raises(HandoffError, match="differently"):
        partition.is_new(2, 19)


def test_rows_make_a_fingerprint_whatever_lies_under_their_nulls() -> None:
    validity = pa.py_buffer(bytes([0b101]))

    def with_hidden(value: int) -> pa.Table:
        data = pa.py_buffer(b"".join(number.to_bytes(8, "little") for number in (1, value, 3)))
        return pa.table({"n": pa.Array.from_buffers(pa.int64(), 3, [validity, data])})

    assert fingerprint(with_hidden(7)) == fingerprint(with_hidden(8))
    assert fingerprint(with_hidden(7)) != fingerprint(pa.table({"n": [1, None, 4]}))


def test_rows_that_differ_make_another_fingerprint() -> None:
    assert fingerprint(pa.table({"text": ["a", "b"]})) == fingerprint(pa.table({"text": ["a", "b"]}))
    assert fingerprint(pa.table({"text": ["a", "b"]})) != fingerprint(pa.table({"text": ["b", "a"]}))
    assert fingerprint(pa.table({"text": ["ab", ""]})) != fingerprint(pa.table({"text": ["a", "b"]}))
