"""S14: slow and silent sockets cost a deadline, not the service (slowloris)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from gateway import bodies, telemetry
from gateway.config import Config
from tests.support.edge import serving, settings

HALF = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: "
ROUNDS = 6
"""A machine that is busy with something else is so in some of them; slow sockets would delay in all."""
Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def sockets(port: int, count: int, first: bytes) -> AsyncIterator[list[Socket]]:
    """Open ``count`` connections, each having sent ``first``."""
    opened: list[Socket] = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            opened.append((reader, writer))
        yield opened
    finally:
        for _, writer in opened:
            writer.close()


async def left(sockets: list[Socket], within: float) -> int:
    """Return how many connections the gateway has not closed ``within`` seconds from now."""

    async def ended(reader: asyncio.StreamReader) -> bool:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        return True

    done, pending = await asyncio.wait([asyncio.ensure_future(ended(reader)) for reader, _ in sockets], timeout=within)
    for task in pending:
        task.cancel()
    return len(sockets) - len(done)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_500_slow_sockets_do_not_delay_anybody_behind_the_same_address(
    tmp_path: Path, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def p99_of_health(port: int) -> float:
        took = []
        async with aiohttp.ClientSession() as http:
            for _ in range(100):
                started = time.perf_counter()
                async with http.get(f"http://127.0.0.1:{port}/healthz", headers={"Connection": "close"}) as answer:
                    assert answer.status == 200
                took.append(time.perf_counter() - started)
        return sorted(took)[98]

    async def story() -> None:
        config = settings(tmp_path)
        before = telemetry.value("http_refused", reason="displaced")
        async with serving(config) as port:
            rounds = [await both(config, port)]
            while not any(beset < max(0.1, 5 * quiet) for quiet, beset in rounds):
                assert len(rounds) < ROUNDS, f"p99 of /healthz without and with slow sockets: {rounds}"
                rounds.append(await both(config, port))
        assert telemetry.value("http_refused", reason="displaced") - before >= len(rounds) * (500 - 64)

    async def both(config: Config, port: int) -> tuple[float, float]:
        quiet = await p99_of_health(port)
        async with sockets(port, 500, HALF):
            beset = await p99_of_health(port)
            assert telemetry.value("http_connections") <= config.http.connections_per_address
        return quiet, beset

    run(story())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("first", [b"", b"G", HALF, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10])
def test_headers_that_are_not_whole_in_time_end_the_connection(
    tmp_path: Path, first: bytes, run: Callable[[Coroutine[Any, Any, None]], None]
) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"header_deadline_s": 0.3})
        async with serving(config) as port, sockets(port, 5, first) as slow:
            assert await left(slow, within=60) == 0

    run(story())


def test_drip_feeding_headers_does_not_move_the_deadline(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"header_deadline_s": 0.5})
        async with serving(config) as port, sockets(port, 1, HALF) as slow:
            reader, writer = slow[0]

            async def drip() -> None:
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)

            dripping = asyncio.ensure_future(drip())
            answer = await asyncio.wait_for(reader.read(), 60)
            dripping.cancel()
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"request-timeout" in answer

    asyncio.run(story())


def test_the_deadline_holds_for_the_second_request_of_a_connection_too(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"header_deadline_s": 0.3, "idle_s": 60})
        async with serving(config) as port, sockets(port, 1, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") as opened:
            reader, writer = opened[0]
            assert await asyncio.wait_for(reader.readuntil(b"}"), 60)
            writer.write(HALF)
            assert await left(opened, within=60) == 0

    asyncio.run(story())


def test_an_idle_connection_is_closed(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"idle_s": 1})
        async with serving(config) as port, sockets(port, 3, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n") as opened:
            assert await left(opened, within=60) == 0

    asyncio.run(story())


def test_a_body_that_never_ends_gets_408(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"body_deadline_s": 1})

        async def take(request: web.Request) -> web.StreamResponse:
            await bodies.read(request, 1000, 0.3)
            return web.Response()

        async with serving(config, api=[web.post("/take", take)]) as port:
            head = b"POST /take HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nabc"
            async with sockets(port, 1, head) as opened:
                answer = await asyncio.wait_for(opened[0][0].read(), 60)
                assert answer.startswith(b"HTTP/1.1 408 ")

    asyncio.run(story())


def test_busy_connections_are_never_displaced(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"connections_per_address": 3})

        async def echo(request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            async for message in socket:
                await socket.send_str(message.data)
            return socket

        async with serving(config, ws=echo) as port, aiohttp.ClientSession() as http:
            url = f"ws://127.0.0.1:{port}/ws"
            open_sockets = [await http.ws_connect(url) for _ in range(3)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(url)
            assert refused.value.status == 503
            for socket in open_sockets:
                await socket.send_str("here")
                assert await socket.receive_str(timeout=60) == "here"
                await socket.close()
            async with http.ws_connect(url) as again:
                await again.send_str("room again")
                assert await again.receive_str(timeout=60) == "room again"

    asyncio.run(story())
