"""Links to the neighbouring gateways: one dialled to the parent, one accepted from each child.

The same ``Wire`` runs at both ends.  Records go by cursor, straight from the journal, and are
acknowledged when durable; everything else is said at once and said again after a new link.  Each
wire has its own tasks and queue, so a neighbour that stops reading delays nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Sequence
from typing import Any

import aiohttp
from aiohttp import web

from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import Epoch, NodeCode, Seq
from signaling.link import (
    REST_S,
    Acked,
    Effect,
    Handle,
    Link,
    Phase,
    Prove,
    Say,
)
from signaling.messages import (
    MAX_LINK_MESSAGE_BYTES,
    OLDEST,
    VERSION,
    LinkAck,
    LinkFailure,
    LinkHello,
    LinkMessage,
    LinkPing,
    LinkRecords,
)
from signaling.routing import Router
from signaling.session import Close, CloseCode, Count

from . import telemetry
from .admittance import Admittance
from .batches import PASSED_ROWS, Batches
from .clock import Clock
from .dialling import Dialling, Uplink
from .express import Express
from .intake import Intake
from .journal import Journal, Row
from .lines import line_of
from .outgoing import Outgoing
from .skews import Skews
from .traffic import Proofs, Traffic
from .ways import Ways

log = logging.getLogger(__name__)

CLOSE_S = 2.0
PARTINGS = frozenset({CloseCode.GOING_AWAY, CloseCode.MALFORMED, CloseCode.REFUSED})
"""Said by who means it; any other end may be the connection's alone."""

Socket = aiohttp.ClientWebSocketResponse | web.WebSocketResponse


