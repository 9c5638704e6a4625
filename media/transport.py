"""One peer's transport from first check to last: a state, two deadlines, and a bounded pipe for DTLS datagrams.

Knows neither SDP nor TLS: what a handshake is, it is told (``Handshake``).  The engine has verified every
datagram's path by ICE before it comes here.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, assert_never

from .engine import Alive, Dtls, Engine, Event, Nominated, Path, Silent

log = logging.getLogger(__name__)

DATAGRAM_BYTES = 1_200  # what passes every path without fragments: RFC 8261 section 5 and the IPv6 minimum
PIPE_DATAGRAMS = 64
RECORD_HEADER_BYTES = 13


class PeerState(StrEnum):
    CONNECTING = "connecting"
    CONNECTED = "connected"
    SILENT = "silent"
    CLOSED = "closed"
    FAILED = "failed"


FINAL = frozenset({PeerState.CLOSED, PeerState.FAILED})


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds a peer has for each step.

    Attributes:
        ice_s: From our answer to its first authenticated check.
        dtls_s: For the handshake.
        gone_s: From the engine's ``Silent`` until we give the peer up.
    """

    ice_s: float = 15.0
    dtls_s: float = 10.0
    gone_s: float = 12.0


class Handshake(Protocol):
    """DTLS over a ``Pipe``."""

    failure: str

    async def run(self) -> bool:
        """Shake hands and give the engine its keys; False (and a ``failure``) when that cannot be."""

    async def stop(self) -> None:
        """Say goodbye."""


class Pipe:
    """DTLS datagrams of one transport; has the shape that aiortc's DTLS transport expects of ICE."""

    def __init__(self, engine: Engine, transport: int, role: str) -> None:
        self.role = role
        self.dropped = 0
        self._engine = engine
        self._transport = transport
        self._waiting: deque[bytes] = deque()
        self._ready = asyncio.Event()
        self._closed = False

    def push(self, datagram: bytes) -> None:
        """Take one datagram from the engine; what exceeds the queue is dropped and counted, DTLS repeats it."""
        if not datagram or len(self._waiting) >= PIPE_DATAGRAMS:
            self.dropped += 1
            return
        self._waiting.append(datagram)
        self._ready.set()

    def close(self) -> None:
        self._closed = True
        self._ready.set()

    async def _recv(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise ConnectionError("transport closed")
            self._ready.clear()
            await self._ready.wait()
        return self._waiting.popleft()

    async def _send(self, data: bytes) -> None:
        if self._closed:
            return
        for datagram in datagrams(data):
            self._engine.send_dtls(self._transport, datagram)


def datagrams(flight: bytes) -> list[bytes]:
    """Pack the DTLS records of a flight into datagrams of at most ``DATAGRAM_BYTES``, cutting none.

    OpenSSL's memory buffer joins the datagrams it meant to send.  Record header: RFC 6347 section 4.1.
    """
    packed: list[bytes] = []
    while flight:
        size = RECORD_HEADER_BYTES + int.from_bytes(flight[11:13], "big")
        record, flight = flight[:size], flight[size:]
        if packed and len(packed[-1]) + len(record) <= DATAGRAM_BYTES:
            packed[-1] += record
        else:
            packed.append(record)
    return packed


class Transport:
    """The life of one transport.

    CONNECTING -> CONNECTED <-> SILENT -> CLOSED | FAILED; the last two are final, and the engine has
    forgotten the transport by then.
    """

    def __init__(self, engine: Engine, number: int, deadlines: Deadlines, wait_nominated: bool) -> None:
        self.id = number
        self.state = PeerState.CONNECTING
        self.failure = ""
        self.changed: Callable[[PeerState], None] | None = None
        self.pipe = Pipe(engine, number, "controlling" if wait_nominated else "controlled")
        self._engine = engine
        self._deadlines = deadlines
        self._wait_nominated = wait_nominated
        self._reached = asyncio.Event()
        self._handshake: Handshake | None = None
        self._gone: asyncio.TimerHandle | None = None
        engine.on(number, self._on_event)

    @property
    def reached(self) -> bool:
        """Whether there is a path."""
        return self._reached.is_set()

    async def run(self, handshake: Handshake) -> None:
        """Bring the transport up; returns when it is connected or has failed."""
        self._handshake = handshake
        try:
            async with asyncio.timeout(self._deadlines.ice_s):
                await self._reached.wait()
        except TimeoutError:
            return self.fail("ice-timeout")
        try:
            async with asyncio.timeout(self._deadlines.dtls_s):
                connected = await handshake.run()
        except TimeoutError:
            return self.fail("dtls-timeout")
        except Exception:
            log.exception("DTLS handshake broke", extra={"transport": self.id})
            return self.fail("dtls-failed")
        if connected:
            self._enter(PeerState.CONNECTED)
            return None
        return self.fail(handshake.failure or "dtls-failed")

    def fail(self, why: str) -> None:
        """Give the transport up; ``why`` is a stable code."""
        if self.state not in FINAL:
            self.failure = why
            log.info("peer failed", extra={"transport": self.id, "why": why})
            self._finish(PeerState.FAILED)

    def closed_by_peer(self) -> None:
        self._finish(PeerState.CLOSED)

    async def close(self) -> None:
        """Say goodbye and forget the transport.  Idempotent."""
        if self.state in FINAL:
            return
        if self._handshake is not None:
            await self._handshake.stop()
        self._finish(PeerState.CLOSED)

    def _finish(self, state: PeerState) -> None:
        if self.state in FINAL:
            return
        if self._gone is not None:
            self._gone.cancel()
        self.pipe.close()
        self._engine.drop_transport(self.id)
        self._enter(state)

    def _enter(self, state: PeerState) -> None:
        if state is self.state or self.state in FINAL:
            return
        self.state = state
        if self.changed is not None:
            self.changed(state)

    def _on_event(self, event: Event) -> None:
        match event:
            case Path():
                if not self._wait_nominated:
                    self._reached.set()
            case Nominated():
                self._reached.set()
            case Dtls(datagram):
                self.pipe.push(datagram)
            case Silent():
                self._fall_silent()
            case Alive():
                self._come_back()
            case _:
                assert_never(event)

    def _fall_silent(self) -> None:
        if self.state is PeerState.CONNECTED:
            loop = asyncio.get_running_loop()
            self._gone = loop.call_later(self._deadlines.gone_s, self.fail, "gone")
            self._enter(PeerState.SILENT)

    def _come_back(self) -> None:
        if self.state is PeerState.SILENT:
            if self._gone is not None:
                self._gone.cancel()
            self._enter(PeerState.CONNECTED)
