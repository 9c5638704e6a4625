"""More who watch than the packet worker may carry: smaller pictures, a whole voice, and nobody new until it is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.places import COUNTY, device

from .overload import Full, Look, full

HEARD = 0.98
ADMITTED = 201
LIMIT_S = 100.0


def smaller(looks: list[Look]) -> bool:
    """Whether the pictures of those inside became smaller, or were given up, after all had the largest."""
    first = next((at for at, look in enumerate(looks) if look.layer > 2.5), len(looks))
    return any(look.strain and (0 < look.layer <= 2.1 or look.paused) for look in looks[first:])


async def overwhelmed(on: Full, sources: int, viewers: int) -> tuple[list[Look], float, tuple[int, str]]:
    """Let a crowd in until pictures are smaller and somebody was turned away."""
    newcomers: list[asyncio.Task[tuple[int, str]]] = []

    def enough(looks: list[Look]) -> bool:
        if newcomers and not newcomers[-1].done():
            return False
        refused = bool(newcomers) and newcomers[-1].result()[0] != ADMITTED
        if looks[-1].refusing and not refused:  # one may have come when the load had just fallen
            newcomers.append(asyncio.create_task(on.publish(device(COUNTY))))
        return smaller(looks) and refused

    looks, heard = await on.crowd(sources, viewers, enough)
    assert newcomers, f"nobody was refused: {looks[-1]}"
    return looks, heard, await newcomers[-1]


async def story(folder: Path, sources: int, viewers: int, worker_share: float, *, over: bool = False) -> None:
    """``over``: wait, too, until it is over and somebody is let in."""
    async with asyncio.timeout(2 * LIMIT_S), full(folder, worker_share) as on:
        looks, heard, newcomer = await overwhelmed(on, sources, viewers)
        print(f"voice heard {heard:.2%}; {newcomer}; {looks[-1]}")
        assert smaller(looks)
        assert newcomer == (503, "node-busy")
        assert heard >= HEARD
        if not over:
            return
        while on.node.loads.load.refusing or on.node.loads.strain:
            await asyncio.sleep(0.1)
        assert (await on.publish(device(COUNTY)))[0] == ADMITTED


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_crowd_beyond_the_limit_gets_smaller_pictures_and_whole_sound(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path, sources=4, viewers=50, worker_share=0.05))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_crowd_beyond_half_a_processor(tmp_path: Path) -> None:
    asyncio.run(story(tmp_path, sources=9, viewers=140, worker_share=0.5, over=True))
