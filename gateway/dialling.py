"""Dials the parent: again when there is no link, and beside one that may only be a connection that stalls.

TCP under heavy loss can stand still for many seconds while a new connection gets through at once.  So a dial that is
not greeted soon, or a link that falls silent, is not waited for: another is begun, and the newest link wins.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from signaling.ids import NodeCode
from signaling.link import BACKOFF_SHORT_ATTEMPTS, backoff_s
from signaling.messages import MAX_LINK_MESSAGE_BYTES

from . import telemetry
from .clock import Clock

log = logging.getLogger(__name__)

CONNECT_S = 10.0
CLOSE_S = 2.0
PATIENCE_S = 2.0
"""A dial that has brought no link in so long is joined by another."""
MAX_DIALS = 3
"""At once, with the one that became a link."""
STEADY_S = 30.0
"""A link that lasted this long was a good one: the next wait begins short again."""


def next_attempt(attempt: int, lasted_s: float, *, came_up: bool) -> int:
    """Return the number of the dial after dial ``attempt``, for ``backoff_s``.

    A neighbour whose links come up and fall soon is there: the waits stay short, so that what is to be said finds
    the next link soon; they grow while none comes up.
    """
    if lasted_s > STEADY_S:
        return 0
    return min(attempt + 1, BACKOFF_SHORT_ATTEMPTS) if came_up else attempt + 1


@dataclass(frozen=True, slots=True)
class Uplink:
    """Where the parent is dialled."""

    url: str
    parent: NodeCode
    ssl: ssl.SSLContext | None = None


class Dialling:
    """The dials of one node.

    Args:
        serve: Runs a link over a socket until it ends.
        well: Whether no further link is needed now.
        news: Set when ``well`` may have changed.
    """

    def __init__(
        self,
        uplink: Uplink,
        clock: Clock,
        serve: Callable[[aiohttp.ClientWebSocketResponse], Coroutine[Any, Any, None]],
        well: Callable[[], bool],
        news: asyncio.Event,
    ) -> None:
        self._uplink = uplink
        self._clock = clock
        self._serve = serve
        self._well = well
        self._news = news
        self._dials: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Dial whenever it is needed, until cancelled."""
        attempt = 0
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            try:
                while True:
                    dial, started = self._start(client), self._clock.now()
                    await self._tried(dial)
                    came_up = self._well()
                    await self._needed()
                    attempt = next_attempt(attempt, self._clock.now() - started, came_up=came_up)
                    await asyncio.sleep(backoff_s(attempt, self._clock.random()))
                    await self._needed()  # a link that stalled may have come back
            finally:
                for dial in self._dials:
                    dial.cancel()
                await asyncio.gather(*self._dials, return_exceptions=True)

    def _start(self, client: aiohttp.ClientSession) -> asyncio.Task[None]:
        dial = asyncio.create_task(self._dial(client))
        self._dials.add(dial)
        dial.add_done_callback(self._done)
        return dial

    def _done(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        self._news.set()
        if not dial.cancelled() and dial.exception() is not None:
            log.error("dial failed", exc_info=dial.exception(), extra={"parent": self._uplink.parent})

    async def _tried(self, dial: asyncio.Task[None]) -> None:
        """Return once ``dial`` has ended, there is a link, or it took too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not dial.done() and not self._well():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def _needed(self) -> None:
        """Return once another dial is needed, and there is room for it."""
        while self._well() or len(self._dials) >= MAX_DIALS:
            self._news.clear()
            await self._news.wait()

    async def _dial(self, client: aiohttp.ClientSession) -> None:
        try:
            async with asyncio.timeout(CONNECT_S):
                socket = await client.ws_connect(
                    self._uplink.url,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
                    heartbeat=None,
                    compress=0,
                    max_msg_size=MAX_LINK_MESSAGE_BYTES,
                    ssl=self._uplink.ssl or True,
                )
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.debug("uplink not reached", extra={"parent": self._uplink.parent, "error": str(error)})
            telemetry.count("link_dial_failed", peer=self._uplink.parent)
            return
        await self._serve(socket)
