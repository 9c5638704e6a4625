"""Pictures over links: asked for by hash, sent in small pieces, only while no record waits.

The receiver asks for a stretch at an offset and for the next when it has come, so the flow is as
fast as the line and a picture never stands before a directive.  What is asked for first, ``blobs.Rank`` says.
A node that does not have a picture yet asks the neighbour it heard of it from, and answers when it has come.
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any, Protocol

from signaling.attachment import is_sha256
from signaling.errors import Refused
from signaling.ids import Monotonic, NodeCode, Sha256
from signaling.messages import LinkBlobChunk, LinkBlobWant, LinkMessage

from . import telemetry
from .blobs import Blobs, Known
from .clock import Clock

log = logging.getLogger(__name__)

PIECE_BYTES = 32_768
STRETCH = 4
"""Pieces sent for one asking."""
AT_ONCE = 4
"""Pictures fetched from one neighbour at a time."""
STALE_S = 30.0
"""A picture of which nothing came for this long gives way to the next; it is asked for again in turn."""
SWEEP_S = 5.0
NEVER = Monotonic(-1.0)
MAX_QUEUED = 256
"""Pieces ready for one neighbour; beyond, its askings are passed over until it has read."""


class Port(Protocol):
    """A live link."""

    @property
    def peer(self) -> NodeCode: ...
    def say(self, message: LinkMessage, key: Hashable = None) -> None: ...
    def wake(self) -> None: ...


@dataclass(slots=True)
class _Incoming:
    known: Known
    asked_at: Monotonic
    data: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _Side:
    port: Port
    incoming: dict[Sha256, _Incoming] = field(default_factory=dict)
    queue: list[tuple[Monotonic, int, int, Sha256]] = field(default_factory=list)
    """A heap of what is wanted and not asked for: when it was tried (NEVER first), its rank, a number that rises."""
    ready: deque[LinkBlobChunk] = field(default_factory=deque)


class Transfers:
    """Fetches and serves blobs over all links.  Run ``run`` in a task group.

    Args:
        may_have: Whether a neighbour is concerned by the alarm a picture belongs to.
    """

    def __init__(self, blobs: Blobs, clock: Clock, may_have: Callable[[Sha256, NodeCode], bool]) -> None:
        self._blobs = blobs
        self._clock = clock
        self._may_have = may_have
        self._sides: dict[NodeCode, _Side] = {}
        self._awaited: dict[Sha256, set[NodeCode]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        blobs.on_wanted(self._wanted)
        blobs.on_blob(self._arrived)

    def link_up(self, port: Port) -> None:
        side = self._sides[port.peer] = _Side(port)
        for known in self._blobs.wanted(port.peer):
            self._queue(side, known, NEVER)
        self._ask_more(port.peer)

    def link_down(self, port: Port) -> None:
        side = self._sides.get(port.peer)
        if side is not None and side.port is port:
            del self._sides[port.peer]

    def link_said(self, port: Port, message: LinkBlobWant | LinkBlobChunk) -> None:
        """A neighbour asks for, or sends, a piece.

        Raises:
            Refused: It may not have it, or it is not what was asked for.
        """
        match message:
            case LinkBlobWant():
                self._asked(port.peer, message)
            case LinkBlobChunk():
                self._came(port.peer, message)

    def idle(self, port: Port) -> LinkBlobChunk | None:
        """Return a piece to send while nothing more urgent waits."""
        side = self._sides.get(port.peer)
        return side.ready.popleft() if side is not None and side.ready else None

    async def run(self) -> None:
        """Ask again for what does not come, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = self._clock.now()
            for peer, side in list(self._sides.items()):
                for sha256, incoming in list(side.incoming.items()):
                    if now - incoming.asked_at > STALE_S:
                        del side.incoming[sha256]
                        self._queue(side, incoming.known, now)
                self._ask_more(peer)

    # ---- fetching -------------------------------------------------------------------------------

    def _wanted(self, known: Known) -> None:
        side = None if known.via is None else self._sides.get(known.via)
        if side is not None:
            self._queue(side, known, NEVER)
            self._ask_more(side.port.peer)

    def _queue(self, side: _Side, known: Known, tried: Monotonic) -> None:
        rank = self._blobs.rank(known.sha256)
        if rank is not None:
            heapq.heappush(side.queue, (tried, rank, next(self._numbers), known.sha256))

    def _ask_more(self, peer: NodeCode) -> None:
        side = self._sides.get(peer)
        if side is None:
            return
        while side.queue and len(side.incoming) < AT_ONCE:
            *_, sha256 = heapq.heappop(side.queue)
            known = self._blobs.known(sha256)
            if known is None or self._blobs.rank(sha256) is None or sha256 in side.incoming:
                continue  # it has come by itself
            side.incoming[sha256] = _Incoming(known, self._clock.now())
            side.port.say(LinkBlobWant(sha256=sha256, offset=0), ("want", sha256))

    def _came(self, peer: NodeCode, piece: LinkBlobChunk) -> None:
        side = self._sides[peer]
        incoming = side.incoming.get(piece.sha256)
        if incoming is None:
            return  # came late; it is asked for again in turn
        size, have = incoming.known.size, len(incoming.data)
        lawful = piece.total == size and piece.offset == have and 0 < len(piece.data) <= PIECE_BYTES
        if not lawful or have + len(piece.data) > size:
            del side.incoming[piece.sha256]
            self._queue(side, incoming.known, self._clock.now())
            raise Refused("bad-blob", f"a piece at {piece.offset} of {piece.total}, have {have} of {size}")
        incoming.data += piece.data
        incoming.asked_at = self._clock.now()
        have = len(incoming.data)
        if have == size:
            del side.incoming[piece.sha256]
            self._spawn(self._keep(peer, piece.sha256, bytes(incoming.data)))
        elif have % (STRETCH * PIECE_BYTES) == 0:
            side.port.say(LinkBlobWant(sha256=piece.sha256, offset=have), ("want", piece.sha256))

    async def _keep(self, peer: NodeCode, sha256: Sha256, data: bytes) -> None:
        if await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest()) != sha256:
            log.warning("picture is not what was promised", extra={"peer": peer, "sha256": sha256})
            telemetry.count("link_refused", code="bad-blob")
            self._blobs.forget(sha256)
        else:
            try:
                await self._blobs.put(data)
            except Refused as error:
                log.warning("picture not kept", extra={"sha256": sha256, "code": error.code})
                self._blobs.forget(sha256)
        self._ask_more(peer)

    # ---- serving --------------------------------------------------------------------------------

    def _asked(self, peer: NodeCode, want: LinkBlobWant) -> None:
        if not is_sha256(want.sha256) or want.offset < 0 or not self._may_have(want.sha256, peer):
            raise Refused("unknown-blob", "not a picture for you")
        if self._blobs.has(want.sha256):
            self._spawn(self._serve(peer, want.sha256, want.offset))
        elif self._blobs.want(want.sha256):
            self._awaited.setdefault(want.sha256, set()).add(peer)

    async def _serve(self, peer: NodeCode, sha256: Sha256, offset: int) -> None:
        data = await self._blobs.read(sha256, offset, STRETCH * PIECE_BYTES)
        side, total = self._sides.get(peer), self._blobs.size(sha256)
        if side is None or total is None or len(side.ready) >= MAX_QUEUED:
            return
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            side.ready.append(LinkBlobChunk(sha256=sha256, offset=offset + start, total=total, data=piece))
        side.port.wake()

    def _arrived(self, sha256: Sha256) -> None:
        for peer in self._awaited.pop(sha256, ()):
            self._spawn(self._serve(peer, sha256, 0))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
