"""Two engines in memory, joined by a wire that can lose, repeat and forge DTLS datagrams.

Stands in for ``_native.Engine`` where a test is about the peers and not about packets: ICE is "both sides
know each other's user fragment", SRTP keys are only kept.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from media.engine import Engine

Deliver = Callable[[int, bytes], Sequence[bytes]]


class MemoryEngine:
    """One end.  ``deliver(n, datagram)`` says what becomes of the n-th DTLS datagram this end sends."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.peer: MemoryEngine | None = None
        self.deliver: Deliver = lambda number, datagram: (datagram,)
        self.sent = 0
        self.transports: dict[int, dict[str, Any]] = {}
        self.keys: dict[int, tuple[str, bytes, bytes, bytes, bytes]] = {}
        self.sources: dict[int, dict[str, Any]] = {}
        self.sinks: dict[int, dict[str, Any]] = {}
        self.closed = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._events: list[tuple[Any, ...]] = []

    def event_fd(self) -> int:
        return self._read

    def tell(self, *event: Any) -> None:
        """Put one event where the event loop will find it."""
        if not self._events:
            os.write(self._write, b"x")
        self._events.append(event)

    def poll_events(self, limit: int = 1024) -> list[tuple[Any, ...]]:
        taken, self._events = self._events[:limit], self._events[limit:]
        if not self._events:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 1)
        return taken

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._read)
            os.close(self._write)

    def add_transport(self, transport: int, **values: Any) -> None:
        self.transports[transport] = values
        for engine, other in ((self, self.peer), (self.peer, self)):
            if engine is not None and other is not None:
                engine._check(other)

    def restart_ice(self, transport: int, **values: Any) -> None:
        self.transports[transport] |= values

    def dial_stream(self, transport: int, fd: int) -> None:
        raise OSError("no streams in memory")

    def adopt_stream(self, fd: int) -> None:
        raise OSError("no streams in memory")

    def _check(self, other: "MemoryEngine") -> None:
        """Report a path where both ends know each other."""
        for number, mine in self.transports.items():
            if other.find(mine) is not None:
                self.tell("path", number, "192.0.2.9", 9)
                self.tell("nominated", number, "192.0.2.9", 9)

    def find(self, remote: dict[str, Any]) -> int | None:
        """The transport here that ``remote`` was told about, and whose password it knows."""
        for number, mine in self.transports.items():
            if (mine["local_ufrag"], mine["local_pwd"]) == (remote["remote_ufrag"], remote["remote_pwd"]):
                return number
        return None

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        self.sent += 1
        if self.peer is None or transport not in self.transports:
            return
        target = self.peer.find(self.transports[transport])
        for item in self.deliver(self.sent, datagram):
            if target is not None:
                self.peer.tell("dtls", target, item)

    def set_keys(self, transport: int, profile: str, **keys: bytes) -> None:
        self.keys[transport] = (profile, keys["rx_key"], keys["rx_salt"], keys["tx_key"], keys["tx_salt"])

    def drop_transport(self, transport: int) -> None:
        self.transports.pop(transport, None)
        self.keys.pop(transport, None)
        for table in (self.sources, self.sinks):
            for number in [n for n, values in table.items() if values["transport"] == transport]:
                del table[number]

    def add_source(self, source: int, transport: int, **values: Any) -> None:
        self.sources[source] = {"transport": transport, **values}

    def drop_source(self, source: int) -> None:
        del self.sources[source]

    def add_sink(self, sink: int, transport: int, **values: Any) -> None:
        self.sinks[sink] = {"transport": transport, **values}

    def drop_sink(self, sink: int) -> None:
        del self.sinks[sink]

    def route(self, sink: int, source: int | None) -> None:
        self.sinks[sink]["from"] = source

    def want(self, sink: int, height: int, priority: int, beside: int | None = None) -> None:
        self.sinks[sink]["want"] = (height, priority, beside)

    def request_keyframe(self, source: int) -> None:
        self.sources[source]["asked"] = self.sources[source].get("asked", 0) + 1

    def keyframe(self, source: int) -> None:
        return None

    def strain(self, level: int) -> None:
        raise NotImplementedError

    def worker_cpu_ns(self) -> list[int]:
        return [0]

    def stats(self) -> dict[str, Any]:
        return {"engine": {"dtls_sent": self.sent}}


def joined() -> tuple[MemoryEngine, Engine, MemoryEngine, Engine]:
    """Two started engines on one wire."""
    one, two = MemoryEngine(8804), MemoryEngine(8805)
    one.peer, two.peer = two, one
    engines = Engine(one), Engine(two)
    for engine in engines:
        engine.start()
    return one, engines[0], two, engines[1]


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until ``condition`` holds, looking after every turn of the event loop."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
