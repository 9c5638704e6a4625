"""The bad network between the tiers: for each link its WebSocket and its media, on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from gateway.proving.network import Bottleneck, Impairment, Way
from gateway.proving.streams import Streams

from .datagrams import Datagrams
from .profiles import PROFILES, Profile

T = TypeVar("T")
LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Hop:
    """What stands between a child and its parent; ``up`` is towards the parent."""

    name: str
    streams: Streams
    datagrams: Datagrams

    def apply(self, profile: Profile, seed: str) -> None:
        """Begin ``profile`` afresh: WebSocket and media share each direction's bottleneck."""
        self.streams.down, self.datagrams.down = self._ways(profile.down, f"{seed} {self.name} down")
        self.streams.up, self.datagrams.up = self._ways(profile.up, f"{seed} {self.name} up")

    @staticmethod
    def _ways(impairment: Impairment, seed: str) -> tuple[Way, Way]:
        line = Bottleneck(impairment.rate_bps, impairment.queue_ms)
        return Way(impairment, f"{seed} stream", line), Way(impairment, seed, line)


class Hops:
    """All hops by name, served by one thread.  Use as a context manager.

    Args:
        servers: Of each hop the port, TCP and UDP of 127.0.0.1, of its upper end.
    """

    def __init__(self, servers: Mapping[str, int], seed: str) -> None:
        self._seed = seed
        self._servers = servers
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.hops: dict[str, Hop] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        for name, port in self._servers.items():
            self.hops[name] = asyncio.run_coroutine_threadsafe(self._open(name, port), self._loop).result(LIMIT_S)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(LIMIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT_S)
        self._loop.close()

    def apply(self, profile: str, names: Sequence[str]) -> None:
        """Put ``profile`` on the named hops and make the others clean."""
        for name, hop in self.hops.items():
            wanted = PROFILES[profile if name in names else "clean"]
            self.do(lambda hop=hop, wanted=wanted: hop.apply(wanted, self._seed))

    def do(self, act: Callable[[], T]) -> T:
        """Run ``act`` on the network's thread, where all of its state lives; return what it returns."""

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(LIMIT_S)

    async def _open(self, name: str, port: int) -> Hop:
        server = ("127.0.0.1", port)
        return Hop(name, await Streams.open(server), Datagrams(server))

    async def _close(self) -> None:
        for hop in self.hops.values():
            hop.datagrams.close()
            await hop.streams.close()
