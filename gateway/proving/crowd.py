"""Gateways that are programs: they dial a real gateway over real WebSockets and speak for all places below them.

Each proves itself with a node key, keeps its cursor as a durable node does, acknowledges what it holds, and says of
an order what a gateway's journal would bring from its part of the tree: that each hop was relayed, and that each
village has it and shows it.  It sends in batches and a window as ``gateway.links`` does, tells who is online, and
dials again with the waits of ``signaling.link``.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from gateway import tokens
from gateway.clock import Clock
from gateway.presence import TELL_S
from gateway.tokens import Signer
from signaling import codec, records
from signaling.division import Tree
from signaling.errors import MalformedMessage
from signaling.ids import DirectiveId, Epoch, NodeCode, Seq
from signaling.link import BATCH_BYTES, WINDOW, backoff_s
from signaling.messages import (
    VERSION,
    LinkAck,
    LinkHello,
    LinkMessage,
    LinkPing,
    LinkPong,
    LinkPresence,
    LinkRecords,
)
from signaling.records import AnyRecord, DeliveryAdvanced, DirectivesRelayed, Stage

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
    """When each simulated gateway was last linked."""
    held: dict[DirectiveId, dict[NodeCode, float]] = field(default_factory=dict)
    again: int = 0
    """Orders that came to a gateway that had acknowledged them."""
    dials: int = 0


class Branch:
    """One simulated gateway and all places below it, whose own links are thought, not made."""

    def __init__(self, code: NodeCode, tree: Tree, signer: Signer, seen: Seen, draw: random.Random) -> None:
        self.code = code
        self._tree = tree
        self._signer = signer
        self._seen = seen
        self._draw = draw
        self._below = tuple(place for place in tree.subtree(code) if place != code)
        self._back: dict[NodeCode, float] = {}
        """When each place below is linked again, through all above it; nothing: they all are."""
        self._late: list[tuple[float, str]] = []
        """Records of places that were not linked yet, by when they are."""
        self._epoch = Epoch(f"e-{code}")
        self._own: list[str] = []
        """Our journal, as far as it goes up."""
        self._sent = 0
        self._outstanding: deque[int] = deque()
        """The ends of batches that are not acknowledged."""
        self._cursor: tuple[Epoch | None, Seq] = (None, Seq(0))
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._returning: asyncio.Task[None] | None = None

    async def run(self, http: aiohttp.ClientSession, url: str) -> None:
        """Keep the link until cancelled."""
        attempt = 0
        clock = self._seen.clock
        while True:
            began = clock.now()
            try:
                self._seen.dials += 1
                self._socket = await http.ws_connect(url, max_msg_size=0, autoping=True)
                async with self._socket:
                    await self._say(self._hello())
                    async for frame in self._socket:
                        await self._heard(codec.decode_link(str(frame.data).encode()))
            except (aiohttp.ClientError, OSError, TimeoutError, MalformedMessage):
                pass
            self._socket = None
            self._seen.linked.pop(self.code, None)
            attempt = 0 if clock.now() - began > LASTED_S else attempt + 1
            await asyncio.sleep(backoff_s(attempt, self._draw.random()))

    def cut(self) -> None:
        """Lose the connection as a restarted router loses it, and so does every place below."""
        now = self._seen.clock.now()
        for place in self._below:
            parent = self._tree.parent(place) or self.code
            own = now + backoff_s(0, self._draw.random())
            self._back[place] = max(own, self._back.get(parent, now))
        if self._returning is None:
            self._returning = asyncio.create_task(self._return())
        if self._socket is not None and self._socket._response.connection is not None:
            transport = self._socket._response.connection.transport
            if transport is not None:
                transport.abort()

    async def stop(self) -> None:
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)

    async def _return(self) -> None:
        """Let the places below come back, each when its links are; tell of them together."""
        while self._back:
            await asyncio.sleep(TELL_S)
            now = self._seen.clock.now()
            self._back = {place: at for place, at in self._back.items() if at > now}
            self._own += [item for at, item in self._late if at <= now]
            self._late = [(at, item) for at, item in self._late if at > now]
            if self.code in self._seen.linked:
                try:
                    await self._tell()
                    await self._report()
                except (ConnectionError, RuntimeError):
                    pass  # the next link says it
        self._returning = None

    def _hello(self) -> LinkHello:
        now_s = self._seen.clock.at() // 1000
        claims = {
            "iss": self.code, "sub": self.code, "aud": self._tree.parent(self.code), "iat": now_s,
            "exp": now_s + tokens.LINK_TTL_S, "jti": self._seen.clock.token(), "answers": "",
        }  # fmt: skip
        token = tokens.sign(self._signer, claims, tokens.LINK)
        epoch, seq = self._cursor
        return LinkHello(version=VERSION, node=self.code, token=token, epoch=epoch, seq=seq)

    async def _say(self, message: LinkMessage) -> None:
        if self._socket is not None:
            await self._socket.send_str(codec.encode(message).decode())

    async def _tell(self) -> None:
        """Say who is online: gateways, and at each village its terminal."""
        online = {place: int(not self._tree.children(place)) for place in self._below if place not in self._back}
        await self._say(LinkPresence(online={self.code: 0, **online}))

    async def _heard(self, message: LinkMessage) -> None:
        match message:
            case LinkHello(epoch=epoch, seq=seq):
                self._seen.linked[self.code] = self._seen.clock.now()
                self._sent = seq if epoch == self._epoch else 0
                self._outstanding.clear()
                await self._tell()
                await self._report()
            case LinkPing(number=number):
                await self._say(LinkPong(number=number))
            case LinkRecords():
                await self._take(message)
            case LinkAck(seq=seq):
                while self._outstanding and self._outstanding[0] <= seq:
                    self._outstanding.popleft()
                await self._report()
            case _:
                pass

    async def _take(self, batch: LinkRecords) -> None:
        for item in batch.items:
            record = _PEEK.decode(item)
            if record.type == "directive_issued":
                self._hold(DirectiveId(record.directive))
        if batch.last > self._cursor[1] or batch.epoch != self._cursor[0]:
            self._cursor = (batch.epoch, batch.last)
        await self._say(LinkAck(epoch=batch.epoch, seq=batch.last))
        await self._report()

    def _hold(self, directive: DirectiveId) -> None:
        held = self._seen.held.setdefault(directive, {})
        if self.code in held:
            self._seen.again += 1
            return
        held[self.code] = self._seen.clock.now()
        for place in self._below:
            items = [records.encode(word).decode() for word in self._words(directive, place)]
            if place in self._back:
                self._late += [(self._back[place], item) for item in items]
            else:
                self._own += items

    def _words(self, directive: DirectiveId, place: NodeCode) -> Iterator[AnyRecord]:
        """Yield what is said once ``place`` has the order: by the gateway above it, and by itself, a village."""
        at, parent = self._seen.clock.at(), self._tree.parent(place)
        assert parent is not None
        yield DirectivesRelayed(node=parent, at=at, child=place, directives=(directive,))
        if not self._tree.children(place):
            for stage in (Stage.DELIVERED, Stage.SHOWN):
                yield DeliveryAdvanced(node=place, at=at, directive=directive, recipient=place, stage=stage)

    async def _report(self) -> None:
        """Send our own records as far as the window goes."""
        while self._sent < len(self._own) and len(self._outstanding) < WINDOW:
            items: list[str] = []
            room = BATCH_BYTES
            for item in self._own[self._sent : self._sent + BATCH_BYTES // 100]:
                room -= len(item)
                if items and room < 0:
                    break
                items.append(item)
            self._sent += len(items)
            self._outstanding.append(self._sent)
            await self._say(LinkRecords(epoch=self._epoch, last=Seq(self._sent), items=tuple(items)))


class Crowd:
    """All simulated gateways, running."""

    def __init__(self, seen: Seen, branches: Sequence[Branch]) -> None:
        self.seen = seen
        self.branches = branches
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, http: aiohttp.ClientSession, urls: Iterable[str]) -> None:
        """Have each of ``branches`` dial its own of ``urls``."""
        for branch, url in zip(self.branches, urls, strict=True):
            self._tasks.append(asyncio.create_task(branch.run(http, url)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(branch.stop() for branch in self.branches), return_exceptions=True)

    def cut(self) -> None:
        """Every link breaks at the same moment."""
        self.seen.linked.clear()
        for branch in self.branches:
            branch.cut()

    async def until(self, condition: Callable[[], object], within_s: float) -> bool:
        """Return whether ``condition`` came true in time."""
        try:
            async with asyncio.timeout(within_s):
                while not condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        except TimeoutError:
            return False
        return True
