"""A middle node dies at once in the middle of a meeting and comes back; nobody else notices."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiortc import RTCConfiguration, RTCPeerConnection

from tests.e2e.clips import path_of
from tests.e2e.meeting import convened, participant
from tests.e2e.running import PATIENCE_S, Demo, call, run_async
from tests.e2e.second_stack import exchange, publishing

if TYPE_CHECKING:
    from aiortc import RTCRtpReceiver


ROUNDS = 4
"""A machine that is busy with something else makes gaps of its own in some of them."""
QUIET_S = 2.0
"""What the machine does by itself is seen in this time before the city is killed."""


class Arrivals:
    """When pictures were decoded, seconds on the steady clock."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self.times: list[float] = []
        self._receiver = receiver

    async def run(self) -> None:
        while True:
            await self._receiver.track.recv()
            self.times.append(time.monotonic())

    async def after(self, moment: float, count: int) -> float:
        """Return when the first of ``count`` pictures after ``moment`` came."""
        while True:
            late = [t for t in self.times if t > moment]
            if len(late) >= count:
                return late[0]
            await asyncio.sleep(0.05)

    def longest_gap(self, since: float, until: float) -> float:
        inside = [since, *(t for t in self.times if since < t < until), until]
        return max(b - a for a, b in itertools.pairwise(inside))


async def ready(demo: Demo, tier: str) -> float:
    """Return the moment at which the node says that it is ready."""
    while True:
        try:
            answer = await asyncio.to_thread(call, demo.url(tier, "/readyz"))
        except OSError:
            answer = None
        if answer is not None and answer.status == 200:
            return time.monotonic()
        await asyncio.sleep(0.05)


def test_killing_the_city_and_starting_it_heals_without_touching_the_others(demo: Demo) -> None:
    with convened(demo, "断点演练") as conference:
        rounds = [run_async(cut(demo, conference))]
        while not rounds[-1].healed_alone and len(rounds) < ROUNDS:
            rounds.append(run_async(cut(demo, conference)))
    print(rounds)
    assert rounds[-1].healed_alone


@dataclass(frozen=True, slots=True)
class Found:
    """How long the city was away, how long after its return the province saw again, and the county's longest gap
    before and since."""

    away_s: float
    gap_after_return_s: float
    quiet_gap_s: float
    county_gap_s: float

    @property
    def healed_alone(self) -> bool:
        """Whether the province saw again soon, and the county all the while.

        Where the city takes long to start, because others use the machine too, the rest takes longer as well.
        """
        blind_s = self.away_s + self.gap_after_return_s
        untouched = self.county_gap_s < max(self.quiet_gap_s + 1.0, blind_s / 3)
        return self.gap_after_return_s < 3.0 + self.away_s and untouched


async def cut(demo: Demo, conference: str) -> Found:
    """Kill the city and start it again."""
    sender = demo.token("village", "terminal", name="八里村终端")
    tokens = {tier: demo.token(tier, "terminal", name=f"观看{tier}") for tier in ("province", "county")}
    async with publishing(demo.url("village", f"/whip/{conference}"), sender, path_of("bikes.mp4")):
        watching = {}
        for tier, token in tokens.items():
            seen = await participant(demo, tier, conference, token, "八里村终端")
            pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            arrivals = Arrivals(pc.addTransceiver("video", direction="recvonly").receiver)
            watching[tier] = (exchange(demo.url(tier, f"/whep/{conference}/{seen}"), token, pc), arrivals)
        async with watching["province"][0], watching["county"][0], asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(arrivals.run()) for _, arrivals in watching.values()]
            async with asyncio.timeout(PATIENCE_S):
                for _, arrivals in watching.values():
                    await arrivals.after(0, 75)
                killed = time.monotonic()
                old = demo.kill("city")
                while not demo.restarted("city", old):
                    await asyncio.sleep(0.05)
                back = await ready(demo, "city")
                healed = await watching["province"][1].after(back, 10)
            for task in running:
                task.cancel()
            county = watching["county"][1]
            return Found(
                away_s=back - killed,
                gap_after_return_s=healed - back,
                quiet_gap_s=county.longest_gap(killed - QUIET_S, killed),
                county_gap_s=county.longest_gap(killed, healed),
            )
