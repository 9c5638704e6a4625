"""TCP connections that do not wait for ever: deadlines and a cap per address around aiohttp's protocol.

aiohttp 3.14 has no header deadline (50 of 50 half-sent requests were open after 75 s) and no cap.
Here headers must be whole within ``header_deadline_s``, and an address that has its share of
connections loses the oldest one that never asked anything, so that slow sockets displace each
other and not the people behind the same address.  All addresses together leave the process the
descriptors its journal, its bus and its own link need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import ssl
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from . import problems, telemetry
from .porch import Held, Media, Porch
from .settings import HttpSection

log = logging.getLogger(__name__)

LINGER_S = 2.0
CUT_S = 0.5
"""What is left when requests had their time to end is cut off within this."""
MAX_HEADER_BYTES = 8_190
MAX_HEADERS = 64
BACKLOG = 1024
RESERVED_FILES = 48
"""Descriptors that connections leave alone, or an eighth of all if that is more: a node without any has about 30."""
LEAST = 8
LOOKED_AT = 64
"""Of all connections so many are looked at for a quiet one; those looked at go to the end."""


def fitting() -> int:
    """Return how many connections the process has descriptors for, as its limit is now."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(LEAST, files - max(RESERVED_FILES, files // 8))


class Door:
    """Who is connected, by address, oldest first."""

    def __init__(self, per_address: int, most: Callable[[], int] = fitting) -> None:
        """``most``: how many of all addresses together there may be now."""
        self._per_address = per_address
        self._most = most
        self._open: dict[str, OrderedDict[Held, None]] = {}
        self._all: OrderedDict[Held, str] = OrderedDict()

    @property
    def total(self) -> int:
        return len(self._all)

    def admit(self, connection: Held, address: str, *, spare: int = 0) -> bool:
        """Return whether ``connection`` may stay; a quiet one, of the same address if that is full, may go for it.

        It may be one of ``spare`` more than the address has places.
        """
        mine = self._open.get(address, OrderedDict())
        if len(mine) >= self._per_address and not self._spare(mine, spare):
            quiet = next((other for other in mine if other.quiet), None)
            if not self._displace(quiet, "address-full"):
                return False
        elif self.total >= self._most() and not self._displace(self._quiet(), "files-full"):
            return False
        self._open.setdefault(address, OrderedDict())[connection] = None
        self._all[connection] = address
        telemetry.gauge("http_connections", self.total)
        return True

    def _spare(self, mine: OrderedDict[Held, None], spare: int) -> bool:
        return len(mine) < self._per_address + spare and not any(other.quiet for other in mine)

    def _displace(self, quiet: Held | None, otherwise: str) -> bool:
        """Close ``quiet``; without one, count why nobody new comes in."""
        telemetry.count("http_refused", reason="displaced" if quiet else otherwise)
        if quiet is None:
            return False
        self.leave(quiet, self._all[quiet])
        quiet.force_close()
        return True

    def _quiet(self) -> Held | None:
        for _ in range(min(LOOKED_AT, len(self._all))):
            oldest = next(iter(self._all))
            if oldest.quiet:
                return oldest
            self._all.move_to_end(oldest)
        return None

    def leave(self, connection: Held, address: str) -> None:
        """Forget ``connection``; unknown ones are ignored."""
        mine = self._open.get(address)
        if mine is None or connection not in mine:
            return
        del mine[connection]
        del self._all[connection]
        if not mine:
            del self._open[address]
        telemetry.gauge("http_connections", self.total)


