"""A lane tells that it is at work, however long one item takes."""

from __future__ import annotations

import asyncio

from monitor.pipeline.lane import Lane


async def test_a_lane_with_a_slow_item_is_at_work_until_it_is_done() -> None:
    go, due = asyncio.Event(), [1]

    async def claim(limit: int) -> list[int]:
        taken = due[:limit]
        del due[:limit]
        return taken

    async def work(_: int) -> None:
        await go.wait()

    lane = Lane("x", claim, work, 2)
    before = lane.at_work
    running = asyncio.create_task(lane.run())
    await asyncio.sleep(0.05)
    during = lane.at_work
    go.set()
    await running

    assert (before, during, lane.at_work) == (False, True, False)
