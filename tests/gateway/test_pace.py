"""Telling at most so often."""

import asyncio
import itertools

from gateway.pace import Pace
from tests.support.loop import eventually, on_loop


@on_loop
async def test_the_first_is_told_at_once_and_what_follows_together() -> None:
    told: list[int] = []
    rung = itertools.count(1)
    pace = Pace(lambda: told.append(now), 0.05)
    while (now := next(rung)) < 1_000:
        pace.ring()
        assert told == [1]
    await eventually(lambda: len(told) == 2)
    assert told == [1, 1_000]  # what was said last counts


@on_loop
async def test_after_a_rest_the_next_is_told_at_once_again() -> None:
    told: list[str] = []
    pace = Pace(lambda: told.append("told"), 0.0)
    for count in (1, 2, 3):
        pace.ring()
        assert len(told) == count
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
