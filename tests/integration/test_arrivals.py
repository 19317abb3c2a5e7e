"""Which of the attempts that have sent their rows make the Dataset: exactly those that Spark says have succeeded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest
import ray

from pipelines.arrivals import Arrivals
from pipelines.errors import HandoffError
from pipelines.landing import LandOnRay
from pipelines.settling import Settled, Settler
from tests.integration.traces import Traces

pytestmark = [pytest.mark.spark, pytest.mark.ray, pytest.mark.usefixtures("session")]

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
MARKER = "rows of one of two attempts"
BATCH_ROWS = 20_000
BATCHES = 80
"""So many are 110 MB: a block is given out, and settles, before its attempt has come to an end."""


def batches(partition: int = 0) -> Iterator[pa.RecordBatch]:
    for number in range(BATCHES):
        begin = (partition * BATCHES + number) * BATCH_ROWS
        ids = pa.array(range(begin, begin + BATCH_ROWS), pa.int64())
        yield pa.record_batch([ids, pa.array([MARKER * 2] * BATCH_ROWS)], schema=SCHEMA)


class TestTwoAttempts:
    """A speculative twin, or an attempt whose executor was lost after it had sent its rows."""

    def test_that_both_send_everything_leave_the_rows_of_the_one_that_succeeded(self) -> None:
        in_step = threading.Barrier(2)

        def interleaved() -> Iterator[pa.RecordBatch]:
            for batch in batches():
                in_step.wait(60)
                yield batch

        before = Traces.of(MARKER)
        with Arrivals(Settler()) as arrivals, ThreadPoolExecutor(2) as pool:
            end = LandOnRay(arrivals.addresses, SCHEMA)
            sent = [pool.submit(end.deliver, 0, attempt, interleaved()) for attempt in (7, 8)]
            assert [one.result(120) for one in sent] == [BATCHES * BATCH_ROWS] * 2
            settled = arrivals.keep({(0, 8): BATCHES * BATCH_ROWS})

        assert len(settled) > 1
        assert ids(settled) == list(range(BATCHES * BATCH_ROWS))
        del settled
        assert before.more() == {}

    def test_of_which_one_is_killed_half_way_leave_the_rows_of_the_other(self) -> None:
        half_way = threading.Event()

        def killed() -> Iterator[pa.RecordBatch]:
            for number, batch in enumerate(batches()):
                if number == 3 * BATCHES // 4:
                    half_way.set()
                    raise ConnectionResetError("the executor was killed")
                yield batch

        def twin() -> Iterator[pa.RecordBatch]:
            for number, batch in enumerate(batches()):
                if number == BATCHES // 2:
                    assert half_way.wait(60)
                yield batch

        before = Traces.of(MARKER)
        with Arrivals(Settler()) as arrivals, ThreadPoolExecutor(2) as pool:
            end = LandOnRay(arrivals.addresses, SCHEMA)
            lost = pool.submit(end.deliver, 0, 7, killed())
            won = pool.submit(end.deliver, 0, 8, twin())
            assert isinstance(lost.exception(120), ConnectionResetError)
            settled = arrivals.keep({(0, 8): won.result(120)})

        assert ids(settled) == list(range(BATCHES * BATCH_ROWS))
        del settled
        assert before.more() == {}

    def test_of_different_partitions_keep_the_order_of_partitions(self) -> None:
        with Arrivals(Settler()) as arrivals:
            end = LandOnRay(arrivals.addresses, SCHEMA)
            receipts = {
                (partition, 9 - partition): end.deliver(partition, 9 - partition, batches(partition))
                for partition in (1, 0)
            }
            settled = arrivals.keep(receipts)
        assert ids(settled) == list(range(2 * BATCHES * BATCH_ROWS))


def test_an_attempt_that_succeeded_and_of_which_rows_are_missing_is_an_error() -> None:
    with Arrivals(Settler()) as arrivals:
        rows = LandOnRay(arrivals.addresses, SCHEMA).deliver(0, 7, batches())
        with pytest.raises(HandoffError, match=rf"partition 0 sent {rows + 1} rows in attempt 7 and {rows} arrived"):
            arrivals.keep({(0, 7): rows + 1})


def ids(settled: list[Settled]) -> list[int]:
    return [number for one in settled for number in ray.get(one.block)["id"].to_pylist()]
