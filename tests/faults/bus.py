"""Redis killed, flushed, and its subscribers cut off by their buffer limit, while directives go from county to
village: ``python -m tests.faults.bus``.

An order is clicked every ``--every-ms`` whatever became of the one before.  Each fault is one line of the table: how
many orders, how many never shown, how long from the click to the screen, and how late this process itself was, which
does nothing but wait: on a busy machine an order is as late as that whatever becomes of Redis.  What Redis costs is
the difference to the calm before it (at most 2 s), as far as it is more than the machine's lateness.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from gateway.proving.chain import BusServer, Chain
from gateway.proving.history import Did, History, Verdict, check
from gateway.proving.people import Issuer, Screen, number_in
from signaling.messages import DirectiveView
from signaling.records import Actor, Role
from tests.support.places import COUNTY, VILLAGE
from tests.support.ports import free_ports

TIERS = ("county", "township")
SHOWN_S = 120.0
LOOK_S = 0.02
OVERFULL = "pubsub 1024 1024 1"
"""A subscriber with more than so many bytes waiting is cut off."""
USUAL = "pubsub 33554432 8388608 60"


@dataclass(frozen=True, slots=True)
class Phase:
    """What one fault cost.  Times are from click to screen, ms; ``late_ms``: the latest this process woke up."""

    name: str
    issued: int
    lost: int
    p50_ms: float
    slowest_ms: float
    late_ms: float


class Lateness:
    """How late this process is woken."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.monotonic() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.worst_s = max(self.worst_s, time.monotonic() - due)


class TimedScreen(Screen):
    """A terminal that remembers when it showed what."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.shown_at: dict[str, float] = {}

    def _show(self, message: DirectiveView) -> None:
        self.shown_at.setdefault(number_in(message.title), time.monotonic())
        super()._show(message)


class Office:
    """One commander and one terminal on a running chain."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.history = History()
        self.clicked_at: dict[str, float] = {}
        county, township = (chain.nodes[tier] for tier in TIERS)
        token = chain.token("county", Actor("证明", Role.COMMANDER, COUNTY))
        self.issuer = Issuer(chain.http, county.url, token, self.history)
        seat = chain.token("township", Actor("赵支书", Role.TERMINAL, VILLAGE))
        self.screen = TimedScreen(chain.http, township.url, seat, "screen", self.history)

    async def click(self) -> None:
        number = len(self.clicked_at)
        self.clicked_at[str(number)] = time.monotonic()
        await self.issuer.issue(number, [VILLAGE])

    async def phase(self, name: str, clicks: int, every_s: float, fault: Callable[[], Awaitable[None]]) -> Phase:
        """Click ``clicks`` times while ``fault`` stands; it ends only when all of them are on the screen."""
        await fault()
        first = len(self.clicked_at)
        lateness = Lateness()
        looking = asyncio.create_task(lateness.run())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(clicks):
                tasks.create_task(self.click())
                await asyncio.sleep(every_s)
        shown_at = self.screen.shown_at
        mine = [str(number) for number in range(first, first + clicks)]

        async def shown() -> bool:
            return all(number in shown_at for number in mine)

        try:
            await self.chain.until(shown, f"{name}: every order is shown", SHOWN_S)
        finally:
            looking.cancel()
        took = sorted(1000 * (shown_at[number] - self.clicked_at[number]) for number in mine)
        p50_ms, slowest_ms = (round(one, 1) for one in (took[len(took) // 2], took[-1]))
        return Phase(name, clicks, clicks - len(took), p50_ms, slowest_ms, round(1000 * lateness.worst_s, 1))

    def verdict(self) -> Verdict:
        """Return what does not add up; the terminal stands for the issuing node's journal, which is not read."""
        for number in self.clicked_at:
            self.history.add("county", Did.HOLD, number)
        return check(self.history.events, "county", {n: frozenset({"screen"}) for n in self.clicked_at})


@asynccontextmanager
async def office(folder: Path, port: int, bus: BusServer | None = None) -> AsyncIterator[Office]:
    async with Chain(folder, TIERS, port, bus) as chain:
        made = Office(chain)
        screen = asyncio.create_task(made.screen.run())
        try:
            yield made
        finally:
            screen.cancel()
            await asyncio.gather(screen, return_exceptions=True)


async def nothing() -> None:
    return


async def prove(folder: Path, port: int, clicks: int, every_s: float) -> tuple[list[Phase], Verdict]:
    """Return what each fault cost and what does not add up."""
    async with office(folder, port) as on:
        bus, chain = on.chain.bus, on.chain

        async def all_up() -> bool:
            return all([await chain.ready(tier) for tier in TIERS])

        async def all_down() -> bool:
            return all([(await chain.checks(tier)).get("bus", "ok") != "ok" for tier in TIERS])

        async def killed() -> None:
            await bus.stop()
            await chain.until(all_down, "every gateway notices that Redis is gone")

        async def back() -> None:
            await bus.start()
            await chain.until(all_up, "every gateway has Redis again")

        async def flushed() -> None:
            async with Redis.from_url(bus.url) as client:
                await client.flushall()

        async def overfull() -> None:
            async with Redis.from_url(bus.url) as client:

                async def subscribers() -> set[str]:
                    return {one["id"] for one in await client.client_list(_type="pubsub")}

                before = await subscribers()

                async def all_are_others() -> bool:
                    now = await subscribers()
                    return len(now) >= len(TIERS) and not now & before

                await client.config_set("client-output-buffer-limit", OVERFULL)
                for tier in TIERS:
                    await client.publish(f"wuji:{chain.nodes[tier].code}:ring", b"x" * 4_000_000)
                await client.config_set("client-output-buffer-limit", USUAL)
                await chain.until(all_are_others, "every gateway was cut off and subscribes again")

        phases = [
            await on.phase("calm", clicks, every_s, nothing),
            await on.phase("killed", clicks, every_s, killed),
            await on.phase("back", clicks, every_s, back),
            await on.phase("flushed", clicks, every_s, flushed),
            await on.phase("cut off by its buffer limit", clicks, every_s, overfull),
        ]
        return phases, on.verdict()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each fault stands")
    parser.add_argument("--every-ms", type=float, default=100.0)
    given = parser.parse_args()
    clicks = max(1, round(1000 * given.seconds / given.every_ms))
    with tempfile.TemporaryDirectory() as folder:
        phases, found = asyncio.run(prove(Path(folder), free_ports(5), clicks, given.every_ms / 1000))
    for phase in phases:
        shown = f"{phase.p50_ms:>8} ms, slowest {phase.slowest_ms}, machine late by {phase.late_ms}"
        print(f"{phase.name:<30}{phase.issued:>7} orders, {phase.lost} lost, {shown}")
    added = max(phase.slowest_ms for phase in phases[1:]) - phases[0].slowest_ms
    beyond = max(phase.slowest_ms - phase.late_ms for phase in phases[1:]) - phases[0].slowest_ms
    print(json.dumps({"phases": [asdict(p) for p in phases], "lost": len(found.lost), "shown_twice": len(found.twice),
                      "added_ms": round(added, 1), "beyond_lateness_ms": round(beyond, 1)}))  # fmt: skip
    return 0 if found.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
