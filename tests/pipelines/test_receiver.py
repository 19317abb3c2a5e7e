"""How a stream of batches is cut into blocks, whatever sizes the batches have."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipelines.landing import GROUP, TRAILER_BYTES
from pipelines.receiver import BLOCK_BYTES, SMALL_BYTES, ReadFromSocket, filled_blocks

SCHEMA = pa.schema([("n", pa.int64())])
ROWS_IN_A_MIB = 2**20 // 8


def batch(mib: int, begin: int = 0) -> pa.RecordBatch:
    return pa.record_batch([pa.array(range(begin, begin + mib * ROWS_IN_A_MIB), pa.int64())], schema=SCHEMA)


def blocks(
    batches: Sequence[pa.RecordBatch], groups: Sequence[str] = (), *, trailer: int | None = None
) -> Iterator[tuple[str, pa.Table]]:
    near, far = socket.socketpair()

    def send() -> None:
        with near, near.makefile("wb") as stream:
            with pa.ipc.new_stream(stream, SCHEMA) as writer:
                for number, one in enumerate(batches):
                    writer.write_batch(one, custom_metadata={GROUP: groups[number] if groups else ""})
            rows = sum(one.num_rows for one in batches) if trailer is None else trailer
            stream.write(rows.to_bytes(TRAILER_BYTES, "little"))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with far:
            yield from filled_blocks(ReadFromSocket(far))
    finally:
        thread.join()


@pytest.mark.parametrize("total", [1, 47, 49, 79, 81, 200, 333])
def test_blocks_are_of_a_good_size_and_keep_the_order(total: int) -> None:
    found = [block for _, block in blocks([batch(1, number * ROWS_IN_A_MIB) for number in range(total)])]
    values = pa.concat_tables(found)["n"].to_numpy()
    assert (values == np.arange(total * ROWS_IN_A_MIB)).all()
    if total * 2**20 >= SMALL_BYTES:
        assert min(block.nbytes for block in found) >= SMALL_BYTES
    assert max(block.nbytes for block in found) <= BLOCK_BYTES + SMALL_BYTES + 2**20


def test_a_batch_that_is_larger_than_a_block_is_cut() -> None:
    found = [block for _, block in blocks([batch(300)])]
    assert sum(block.num_rows for block in found) == 300 * ROWS_IN_A_MIB
    assert max(block.nbytes for block in found) <= BLOCK_BYTES + 2 * SMALL_BYTES


def test_each_group_has_blocks_of_its_own() -> None:
    found = dict(blocks([batch(1), batch(2), batch(3)], ["a", "b", "a"]))
    assert {group: block.num_rows // ROWS_IN_A_MIB for group, block in found.items()} == {"a": 4, "b": 2}


def test_no_batch_makes_no_block() -> None:
    assert list(blocks([])) == []


def test_a_stream_that_ends_between_two_batches_is_not_taken_for_whole() -> None:
    with pytest.raises(ValueError, match="broke off after"):
        list(blocks([batch(1), batch(1)], trailer=3 * ROWS_IN_A_MIB))
