"""The way around for a link whose datagrams do not get through: the neighbour's TCP port (RFC 6544, active).

A path may carry nothing, or checks and no larger datagram, or stop to: all of them are seen as a transport that
does not connect in time, or falls silent.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from .engine import Engine
from .transport import FINAL, PeerState

log = logging.getLogger(__name__)

AFTER_S = 2.5
"""For checks by datagrams, and as long again for the handshake."""
DIAL_S = 5.0

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Detour:
    """Dials ``address`` (IP literal, TCP port) for a transport that checks its peer.

    Tell it every state of the transport.  ``reached`` says whether checks were answered.
    """

    def __init__(
        self, engine: Engine, transport: int, address: tuple[str, int], spawn: Spawn, reached: Callable[[], bool]
    ) -> None:
        self._engine = engine
        self._transport = transport
        self._address = address
        self._spawn = spawn
        self._dialling: asyncio.Task[None] | None = None
        self._state = PeerState.CONNECTING
        self._reached = reached
        self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._first)

    def _first(self) -> None:
        if self._reached():
            self._timer = asyncio.get_running_loop().call_later(AFTER_S, self._dial)
        else:
            self._dial()

    def moved(self, state: PeerState) -> None:
        self._state = state
        self._timer.cancel()
        if state is PeerState.SILENT:
            self._dial()
        elif self._dialling is not None and state in FINAL:
            self._dialling.cancel()

    def _dial(self) -> None:
        if self._dialling is None or self._dialling.done():
            self._dialling = self._spawn(self._connect())

    async def _connect(self) -> None:
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.setblocking(False)
            try:
                async with asyncio.timeout(DIAL_S):
                    await asyncio.get_running_loop().sock_connect(stream, self._address)
                if self._state not in (PeerState.CONNECTED, *FINAL):
                    self._engine.native.dial_stream(self._transport, stream.fileno())
                    log.info("link media by TCP", extra={"transport": self._transport})
            except (OSError, TimeoutError) as error:
                log.info("no link media by TCP", extra={"transport": self._transport, "error": str(error)})