class Links:
    """All links of this node."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        router: Router,
        proofs: Proofs,
        traffic: Traffic,
        intake: Intake,
        admittance: Admittance,
        skews: Skews,
        clock: Clock,
        uplink: Uplink | None = None,
    ) -> None:
        self.node = node
        self.tree = tree
        self.journal = journal
        self.ways = Ways(journal, router)
        self.express = Express(journal, router)
        self.proofs = proofs
        self.traffic = traffic
        self.intake = intake
        self.admittance = admittance
        self._skews = skews
        self.clock = clock
        self._uplink = uplink
        self._news = asyncio.Event()
        """The link to the parent may be there, gone, or in doubt."""
        self._wires: dict[NodeCode, Wire] = {}
        self._open: set[Wire] = set()
        """Those that have not greeted yet as well."""
        self._closing = False
        self._renewing: asyncio.Task[None] | None = None
        journal.subscribe(self._journal_grew)

    @property
    def up(self) -> frozenset[NodeCode]:
        """Neighbours whose link is up."""
        return frozenset(self._wires)

    @property
    def uplink_up(self) -> bool | None:
        """Whether the link to the parent is up; None when none is configured."""
        return None if self._uplink is None else self._uplink.parent in self._wires

    @property
    def complaint(self) -> str:
        """Say why there is no link to the parent, as far as it is known."""
        parent = self._uplink.parent if self._uplink is not None else NodeCode("")
        return self._skews.sentence(parent) or "the parent is not linked"

    def rtt_s(self, peer: NodeCode) -> float | None:
        wire = self._wires.get(peer)
        return None if wire is None else wire.machine.rtt_s

    async def run(self) -> None:
        """Keep the link to the parent, forever."""
        if self._uplink is not None:
            await Dialling(self._uplink, self.clock, self._dialled, self._well, self._news).run()

    def _well(self) -> bool:
        """Return whether no new link to the parent is needed."""
        wire = None if self._uplink is None else self._wires.get(self._uplink.parent)
        return self._closing or (wire is not None and not wire.machine.doubtful)

    async def _dialled(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        assert self._uplink is not None
        address = socket.get_extra_info("peername")
        await self._serve(Wire(self, socket, self._uplink.parent, address or ("", 0)))

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        """Serve ``GET /link``."""
        socket = web.WebSocketResponse(
            timeout=CLOSE_S, heartbeat=None, compress=False, max_msg_size=MAX_LINK_MESSAGE_BYTES
        )
        await socket.prepare(request)
        await self._serve(Wire(self, socket, None, (request.remote or "", 0)))
        return socket

    def close(self) -> None:
        """Say goodbye on every link, and make no new one."""
        self._closing = True
        for wire in self._open:
            wire.stop(CloseCode.GOING_AWAY, "going away")

    def attach(self, wire: Wire, peer: NodeCode) -> None:
        """``wire`` is proved to lead to ``peer``; it replaces an older one."""
        older = self._wires.pop(peer, None)
        if older is not None:
            self.traffic.link_down(older)
            older.stop(CloseCode.REPLACED, "a newer link took over")
        self._wires[peer] = wire
        log.info("link up", extra={"peer": peer, "dialled": wire.dialled, "replaced": older is not None})
        telemetry.count("link_up", peer=peer)
        self.traffic.link_up(wire)
        self.moved()

    def moved(self) -> None:
        """A wire may be better or worse than it was."""
        self._news.set()

    def detach(self, wire: Wire) -> None:
        if self._wires.get(wire.peer) is wire:
            del self._wires[wire.peer]
            log.info("link down", extra={"peer": wire.peer, "reason": wire.reason})
            self.traffic.link_down(wire)
            self.moved()

    def rival(self, peer: NodeCode) -> str:
        """Return the program at the other end of a link with ``peer`` that shows life, "" if there is none."""
        wire = self._wires.get(peer)
        return wire.program if wire is not None and wire.machine.lively(self.clock.now()) else ""

    def refused_there(self, peer: NodeCode, failure: LinkFailure) -> None:
        """``peer`` will not be linked with us."""
        renewing = self.admittance.refused_there(peer, failure.code, failure.text)
        if renewing is not None:
            self._renewing = renewing
            renewing.add_done_callback(lambda _: self._begin_anew())

    def _begin_anew(self) -> None:
        """The journal has another epoch: every neighbour learns it from a new hello."""
        for wire in self._open:
            wire.stop(CloseCode.REPLACED, "the journal begins a new epoch")

    async def _serve(self, wire: Wire) -> None:
        if self._closing:
            wire.stop(CloseCode.GOING_AWAY, "going away")
        self._open.add(wire)
        try:
            await wire.run()
        finally:
            self._open.discard(wire)

    def _journal_grew(self, rows: Sequence[Row]) -> None:
        concerned = self.ways.grew(rows)
        last = rows[-1].seq
        if last // PASSED_ROWS > (last - len(rows)) // PASSED_ROWS:
            concerned.update(self._wires)  # who has long had nothing is told so
        for peer in concerned & self._wires.keys():
            self._wires[peer].wake()


class Wire:
    """One WebSocket to one neighbour, from the dial or the accept to the close."""

    def __init__(self, links: Links, socket: Socket, parent: NodeCode | None, address: Sequence[Any]) -> None:
        """``parent`` is who we dialled, None when we were dialled; ``address`` the other end: host, port dialled."""
        self.peer = parent or NodeCode("")
        self.dialled = parent is not None
        self.host, self.port = str(address[0]), int(address[1])
        self.program = ""
        """Names the process at the other end, once it is proved; "" of one that does not say."""
        self.reason = ""
        self.machine = Link(links.journal.epoch, links.clock.now())
        self._links = links
        self._socket = socket
        self._outgoing = Outgoing(longest=MAX_LINK_MESSAGE_BYTES)
        self._changed = asyncio.Event()
        """The machine's next deadline may have moved."""
        self._asked = ""
        """The ``jti`` of our own token; the reply must answer it."""
        self._batches: Batches | None = None
        self._resting = False
        """A batch went out less than REST_S ago."""
        self._attached = False
        self._ended = False
        self.resumes = False
        self._stop: asyncio.Future[tuple[CloseCode, str]] = asyncio.get_running_loop().create_future()

    # ---- for those who speak over the link ------------------------------------------------------

    @property
    def parted(self) -> bool:
        ours = self._stop.result()[0] if self._stop.done() else None
        return bool(PARTINGS & {ours, self._socket.close_code})

    def say(self, message: LinkMessage, key: Hashable = None) -> None:
        if not self._ended:
            self._outgoing.put(message, key)

    def wake(self) -> None:
        self._outgoing.wake()

    def stop(self, code: CloseCode, text: str) -> None:
        """Close the link soon."""
        if not self._stop.done():
            self.reason = text
            self._stop.set_result((code, text))

    # ---- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the link until either side closes it.  Never raises for what the peer does."""
        tasks = [asyncio.create_task(step) for step in (self._read(), self._write(), self._watch())]
        try:
            if self.dialled:
                self._greet(self.peer, "", self._links.traffic.link_kept(self.peer))
            ends: list[asyncio.Future[Any]] = [*tasks, self._stop]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self._report(results)
            self._ended = True
            if self._attached:
                self._links.detach(self)
            await self._farewell()

    def _report(self, results: Sequence[object]) -> None:
        for result in results:
            if isinstance(result, (ConnectionError, TimeoutError, asyncio.CancelledError)):
                self.reason = self.reason or type(result).__name__
            elif isinstance(result, Exception):
                log.error("link failed", exc_info=result, extra={"peer": self.peer})
                self.reason = self.reason or "fault"

    async def _farewell(self) -> None:
        code, text = self._stop.result() if self._stop.done() else (CloseCode.GOING_AWAY, "")
        while self.machine.phase is not Phase.UP and (data := self._outgoing.pop()) is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.send_str(data.decode())
            except (ConnectionError, TimeoutError, RuntimeError):
                break
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code=code, message=text.encode()[:120])
        except (ConnectionError, TimeoutError, RuntimeError):
            return

    async def _read(self) -> None:
        async for frame in self._socket:
            if self._stop.done():
                return  # of two links only the newer is heard
            if frame.type is aiohttp.WSMsgType.TEXT:
                data = frame.data.encode("utf-8", "surrogatepass")
            elif frame.type is aiohttp.WSMsgType.BINARY:
                data = frame.data
            else:
                break
            phase = self.machine.phase
            match self.machine.receive(data, self._links.clock.now()):
                case (Handle(LinkRecords() as batch),):
                    await self._receive(batch)
                case effects:
                    self._carry_out(effects)
            if self.machine.phase is not phase:  # else what was heard only puts the deadline off
                self._changed.set()
        self.reason = self.reason or f"closed by peer ({self._socket.close_code})"

    async def _watch(self) -> None:
        """Call the machine when its deadline comes."""
        while True:
            self._changed.clear()
            deadline = self.machine.deadline()
            wait_s = None if deadline is None else max(0.0, deadline - self._links.clock.now())
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                self._carry_out(self.machine.tick(self._links.clock.now(), line_of(self._socket)))
                if self.machine.doubtful:
                    self._links.moved()

    async def _write(self) -> None:
        while not self._outgoing.overflowed:
            data = self._outgoing.pop() or self._next()
            if data is None:
                await self._outgoing.wait()
                continue
            await self._socket.send_str(data.decode())  # the machine knows when that takes too long
        self.stop(CloseCode.TOO_SLOW, "does not read")

    def _next(self) -> bytes | None:
        """Return what to send while nothing is waiting to be said: records, else a piece of a picture."""
        if self.machine.phase is not Phase.UP or self._resting:
            return None
        message: LinkMessage | None = self._batch()
        if message is None:
            message = self._links.traffic.link_idle(self)
        if message is not None:
            self._outgoing.put(message)
        return self._outgoing.pop()

    # ---- records --------------------------------------------------------------------------------

    def _batch(self) -> LinkRecords | None:
        """Return the next records for the peer; None while the window is shut or nothing concerns it."""
        if self._batches is None or not self.machine.window_open:
            return None
        batch = self._batches.ahead()
        if batch is None and (batch := self._batches.next()) is not None:
            self.machine.sent(batch.last)
        if batch is not None:
            self._resting = True
            asyncio.get_running_loop().call_later(REST_S, self._rested)
        return batch

    def _rested(self) -> None:
        self._resting = False
        self.wake()

    async def _receive(self, batch: LinkRecords) -> None:
        """Take the records in, in order; acknowledge when they and the cursor are durable."""
        if not await self._links.intake.take(batch.items, self.peer, self.machine.version):
            return self.stop(CloseCode.REFUSED, "no room for records of a newer version")
        done = self._links.journal.append(cursor=(self.peer, batch.epoch, batch.last))
        done.add_done_callback(lambda done: self._durable(done, batch.epoch, batch.last))
        return None

    def _durable(self, done: asyncio.Future[Seq], epoch: Epoch, last: Seq) -> None:
        if not done.cancelled() and done.exception() is None:
            self.say(LinkAck(epoch=epoch, seq=last), "ack")

    # ---- the machine's effects ------------------------------------------------------------------

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(LinkPing() as ping):
                    self.say(ping, "ping")
                case Say(message):
                    self.say(message)
                case Handle(LinkFailure() as failure):
                    log.warning("refused by peer", extra={"peer": self.peer, "code": failure.code})
                    self._links.refused_there(self.peer, failure)
                case Handle(message):
                    self._said(message)
                case Acked(_, seq):
                    self._links.traffic.link_acknowledged(self.peer, seq)
                    self.wake()
                case Prove(hello):
                    self._prove(hello)
                case Count(code):
                    telemetry.count("link_refused", code=code)
                case Close(code, text):
                    self.stop(code, text)

    def _said(self, message: LinkMessage) -> None:
        try:
            self._links.traffic.link_said(self, message)
        except Refused as error:
            log.warning("message refused", extra={"peer": self.peer, "code": error.code})
            telemetry.count("link_refused", code=error.code)

    def _prove(self, hello: LinkHello) -> None:
        try:
            jti = self._links.proofs.verify_link(hello.token, hello.node, self._asked)
            rival = "" if self.dialled else self._links.rival(hello.node)
            self._links.admittance.admit(hello, jti, self.peer if self.dialled else None, rival)
        except Refused as error:
            log.warning("link refused", extra={"peer": hello.node[:12], "host": self.host, "code": error.code})
            return self._carry_out(self.machine.refused(error.code, str(error)))
        self.peer, self.program = hello.node, hello.program
        kept = self._links.traffic.link_kept(hello.node)
        self.resumes = hello.media != "" and hello.media == kept
        if not self.dialled:
            self._greet(hello.node, jti, kept if self.resumes else "")
        elif hello.media and not self.resumes:
            return self.stop(CloseCode.REPLACED, "media ended while the parent took it up")
        after = self.machine.accepted(hello, self._links.journal.head, self._links.clock.now())
        self._batches = Batches(self._links, self.peer, after)
        self._attached = True
        self._links.traffic.link_acknowledged(self.peer, after)
        self._links.admittance.linked(hello)
        self._links.attach(self, self.peer)
        return self.wake()

    def _greet(self, peer: NodeCode, answers: str, media: str) -> None:
        token, jti = self._links.proofs.mint_link(peer, answers)
        self._asked = "" if answers else jti
        epoch, seq = self._links.journal.cursor(peer)
        self.say(
            LinkHello(
                version=VERSION,
                node=self._links.node,
                token=token,
                epoch=epoch,
                seq=seq,
                media=media,
                oldest=0 if OLDEST == VERSION else OLDEST,
                program=self._links.admittance.program,
            )
        )
