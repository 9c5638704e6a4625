"""The same orders over the same cut line by Redis publish/subscribe, which keeps nothing: what a proof must notice.

The subscriber is no worse than it can be: it asks whether its server is there once a second, and is back at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.embedded import EmbeddedServer

from .delivery import Cut, Fault, Gate, Plan, cut
from .history import Did, History, Outcome, Verdict, check
from .streams import Streams

CHANNEL = "orders"
CALL_S = 2.0
AGAIN_S = 0.1
PER_S = 2_000
"""Orders a second: no faster than gateways issue them."""
HEAL_S = 60.0


class PubSub:
    """One publisher beside the server, one subscriber beyond the line."""

    def __init__(self, plan: Plan, near: str, line: Streams) -> None:
        self.plan = plan
        self.history = History()
        self.gate = Gate()
        self._near = Redis.from_url(near)
        self._line = line
        self._listening = asyncio.Event()
        self._seen: set[int] = set()

    async def run(self) -> None:
        tasks = [asyncio.create_task(step) for step in (self._publish(), self._subscribe())]
        try:
            await self._listening.wait()
            for fault in self.plan.faults():
                ahead = max(1, self.plan.directives // len(self.plan.faults()))
                self.gate.open(min(self.plan.directives, fault.at + ahead))
                await self.gate.reach(fault.at)
                await self._strike(fault)
            self.gate.open(self.plan.directives)
            await self.gate.reach(self.plan.directives)
            await self._hears()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._near.aclose()

    async def _strike(self, fault: Fault) -> None:
        assert isinstance(fault.kind, Cut)
        await cut(self._line, fault.kind, fault.seconds)
        await self._hears()

    async def _hears(self) -> None:
        """Return once the subscriber hears what is published now."""
        probe = -1 - len(self._seen)
        async with asyncio.timeout(HEAL_S):
            while probe not in self._seen:
                await self._near.publish(CHANNEL, str(probe))
                await asyncio.sleep(AGAIN_S)

    async def _publish(self) -> None:
        while True:
            number = await self.gate.take()
            await self._near.publish(CHANNEL, str(number))
            self.history.add("issuer", Did.ISSUE, str(number))
            self.history.add("server", Did.HOLD, str(number))
            self.gate.done()
            await asyncio.sleep(1 / PER_S)

    async def _subscribe(self) -> None:
        url = f"redis://127.0.0.1:{self._line.port}"
        while True:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                far: Redis = Redis.from_url(
                    url, socket_timeout=CALL_S, socket_connect_timeout=CALL_S, retry=Retry(NoBackoff(), 0)
                )
                async with far, far.pubsub() as ear:
                    async with asyncio.timeout(CALL_S):
                        await ear.subscribe(CHANNEL)
                    await self._listen(ear)
            await asyncio.sleep(AGAIN_S)

    async def _listen(self, ear: Any) -> None:
        """Show whatever comes until the line is dead.

        Raises:
            TimeoutError: Two seconds without an answer.
        """
        asked = False
        while True:
            message = await ear.get_message(timeout=1.0)
            if message is None:
                if asked:
                    raise TimeoutError
                asked = True
                await ear.ping()
                continue
            asked = False
            if message["type"] == "subscribe":
                self._listening.set()
            elif message["type"] == "message":
                self._heard(int(message["data"]))

    def _heard(self, number: int) -> None:
        self._seen.add(number)
        if number >= 0:
            self.history.add("screen", Did.SHOW, str(number), Outcome.OK)


async def prove_pubsub(plan: Plan, directory: Path, port: int) -> tuple[dict[str, Any], Verdict]:
    """Run ``plan``'s cuts against publish/subscribe by a server at ``port``; return (figures, what does not add up)."""
    clock = Clock()
    server = EmbeddedServer(directory)
    await server.start()
    line = await Streams.open(("127.0.0.1", port))
    try:
        async with Redis.from_url(server.url) as near:
            await near.config_set("bind", "127.0.0.1")
            await near.config_set("port", str(port))
        carrier, began = PubSub(plan, server.url, line), clock.now()
        await carrier.run()
        took_s = clock.now() - began
    finally:
        await line.close()
        await server.stop()
    places = {str(number): frozenset({"screen"}) for number in range(plan.directives)}
    found = check(carrier.history.events, "server", places)
    return {
        "issued": found.issued,
        "cuts": plan.cuts,
        "lost": len(found.lost),
        "shown_twice": len(found.twice),
        "redelivered": 0,
        "seed": plan.seed,
        "seconds": round(took_s, 1),
    }, found
