"""More who watch than the packet worker may carry: smaller pictures, a whole voice, and nobody new until it is over."""

from __future__ import annotations

import asyncio
import itertools
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from gateway.load import Sample
from gateway.loads import SAMPLE_S
from signaling.ids import Monotonic
from tests.media.native_peer import close_all
from tests.support.places import COUNTY, device

from .crowd import EVERY, TICK_S, Crowd
from .far import Far
from .overload import Full, Look, full

HEARD = 0.98
MOSTLY = 0.9
"""Where a machine that stands still may cost a packet: silence would be none of it."""
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


async def story(
    folder: Path, sources: int, viewers: int, worker_share: float, workers: int, *, over: bool = False
) -> None:
    """``worker_share``: of the busiest worker; ``over``: wait, too, until it is over and somebody is let in."""
    async with asyncio.timeout(2 * LIMIT_S), full(folder, worker_share, workers) as on:
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


class Pretended:
    """A small crowd in step with a gateway that believes its work to be as much as the layers it sends.

    Nothing is measured and no time but the engine's own counts: each turn is half a second to the gateway.
    """

    WAIT_S = 5.0

    def __init__(self, on: Full) -> None:
        self.on = on
        self.people = Crowd(cast(Far, on.node.engine.native), sources=2, viewers=4)
        self._ticks = itertools.count()

    def turn(self) -> Look:
        """Send all layers for as long as cameras would, no faster, and a packet of voice; wait for that."""
        begun, missing = time.monotonic(), self.people.sent - self.people.came
        for tick in itertools.islice(self._ticks, max(EVERY)):
            self.people.pictures(tick)
        self.people.consent()
        self.people.speak()
        paced, end = begun + max(EVERY) * TICK_S, begun + self.WAIT_S
        while (now := time.monotonic()) < paced or (self.people.sent - self.people.came > missing and now < end):
            select.select([self.people.listener.socket], [], [], TICK_S)
            self.people.hear()
        return self.on.look(0.0)

    def work(self, look: Look) -> None:
        """The gateway measures itself: at the largest layers it is at its limit and a fifth more."""
        loads = self.on.node.loads
        loads.take(Sample(look.layer / len(EVERY), 0.0), Monotonic(loads.load.at + SAMPLE_S))

    async def until(self, condition: Callable[[Look], object], *, working: bool = True) -> Look:
        async with asyncio.timeout(LIMIT_S):
            while not condition(look := self.turn()):
                if working:
                    self.work(look)
                await asyncio.sleep(0)
        return look


def test_more_viewers_than_the_load_carries_get_smaller_pictures_and_never_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell() -> None:
        monkeypatch.setattr("gateway.loads.SAMPLE_S", 1_000.0)
        async with full(tmp_path, 1 / 1.2) as on:
            crowd = Pretended(on)
            try:
                await crowd.until(lambda look: look.layer == len(EVERY), working=False)
                await crowd.until(lambda look: look.refusing)
                assert await on.publish(device(COUNTY)) == (503, "node-busy")
                look = await crowd.until(lambda look: 0 < look.layer < len(EVERY) and not look.refusing)
                assert look.strain
                assert (await on.publish(device(COUNTY)))[0] == ADMITTED
                assert crowd.people.came >= MOSTLY * crowd.people.sent > 0
            finally:
                close_all()

    asyncio.run(tell())


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crowd_beyond_the_limit_gets_smaller_pictures_and_whole_sound(tmp_path: Path, workers: int) -> None:
    asyncio.run(story(tmp_path, sources=4, viewers=50, worker_share=0.05, workers=workers))


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_crowd_beyond_half_a_processor(tmp_path: Path, workers: int) -> None:
    asyncio.run(story(tmp_path, sources=9, viewers=140, worker_share=0.5 / workers, workers=workers, over=True))
