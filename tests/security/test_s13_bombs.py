"""S13: large, deep, compressed and hurried WebSocket messages end that socket and nobody else's."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import zlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from signaling.records import Role
from tests.support.node import Node, running
from tests.support.places import VILLAGE

MIB = 1 << 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("bombs")) as started:
        yield started


Socket = aiohttp.ClientWebSocketResponse
Tell = Callable[[Socket], Awaitable[None]]


async def hello(http: aiohttp.ClientSession, node: Node) -> Socket:
    """Open a session as the village's terminal and wait for its welcome."""
    socket = await http.ws_connect(node.url("/ws").replace("http", "ws", 1))
    token = node.token(Role.TERMINAL, VILLAGE)
    await socket.send_json({"type": "hello", "version": 1, "token": token, "client": "test"})
    assert (await next_json(socket))["type"] == "welcome"
    return socket


async def next_json(socket: Socket) -> Any:
    return json.loads(await socket.receive_str(timeout=60))


async def closed_with(socket: Socket) -> int | None:
    """Return the code the gateway closed with, after whatever it said before."""
    async with asyncio.timeout(60):
        async for _ in socket:
            pass
    return socket.close_code


def beside(node: Node, tell: Tell) -> None:
    """Run ``tell`` on one session while another lives; the other must still be served afterwards."""

    async def story() -> None:
        async with aiohttp.ClientSession() as http:
            bystander = await hello(http, node)
            socket = await hello(http, node)
            await tell(socket)
            await bystander.send_json({"type": "leave", "request": 7})
            async with asyncio.timeout(60):
                while (await next_json(bystander)).get("request") != 7:
                    pass
            await bystander.close()
            async with http.get(node.url("/healthz")) as answer:
                assert answer.status == 200

    asyncio.run(story())


def test_a_message_over_64_kib_closes_1009(node: Node) -> None:
    async def tell(socket: Socket) -> None:
        await socket.send_str("x" * 65_537)
        assert await closed_with(socket) == 1009

    beside(node, tell)


def test_a_message_of_5_mib_is_cut_off_while_it_comes(node: Node) -> None:
    async def tell(socket: Socket) -> None:
        with contextlib.suppress(ConnectionError):
            await socket.send_str("x" * 5 * MIB)
        assert await closed_with(socket) in (1009, 1006)  # the close frame may be lost behind what we still send

    beside(node, tell)


def test_compression_is_not_negotiated_and_a_compressed_bomb_is_a_protocol_error(node: Node) -> None:
    async def story() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
        key = base64.b64encode(b"0123456789abcdef").decode()
        writer.write(
            (
                "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            ).encode()
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"sec-websocket-extensions" not in head.lower()
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        bomb = packer.compress(b"\0" * (50 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert len(bomb) < 65_536
        frame = b"\xc1\xfe" + len(bomb).to_bytes(2, "big") + b"\0\0\0\0" + bomb  # FIN, RSV1, text, masked with zeros
        writer.write(frame)
        rest = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert rest[:1] == b"\x88", "a close frame"
        assert int.from_bytes(rest[2:4], "big") == 1002

    asyncio.run(story())
    assert node.get("/healthz").status == 200


def test_ten_thousand_levels_of_json_are_answered_and_forgiven_twice(node: Node) -> None:
    async def tell(socket: Socket) -> None:
        deep = '{"type":"watch","request":1,"slot":0,"participant":' + "[" * 10_000 + "]" * 10_000 + "}"
        for _ in range(3):
            await socket.send_str(deep)
        codes = []
        async with asyncio.timeout(60):
            async for frame in socket:
                message = json.loads(frame.data)
                if message["type"] == "failure":
                    codes.append(message["code"])
        assert set(codes) == {"malformed-message"}
        assert socket.close_code == 4002

    beside(node, tell)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", '{"type":"nothing"}', '{"type":"join"}', '{"type":["hello"]}', "\u0000", '{"type":"hello"'],
)
def test_nonsense_gets_a_typed_failure(node: Node, text: str) -> None:
    async def tell(socket: Socket) -> None:
        await socket.send_str(text)
        async with asyncio.timeout(60):
            while (said := await next_json(socket))["type"] != "failure":
                pass
        assert said["code"] in {"malformed-message", "unknown-message"}
        await socket.close()

    beside(node, tell)


def test_more_than_50_messages_a_second_close_4008(node: Node) -> None:
    async def tell(socket: Socket) -> None:
        closed = asyncio.ensure_future(closed_with(socket))
        with contextlib.suppress(ConnectionError):
            while not closed.done():
                for request in range(100):
                    await socket.send_json({"type": "leave", "request": request})
                await asyncio.sleep(0)
        assert await closed == 4008

    beside(node, tell)


def test_binary_frames_are_nonsense_too(node: Node) -> None:
    async def tell(socket: Socket) -> None:
        await socket.send_bytes(b"\x00" * 1000)
        said: dict[str, Any] = {}
        async with asyncio.timeout(60):
            async for frame in socket:
                said = json.loads(frame.data)
                if said["type"] == "failure":
                    break
        assert socket.closed or said.get("type") == "failure"
        await socket.close()

    beside(node, tell)


def test_a_hello_with_a_bad_token_closes_4003(node: Node) -> None:
    async def story() -> None:
        async with aiohttp.ClientSession() as http:
            socket = await http.ws_connect(node.url("/ws").replace("http", "ws", 1))
            await socket.send_json({"type": "hello", "version": 1, "token": "a.b.c", "client": "test"})
            said = await next_json(socket)
            assert (said["type"], said["code"]) == ("failure", "token-malformed")
            assert await closed_with(socket) == 4003

    asyncio.run(story())
