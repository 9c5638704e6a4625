"""Who has connected and said nothing yet: the first bytes tell pages from media, one TCP port serving both.

An HTTP request begins with a letter, TLS with 0x16, and media over TCP (ICE-TCP, RFC 6544) with a frame
(RFC 4571) that holds a STUN binding request.  Nothing is read here, only peeked at, so whoever takes the
connection finds it whole.  Waiting is bounded by the deadline and the share of the address that requests have.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from . import telemetry

log = logging.getLogger(__name__)

MAGIC_COOKIE = b"\x21\x12\xa4\x42"
BINDING_REQUEST = b"\x00\x01"
PEEKED = 10
"""Length, type and length of the message, magic cookie."""
FRAME_FIRST = 0x03
"""A frame of at most 1,023 bytes; no check is longer, and no text begins so."""
ACCEPTED_AT_ONCE = 64
LOOK_AGAIN_S = 0.05
FULL_S = 0.5
"""How long nobody is let in after the process had no descriptor left."""
TLS_HANDSHAKE_S = 10.0

Media = Callable[[int], None]
"""Takes a duplicate of the descriptor; raises OSError when it cannot."""


class Held(Protocol):
    """What has a place at the door."""

    @property
    def quiet(self) -> bool:
        """Whether it may be closed for another."""
        ...

    def force_close(self) -> None: ...


class Places(Protocol):
    """The door: who may be here, by address."""

    def admit(self, held: Held, address: str, *, spare: int = 0) -> bool: ...
    def leave(self, held: Held, address: str) -> None: ...


def kind_of(first: bytes) -> str:
    """Return ``http``, ``media``, or ``""`` while it cannot be told from the first bytes of a connection.

    What looks like neither goes to the HTTP parser, which refuses it.
    """
    if not first or (first[0] <= FRAME_FIRST and len(first) < PEEKED and _fits(first)):
        return ""
    return "media" if len(first) >= PEEKED and first[0] <= FRAME_FIRST and _fits(first) else "http"


def _fits(first: bytes) -> bool:
    """Return whether ``first`` begins like a frame with a binding request."""
    return BINDING_REQUEST.startswith(first[2:4]) and MAGIC_COOKIE.startswith(first[6:PEEKED])


class _Waiting:
    """One accepted connection whose first bytes have not told what it is."""

    quiet = True

    def __init__(self, porch: Porch, sock: socket.socket, address: str) -> None:
        self._porch = porch
        self._sock: socket.socket | None = sock
        self._loop = asyncio.get_running_loop()
        self.address = address
        self._deadline = self._loop.call_later(porch.deadline_s, self._too_slow)
        self._again: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._look)

    def force_close(self) -> None:
        sock = self.release()
        if sock is not None:
            sock.close()

    def release(self) -> socket.socket | None:
        """Stop watching the socket and return it; None when that was done before."""
        sock, self._sock = self._sock, None
        if sock is not None:
            self._loop.remove_reader(sock.fileno())
            self._deadline.cancel()
            if self._again is not None:
                self._again.cancel()
            self._porch.forget(self)
        return sock

    def _look(self) -> None:
        if self._sock is None:
            return None
        try:
            first = self._sock.recv(PEEKED, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return self.force_close()
        if not first:
            return self.force_close()
        kind = kind_of(first)
        if kind:
            self._porch.known(self, kind)
        elif self._again is None:
            # What was peeked at stays readable: look again a little later, not at once.
            self._loop.remove_reader(self._sock.fileno())
            self._again = self._loop.call_later(LOOK_AGAIN_S, self._watch)
        return None

    def _watch(self) -> None:
        self._again = None
        if self._sock is not None:
            self._loop.add_reader(self._sock.fileno(), self._look)

    def _too_slow(self) -> None:
        telemetry.count("http_refused", reason="header-deadline")
        self.force_close()


class Porch:
    """The listening sockets and whoever has just come in.

    Args:
        factory: Makes the protocol of an HTTP connection.
        context: TLS settings, if pages are served over TLS.  Media brings its own encryption.
        media: Where media goes; None: it is not served over TCP.
        places: Who may be here.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        places: Places,
        deadline_s: float,
        context: ssl.SSLContext | None,
        media: Media | None,
    ) -> None:
        self.deadline_s = deadline_s
        self._factory = factory
        self._places = places
        self._context = context
        self._media = media
        self._sockets: list[socket.socket] = []
        self._waiting: set[_Waiting] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, backlog: int) -> None:
        """Bind and serve.

        Raises:
            OSError: The address cannot be bound.
        """
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._bind(family, (address[0], port or self.port, *address[2:]), backlog)
        except OSError:
            self.close()
            raise
        self._admitting(True)

    def _bind(self, family: int, address: Any, backlog: int) -> None:
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(backlog)

    @property
    def port(self) -> int:
        """The bound TCP port; 0 before."""
        port: int = self._sockets[0].getsockname()[1] if self._sockets else 0
        return port

    def close(self) -> None:
        """Let nobody in any more, and whoever has said nothing out."""
        if self._pause is not None:
            self._pause.cancel()
        self._admitting(False)
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()
        for waiting in list(self._waiting):
            waiting.force_close()
        for task in self._tasks:
            task.cancel()

    def _admitting(self, on: bool) -> None:
        for sock in self._sockets:
            if on:
                self._loop.add_reader(sock.fileno(), self._accept, sock)
            else:
                self._loop.remove_reader(sock.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # No descriptor left: the backlog holds them for a while.
                log.warning("no connection can be accepted", extra={"error": str(error)})
                telemetry.count("http_refused", reason="no-descriptor")
                self._admitting(False)
                self._pause = self._loop.call_later(FULL_S, self._admitting, True)
                return
            sock.setblocking(False)
            self._welcome(sock, peer[0])

    def _welcome(self, sock: socket.socket, address: str) -> None:
        waiting = _Waiting(self, sock, address)
        self._waiting.add(waiting)
        # One place more than the address has, so that who is one too many can be told so.
        if not self._places.admit(waiting, address, spare=1):
            waiting.force_close()

    def forget(self, waiting: _Waiting) -> None:
        self._waiting.discard(waiting)
        self._places.leave(waiting, waiting.address)

    def known(self, waiting: _Waiting, kind: str) -> None:
        """Its first bytes have told what ``waiting`` is."""
        sock = waiting.release()
        assert sock is not None
        if kind == "media" and self._media is not None:
            self._adopt(sock)
            return
        task = self._loop.create_task(self._serve(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _adopt(self, sock: socket.socket) -> None:
        assert self._media is not None
        try:
            self._media(sock.fileno())
        except (OSError, ValueError):
            telemetry.count("http_refused", reason="media-refused")
        finally:
            sock.close()

    async def _serve(self, sock: socket.socket) -> None:
        handshake: dict[str, Any] = {}
        if self._context is not None:
            handshake = {"ssl": self._context, "ssl_handshake_timeout": TLS_HANDSHAKE_S}
        try:
            await self._loop.connect_accepted_socket(self._factory, sock, **handshake)
        except (OSError, TimeoutError):
            telemetry.count("http_refused", reason="connection-lost")
            with contextlib.suppress(OSError):
                sock.close()
