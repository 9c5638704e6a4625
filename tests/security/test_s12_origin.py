"""S12: no foreign page opens a socket here (cross-site WebSocket hijacking, RFC 6455 section 10.2)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gateway.http import origin_allowed
from tests.support.edge import serving, settings

PAGE = "https://console.example"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

ALLOWED: list[dict[str, str]] = [
    {"Host": "county.example:8803", "Origin": "http://county.example:8803"},
    {"Host": "county.example", "Origin": "https://county.example"},
    {"Host": "county.example", "Origin": PAGE},
    {"Host": "COUNTY.example", "Origin": "https://county.example"},
    {"Host": "county.example"},
    {"Host": "county.example", "User-Agent": "wuji-terminal/1.0"},
]
FOREIGN: list[dict[str, str]] = [
    {"Host": "county.example", "Origin": "https://evil.example"},
    {"Host": "county.example", "Origin": "null"},
    {"Host": "county.example", "Origin": ""},
    {"Host": "county.example", "Origin": "https://county.example.evil.example"},
    {"Host": "county.example:8803", "Origin": "http://county.example:8804"},
    {"Host": "county.example", "Origin": "file://county.example"},
    {"Host": "county.example", "Origin": "https://console.example.evil"},
    {"Origin": "https://"},
    {"Host": "county.example", "User-Agent": FIREFOX},
    {"Host": "county.example", "Sec-Fetch-Mode": "websocket"},
    {"Host": "county.example", "sec-fetch-site": "cross-site"},
]


@pytest.mark.parametrize("headers", ALLOWED)
def test_our_page_and_programs_may_connect(headers: dict[str, str]) -> None:
    assert origin_allowed(headers, frozenset({PAGE}))


@pytest.mark.parametrize("headers", FOREIGN)
def test_other_pages_may_not(headers: dict[str, str]) -> None:
    assert not origin_allowed(headers, frozenset({PAGE}))


async def accept(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("in")
    await socket.close()
    return socket


def test_a_foreign_page_gets_403_before_any_handler_runs(tmp_path: Path) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"allowed_origins": [PAGE]})
        async with serving(config, ws=accept, link=accept) as port, aiohttp.ClientSession() as http:
            base = f"ws://127.0.0.1:{port}"
            for path, headers in (
                ("/ws", {"Origin": "https://evil.example"}),
                ("/ws", {"User-Agent": FIREFOX}),
                ("/link", {"Origin": f"http://127.0.0.1:{port}"}),
            ):
                with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                    await http.ws_connect(base + path, headers=headers)
                assert refused.value.status == 403
            for path, headers in (
                ("/ws", {"Origin": f"http://127.0.0.1:{port}", "User-Agent": FIREFOX}),
                ("/ws", {"Origin": PAGE}),
                ("/ws", {}),
                ("/link", {}),
            ):
                async with http.ws_connect(base + path, headers=headers) as socket:
                    assert await socket.receive_str(timeout=60) == "in"
                    assert "Set-Cookie" not in socket._response.headers

    asyncio.run(story())
