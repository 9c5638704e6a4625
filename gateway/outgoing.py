"""What waits to be written to one socket: bounded, and the newest of a kind replaces the older.

What waits is written in this order: what was put; what has its turn, by rank; what is drawn; rows.

A message put with a key replaces the waiting one with that key: of a roster that changed ten times
while a slow line was busy, only the last is sent.  Whoever reads too slowly for what cannot be
replaced is cut off, not waited for; it learns everything again when it returns.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator

from signaling import codec
from signaling.messages import Message

from . import telemetry

log = logging.getLogger(__name__)

Rank = tuple[bool, str, int]
"""The lowest has its turn first: of an order, whether it was shown, its urgency, and its place among those."""

MAX_MESSAGES = 2_000
"""Waiting, of those that nothing replaces."""
MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 100_000
"""Of what is made when its turn comes: three orders to every place of a province."""
TURN_MESSAGES = 200
"""Drawn before the event loop gets a turn: some 10 ms.  A socket that takes all it is given would never give one."""
ROWS_REST_S = 0.05
"""Between so many rows: in a flood, what is told of a row then stands for several changes of it."""


class Outgoing:
    """The queue of one socket.  One reader; ``put`` never waits."""

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES, longest: int = MAX_BYTES) -> None:
        """``longest``: bytes the reader takes in one message; what is longer is not sent, since it ends the socket."""
        self.overflowed = False
        self._waiting: OrderedDict[Hashable, bytes] = OrderedDict()
        self._bytes = 0
        self._numbers = 0
        """Given to messages without a key; ``_sent`` is the last of them that was popped."""
        self._sent = 0
        self._drawn = 0
        """Since ``next`` last let the event loop run."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._longest = longest
        self._feed: Iterator[Message] = iter(())
        self._turns: list[tuple[Rank, str]] = []
        self._in_turn: dict[str, Callable[[], Message]] = {}
        self._rows: OrderedDict[Hashable, Callable[[], Message]] = OrderedDict()
        self._rests = False
        """What was drawn last is a row."""
        self._ready = asyncio.Event()

    def put(self, message: Message, key: Hashable = None) -> None:
        """Queue ``message``; with a ``key``, in the place of the one that waits under it."""
        if self.overflowed:
            return
        data = codec.encode(message)
        if len(data) > self._longest:
            log.error("message too long to send", extra={"type": type(message).__name__, "bytes": len(data)})
            telemetry.count("messages_too_long", type=type(message).__name__)
            return
        if key is None:
            self._numbers += 1
            key = self._numbers
        self._bytes += len(data) - len(self._waiting.get(key, b""))
        self._waiting[key] = data
        if self._numbers - self._sent > self._max_messages or self._bytes > self._max_bytes:
            self.overflowed = True
            self._waiting.clear()
        self.wake()

    def feed(self, messages: Iterator[Message]) -> None:
        """Draw from ``messages`` whenever nothing waits: a long answer that takes no memory."""
        self._feed = messages
        self.wake()

    def show_in_turn(self, rank: Rank, key: str, make: Callable[[], Message]) -> None:
        """Queue what ``make`` returns when its turn comes; of one ``key`` only how it stands then.

        Not bounded: it holds what is the reader's to see, and takes no message's memory.
        """
        if self.overflowed:
            return
        if key not in self._in_turn:
            heapq.heappush(self._turns, (rank, key))
        self._in_turn[key] = make
        self.wake()

    def put_row(self, make: Callable[[], Message], key: Hashable) -> None:
        """Queue what ``make`` returns when nothing else waits to be written: an order moves a row for each village."""
        if self.overflowed:
            return
        self._rows[key] = make
        if len(self._rows) > MAX_ROWS:
            self.overflowed = True
            self._rows.clear()
        self.wake()

    def pop(self) -> bytes | None:
        """Return what to write next, or None."""
        self._rests = False
        if self._waiting:
            key, data = self._waiting.popitem(last=False)
            self._bytes -= len(data)
            if isinstance(key, int):
                self._sent = key
            return data
        if self._turns:
            _, turn = heapq.heappop(self._turns)
            return codec.encode(self._in_turn.pop(turn)())
        message = next(self._feed, None)
        if message is None and self._rows:
            _, make = self._rows.popitem(last=False)
            message, self._rests = make(), True
        return None if message is None else codec.encode(message)

    async def next(self) -> bytes | None:
        """Return what to write next, once there is something; None when it overflowed."""
        if self._drawn == TURN_MESSAGES:
            self._drawn = 0
            await asyncio.sleep(ROWS_REST_S if self._rests else 0)
        while not self.overflowed:
            data = self.pop()
            if data is not None:
                self._drawn += 1
                return data
            self._drawn = 0
            await self.wait()
        return None

    def wake(self) -> None:
        self._ready.set()

    async def wait(self) -> None:
        """Return once something may have changed since the last ``wait``."""
        await self._ready.wait()
        self._ready.clear()