class Connection(RequestHandler):
    """One TCP connection: aiohttp's, with a header deadline and a place at the door."""

    __slots__ = ("_address", "_deadline", "_door", "_header_s")

    def __init__(self, manager: Server, *, door: Door, header_s: float, loop: asyncio.AbstractEventLoop, **kwargs: Any):
        super().__init__(manager, loop=loop, **kwargs)
        self._door = door
        self._header_s = header_s
        self._address = ""
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def quiet(self) -> bool:
        """Whether no request is being served and no WebSocket is open."""
        return not self._request_in_progress and not self._messages and self._payload_parser is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if isinstance(peer, tuple) else ""
        if not self._door.admit(self, self._address):
            real = cast(asyncio.Transport, transport)
            real.write(problems.raw(problems.of_code("too-many-connections", "there is no room for one more", 503)))
            real.close()
            return
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        asked = self._request_count
        super().data_received(data)
        if self._request_count != asked:
            self._stop_waiting()
        elif data and self._deadline is None and self.quiet and self._waiter is not None and not self._upgraded:
            self._expect_headers()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_waiting()
        self._door.leave(self, self._address)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached a handler: requests that do not parse, and faults of the framework."""
        if isinstance(exc, ConnectionError):
            telemetry.count("http_refused", reason="connection-lost")
        elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("request failed outside its handler", exc_info=exc)
        else:
            telemetry.count("malformed", where="http", code=f"http-{status}")
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had already begun")
        return _Bare(
            problems.of_status(status, "the request is not HTTP as this gateway speaks it" if status < 500 else "")
        )

    def _expect_headers(self) -> None:
        self._deadline = self._loop.call_later(self._header_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport is None or not self.quiet:
            return
        telemetry.count("http_refused", reason="header-deadline")
        self.transport.write(problems.raw(problems.of_status(408, "headers were not whole in time")))
        self.force_close()


class _Bare(web.Response):
    """A problem outside the application: without its hooks, and without aiohttp's banner."""

    def __init__(self, problem: problems.Problem) -> None:
        super().__init__(status=problem.status, body=problems.body(problem), content_type=problems.CONTENT_TYPE)
        self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class _Hardened(Server):
    """aiohttp's server, making our connections."""

    def __init__(self, application: web.Application, settings: HttpSection) -> None:
        super().__init__(
            application._handle,  # type: ignore[arg-type]  # as aiohttp's own runner does
            request_factory=application._make_request,
            access_log=None,
            keepalive_timeout=settings.idle_s,
            lingering_time=LINGER_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )
        self.door = Door(settings.connections_per_address)
        self._header_s = settings.header_deadline_s

    def __call__(self) -> RequestHandler:
        return Connection(self, door=self.door, header_s=self._header_s, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    def __init__(self, application: web.Application, settings: HttpSection) -> None:
        super().__init__(application, shutdown_timeout=settings.shutdown_s)
        self._settings = settings

    async def _make_server(self) -> Server:
        self.app._set_loop(asyncio.get_running_loop())
        self.app.on_startup.freeze()
        await self.app.startup()
        self.app.freeze()
        return _Hardened(self.app, self._settings)


class Listener:
    """An application being served on one address."""

    def __init__(self, runner: _Runner, porch: Porch, shutdown_s: float, *, secure: bool) -> None:
        self._runner = runner
        self._porch = porch
        self._shutdown_s = shutdown_s
        self.secure = secure

    @classmethod
    async def start(cls, application: web.Application, settings: HttpSection, media: Media | None = None) -> Listener:
        """Bind and serve; ``media`` takes what is media over TCP.

        Raises:
            OSError: The address cannot be bound; ssl.SSLError: the certificate cannot be used.
        """
        context = tls_context(settings)
        runner = _Runner(application, settings)
        await runner.setup()
        server = cast("_Hardened", runner.server)
        porch = Porch(server, server.door, settings.header_deadline_s, context, media)
        try:
            await porch.listen(settings.host, settings.port, BACKLOG)
        except BaseException:
            await runner.cleanup()
            raise
        return cls(runner, porch, settings.shutdown_s, secure=context is not None)

    @property
    def port(self) -> int:
        """The bound TCP port."""
        return self._porch.port

    async def stop(self) -> None:
        """Accept nothing more, let requests end within ``shutdown_s``, close.

        aiohttp 3.14 waits that long for a handler, and then as long again for its connection: the sum is bounded here.
        """
        self._porch.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._shutdown_s + CUT_S):
                await self._runner.cleanup()


def tls_context(settings: HttpSection) -> ssl.SSLContext | None:
    """Return the server's TLS settings, None without a certificate.  TLS 1.2 with forward secrecy, or 1.3."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(settings.tls_cert, settings.tls_key)
    return context
