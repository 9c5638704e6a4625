"""Townships that are programs: they dial a real county over real WebSockets and speak for all of their villages.

Each proves itself with a node key, keeps its cursor as a durable node does, acknowledges what it holds, reports
``delivered`` and ``shown`` for every village, and dials again with the waits of ``signaling.link``.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from gateway import tokens
from gateway.clock import Clock
from gateway.tokens import Signer
from signaling import codec, records
from signaling.errors import MalformedMessage
from signaling.ids import DirectiveId, Epoch, NodeCode, Seq
from signaling.link import backoff_s
from signaling.messages import VERSION, LinkAck, LinkHello, LinkMessage, LinkPing, LinkPong, LinkRecords
from signaling.records import DeliveryAdvanced, Stage

BATCH = 500
"""Reports in one message."""
LASTED_S = 5.0
"""A link that lasted this long makes the next wait short again."""


class _Peek(msgspec.Struct):
    """As much of a record as a simulated node looks at."""

    type: str
    directive: str = ""


_PEEK = msgspec.json.Decoder(_Peek)


@dataclass
class Seen:
    """What the crowd saw, times on the steady clock."""

    clock: Clock
    linked: dict[NodeCode, float] = field(default_factory=dict)
    """When each township was last linked."""
    held: dict[DirectiveId, dict[NodeCode, float]] = field(default_factory=dict)
    again: int = 0
    """Orders that came to a township that had acknowledged them."""
    dials: int = 0


class Town:
    """One simulated township."""

    def __init__(self, code: NodeCode, parent: NodeCode, villages: Sequence[NodeCode], signer: Signer) -> None:
        self.code = code
        self._parent = parent
        self._villages = villages
        self._signer = signer
        self._epoch = Epoch(f"e-{code}")
        self._own: list[str] = []
        self._cursor: tuple[Epoch | None, Seq] = (None, Seq(0))
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def run(self, http: aiohttp.ClientSession, url: str, seen: Seen, draw: random.Random) -> None:
        """Keep the link until cancelled."""
        attempt = 0
        while True:
            began = seen.clock.now()
            try:
                seen.dials += 1
                self._socket = await http.ws_connect(url, max_msg_size=0, autoping=True)
                async with self._socket:
                    await self._say(self._hello(seen.clock))
                    async for frame in self._socket:
                        await self._heard(codec.decode_link(str(frame.data).encode()), seen)
            except (aiohttp.ClientError, OSError, TimeoutError, MalformedMessage):
                pass
            seen.linked.pop(self.code, None)
            attempt = 0 if seen.clock.now() - began > LASTED_S else attempt + 1
            await asyncio.sleep(backoff_s(attempt, draw.random()))

    def cut(self) -> None:
        """Lose the connection as a restarted router loses it."""
        if self._socket is not None and self._socket._response.connection is not None:
            transport = self._socket._response.connection.transport
            if transport is not None:
                transport.abort()

    def _hello(self, clock: Clock) -> LinkHello:
        now_s = clock.at() // 1000
        claims = {
            "iss": self.code, "sub": self.code, "aud": self._parent, "iat": now_s, "exp": now_s + tokens.LINK_TTL_S,
            "jti": clock.token(), "answers": "",
        }  # fmt: skip
        token = tokens.sign(self._signer, claims, tokens.LINK)
        epoch, seq = self._cursor
        return LinkHello(version=VERSION, node=self.code, token=token, epoch=epoch, seq=seq)

    async def _say(self, message: LinkMessage) -> None:
        assert self._socket is not None
        await self._socket.send_str(codec.encode(message).decode())

    async def _heard(self, message: LinkMessage, seen: Seen) -> None:
        match message:
            case LinkHello(epoch=epoch, seq=seq):
                seen.linked[self.code] = seen.clock.now()
                await self._report(seq if epoch == self._epoch else 0)
            case LinkPing(number=number):
                await self._say(LinkPong(number=number))
            case LinkRecords():
                await self._take(message, seen)
            case _:
                pass

    async def _take(self, batch: LinkRecords, seen: Seen) -> None:
        reported = len(self._own)
        for item in batch.items:
            record = _PEEK.decode(item)
            if record.type == "directive_issued":
                self._hold(DirectiveId(record.directive), seen)
        if batch.last > self._cursor[1] or batch.epoch != self._cursor[0]:
            self._cursor = (batch.epoch, batch.last)
        await self._say(LinkAck(epoch=batch.epoch, seq=batch.last))
        await self._report(reported)

    def _hold(self, directive: DirectiveId, seen: Seen) -> None:
        held = seen.held.setdefault(directive, {})
        if self.code in held:
            seen.again += 1
            return
        held[self.code] = seen.clock.now()
        at = seen.clock.at()
        for stage in (Stage.DELIVERED, Stage.SHOWN):
            self._own += [
                records.encode(
                    DeliveryAdvanced(node=self.code, at=at, directive=directive, recipient=village, stage=stage)
                ).decode()
                for village in self._villages
            ]

    async def _report(self, after: int) -> None:
        """Send our own records after the first ``after``."""
        for begin in range(after, len(self._own), BATCH):
            items = tuple(self._own[begin : begin + BATCH])
            await self._say(LinkRecords(epoch=self._epoch, last=Seq(begin + len(items)), items=items))


class Crowd:
    """All townships, running."""

    def __init__(self, towns: Sequence[Town], clock: Clock, seed: int) -> None:
        self.seen = Seen(clock)
        self.towns = towns
        self._seed = seed
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, http: aiohttp.ClientSession, url: str) -> None:
        for town in self.towns:
            draw = random.Random(f"{self._seed} {town.code}")
            self._tasks.append(asyncio.create_task(town.run(http, url, self.seen, draw)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Every link breaks at the same moment."""
        self.seen.linked.clear()
        for town in self.towns:
            town.cut()

    async def until(self, condition: Callable[[], object], within_s: float) -> bool:
        """Return whether ``condition`` came true in time."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True
