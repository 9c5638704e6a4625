"""Terminals and consoles on ``/ws``: each socket has its own reader, writer and bounded queue.

What a session means is ``signaling/session.py``; what it may see and do is asked of the ``Desk``.
Whoever reads too slowly is cut off and learns everything again when it returns; nobody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Protocol

import aiohttp
from aiohttp import web

from signaling.errors import RemoteError
from signaling.ids import Monotonic, ParticipantId, SessionId
from signaling.messages import MAX_MESSAGE_BYTES, ClientMessage, Failure, GatewayMessage, Hello
from signaling.records import Actor
from signaling.session import Authenticate, Close, CloseCode, Count, Effect, Handle, Phase, Say, Session

from . import telemetry
from .clock import Clock
from .connection import fitting
from .outgoing import Outgoing, Rank

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
SEND_S = 10.0
"""A socket that takes nothing for this long is not read."""
CLOSE_S = 2.0
MAX_SESSIONS = 5_000
SHARE = 0.75
"""Of the connections the process has descriptors for; the rest is for links and requests."""


class Desk(Protocol):
    """Where sessions are served: ``Dispatch``."""

    def sign_in(self, token: str) -> tuple[Actor, float]:
        """Return who bears ``token`` and for how many seconds yet, or raise Refused."""
        ...

    def arrived(self, visitor: Visitor, resume: str) -> Iterator[GatewayMessage]:
        """Return what a new session is told, welcome first; ``resume`` names the lost one it goes on for."""
        ...

    def departed(self, visitor: Visitor, *, lost: bool) -> None:
        """Its socket is closed; ``lost``: by nobody's will."""
        ...

    async def serve(self, visitor: Visitor, message: ClientMessage) -> GatewayMessage | None:
        """Carry out ``message``; raise RemoteError for what cannot be."""
        ...


class Visitor:
    """One signed-in session, for those who speak to it."""

    def __init__(
        self, session: SessionId, who: Actor, outgoing: Outgoing, resume: str, replaced: Callable[[], None]
    ) -> None:
        self.session = session
        self.who = who
        self.resume = resume
        """By which a later session may go on for this one."""
        self.replaced = replaced
        """Close it: another goes on in its place."""
        self.participant: ParticipantId | None = None
        """Who it is in the one conference it has joined."""
        self._outgoing = outgoing

    def say(self, message: GatewayMessage, key: Hashable = None) -> None:
        """Tell it; a waiting message with the same ``key`` is replaced."""
        self._outgoing.put(message, key)

    def show_in_turn(self, rank: Rank, key: str, make: Callable[[], GatewayMessage]) -> None:
        """Tell it what ``make`` returns, after all of a lower rank; of one ``key`` only how it stands then."""
        self._outgoing.show_in_turn(rank, key, make)

    def show_row(self, make: Callable[[], GatewayMessage], key: Hashable) -> None:
        """Tell it what ``make`` returns once all else is said; of one ``key`` only how it stands then."""
        self._outgoing.put_row(make, key)

    def tell_all(self, messages: Iterator[GatewayMessage]) -> None:
        """Tell it the first of these at once and the rest as fast as it reads."""
        first = next(messages, None)
        if first is not None:
            self._outgoing.put(first)
        self._outgoing.feed(messages)


class Sessions:
    """All sessions of this node."""

    def __init__(self, desk: Desk, clock: Clock) -> None:
        self._desk = desk
        self._clock = clock
        self._live: dict[SessionId, _Socket] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Visitor]:
        """Yield the signed-in sessions."""
        return iter([socket.visitor for socket in self._live.values() if socket.visitor is not None])

    async def accept(self, request: web.Request) -> web.WebSocketResponse:
        """Serve ``GET /ws``."""
        response = web.WebSocketResponse(
            timeout=CLOSE_S, heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_MESSAGE_BYTES
        )
        await response.prepare(request)
        session = SessionId(self._clock.new_id("s"))
        socket = _Socket(session, response, self._desk, self._clock)
        if len(self._live) >= min(MAX_SESSIONS, int(SHARE * fitting())):
            socket.stop(CloseCode.TOO_SLOW, f"{len(self._live)} sessions")
            telemetry.count("session_refused", code="too-many-sessions")
        self._live[session] = socket
        try:
            await socket.run()
        finally:
            del self._live[session]
        return response

    def close(self) -> None:
        """Say goodbye to everybody."""
        for socket in self._live.values():
            socket.stop(CloseCode.GOING_AWAY, "going away")


