"""What is asked of a connection is answered after its end too: of it nothing is known any more."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from gateway.lines import line_of
from signaling.link import Line


class Held:
    """A WebSocket that outlives its connection, as aiohttp's do."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._socket = transport.get_extra_info("socket")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._socket


async def look() -> tuple[Line, Line]:
    """Return what is known of a connection while it is open, and after its end."""
    ended = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    held = Held(transport)
    before = line_of(held)
    transport.abort()
    async with asyncio.timeout(60):
        await ended.wait()
    after = line_of(held)
    server.close()
    return before, after


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_nothing_is_known_of_a_connection_that_ended(run: Callable[..., tuple[Line, Line]]) -> None:
    before, after = run(look())
    assert before.silent_s < math.inf
    assert after == Line()
