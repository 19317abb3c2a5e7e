"""How receivers and jobs of streams find each other at the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pipelines.desk import Desk
from pipelines.errors import HandoffError
from pipelines.landing import Address

HERE, THERE = Address("/here", 1), Address("/there", 2)


def test_a_job_gets_a_receiver_on_each_node_and_none_of_another_stream() -> None:
    async def play(desk: Desk) -> None:
        first = await desk.sit("a", "n1", HERE, "t1")
        assert await desk.next_job("a", ["n1", "n2"], 0.01) is None
        await desk.sit("b", "n2", HERE, "t2")
        assert await desk.next_job("a", ["n1", "n2"], 0.01) is None
        job = asyncio.create_task(desk.next_job("a", ["n1", "n2"], 5.0))
        await asyncio.sleep(0)
        second = await desk.sit("a", "n2", THERE, "t3")
        assert await job == {first: HERE, second: THERE}
        assert await desk.next_job("a", ["n1", "n2"], 0.01) is None
        assert not await desk.has_left("a", [first, second])
        await desk.leave("a", first)
        assert await desk.has_left("a", [first, second])

    run(play)


def test_receivers_hear_how_their_job_ended_and_others_nothing() -> None:
    async def play(desk: Desk) -> None:
        one, other = await desk.sit("a", "n1", HERE, "t1"), await desk.sit("a", "n1", HERE, "t2")
        await desk.finish("a", [one], "it broke")
        assert await desk.outcome("a", one) == "it broke"
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(desk.outcome("a", other), 0.01)

    run(play)


def test_a_stream_that_is_closed_turns_away_all_who_sit_and_all_who_come() -> None:
    async def play(desk: Desk) -> None:
        before = await desk.sit("a", "n1", HERE, "t1")
        elsewhere = await desk.sit("b", "n1", HERE, "t2")
        await desk.close("a", "Spark has gone")
        after = await desk.sit("a", "n1", HERE, "t3")
        assert [await desk.outcome("a", seat) for seat in (before, after)] == ["Spark has gone"] * 2
        await desk.finish("b", [elsewhere], None)
        assert await desk.outcome("b", elsewhere) is None

    run(play)


def test_a_receiver_that_was_lost_and_is_run_again_cannot_take_rows_back() -> None:
    async def play(desk: Desk) -> None:
        await desk.sit("a", "n1", HERE, "t1")
        await desk.sit("b", "n1", HERE, "t1")
        with pytest.raises(HandoffError, match="cannot be taken back"):
            await desk.sit("a", "n1", HERE, "t1")

    run(play)


def run(play: Any) -> None:
    async def whole() -> None:
        work: Coroutine[Any, Any, None] = play(Desk())
        await asyncio.wait_for(work, 10.0)

    asyncio.run(whole())