class _Socket:
    """One WebSocket from its accept to its close."""

    def __init__(self, session: SessionId, response: web.WebSocketResponse, desk: Desk, clock: Clock) -> None:
        self.session = session
        self.visitor: Visitor | None = None
        self._response = response
        self._desk = desk
        self._clock = clock
        self._machine = Session(clock.now())
        self._outgoing = Outgoing()
        self._changed = asyncio.Event()
        """The machine's next deadline moved."""
        self._stop: asyncio.Future[tuple[CloseCode, str]] = asyncio.get_running_loop().create_future()

    def stop(self, code: CloseCode, text: str) -> None:
        if not self._stop.done():
            self._stop.set_result((code, text))

    async def run(self) -> None:
        """Serve until either side closes.  Never raises for what the peer does."""
        tasks = [asyncio.create_task(step) for step in (self._read(), self._write(), self._watch())]
        try:
            ends: list[asyncio.Future[object]] = [*tasks, self._stop]  # type: ignore[list-item]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, (ConnectionError, TimeoutError)):
                    log.error("session failed", exc_info=result, extra={"session": self.session})
            if self.visitor is not None:
                self._desk.departed(self.visitor, lost=self._lost())
                log.info("session closed", extra={"session": self.session, "code": self._reason()})
            await self._farewell()

    def _lost(self) -> bool:
        """Whether neither side meant to end the session."""
        if self._stop.done():
            return self._stop.result()[0] is CloseCode.TOO_SLOW
        return self._response.close_code not in (aiohttp.WSCloseCode.OK, aiohttp.WSCloseCode.GOING_AWAY)

    def _replaced(self) -> None:
        self.stop(CloseCode.REPLACED, "resumed elsewhere")

    def _reason(self) -> int:
        return int(self._stop.result()[0]) if self._stop.done() else self._response.close_code or 1006

    async def _farewell(self) -> None:
        """Send what explains the close, then close; a peer that reads nothing is not waited for."""
        code, text = self._stop.result() if self._stop.done() else (CloseCode.GOING_AWAY, "")
        try:
            async with asyncio.timeout(CLOSE_S):
                if code in (CloseCode.MALFORMED, CloseCode.REFUSED):
                    while (data := self._outgoing.pop()) is not None:
                        await self._response.send_str(data.decode())
                await self._response.close(code=code, message=text.encode()[:120], drain=False)
        except (ConnectionError, TimeoutError, RuntimeError):
            return

    async def _read(self) -> None:
        async for frame in self._response:
            match frame.type:
                case aiohttp.WSMsgType.TEXT:
                    data = frame.data.encode("utf-8", "surrogatepass")
                case aiohttp.WSMsgType.BINARY:
                    data = frame.data
                case _:
                    break
            await self._carry_out(self._machine.receive(data, self._clock.now()))
        if self._response.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            telemetry.count("session_refused", code="message-too-large")

    async def _write(self) -> None:
        while (data := await self._outgoing.next()) is not None:
            try:
                async with asyncio.timeout(SEND_S):
                    await self._response.send_str(data.decode())
            except TimeoutError:
                break
        telemetry.count("session_refused", code=f"close-{int(CloseCode.TOO_SLOW)}")
        self.stop(CloseCode.TOO_SLOW, "does not read")

    async def _watch(self) -> None:
        """Call the machine when its deadline comes."""
        while True:
            self._changed.clear()
            deadline = self._machine.deadline()
            try:
                async with asyncio.timeout(None if deadline is None else max(0.0, deadline - self._clock.now())):
                    await self._changed.wait()
            except TimeoutError:
                await self._carry_out(self._machine.tick(self._clock.now()))

    async def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say(message):
                    self._outgoing.put(message)
                case Count(code):
                    telemetry.count("session_refused", code=code)
                case Authenticate(hello):
                    await self._carry_out(self._sign_in(hello))
                case Handle(message):
                    await self._serve(message)
                case Close(code, text):
                    self.stop(code, text)

    def _sign_in(self, hello: Hello) -> Sequence[Effect]:
        try:
            who, seconds = self._desk.sign_in(hello.token)
        except RemoteError as error:
            return self._machine.refused(error.code, str(error))
        self._machine.accepted(Monotonic(self._clock.now() + seconds))
        self._changed.set()
        self.visitor = Visitor(self.session, who, self._outgoing, self._clock.token(), self._replaced)
        self.visitor.tell_all(self._desk.arrived(self.visitor, hello.resume))
        log.info("session open", extra={"session": self.session, "role": who.role, "division": who.division})
        return ()

    async def _serve(self, message: ClientMessage) -> None:
        if self.visitor is None or self._machine.phase is not Phase.LIVE:
            return
        request = getattr(message, "request", None)
        try:
            answer = await self._desk.serve(self.visitor, message)
        except RemoteError as error:
            telemetry.count("session_refused", code=error.code)
            answer = Failure(code=error.code, text=str(error), request=request)
        except Exception:
            log.exception("message failed", extra={"session": self.session, "type": type(message).__name__})
            answer = Failure(code="fault", text="this gateway's fault; it is in its log", request=request)
        if answer is not None:
            self._outgoing.put(answer)
