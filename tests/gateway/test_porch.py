"""One TCP port for pages and for media: the first bytes decide, and waiting for them is bounded."""

from __future__ import annotations

import asyncio
import re
import struct
from pathlib import Path

import aiohttp
import pytest

from gateway.porch import kind_of
from tests.media.native_peer import binding_request
from tests.media.native_stream import framed
from tests.media.offers import offer
from tests.security.test_s14_slow import left, sockets
from tests.support.cluster import Running
from tests.support.edge import serving, settings
from tests.support.places import COUNTY

CHECK = framed(binding_request("ours:theirs", "password"))


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (b"", ""),
        (b"G", "http"),
        (b"\x16", "http"),
        (CHECK[:1], ""),
        (CHECK[:9], ""),
        (CHECK[:10], "media"),
        (CHECK[:6] + b"HTTP", "http"),
        (b"\x00\x20\x01\x01", "http"),
        (b"\x04" + CHECK[1:10], "http"),
    ],
)
def test_the_first_bytes_tell_what_a_connection_is(first: bytes, kind: str) -> None:
    assert kind_of(first) == kind


def test_a_check_over_the_port_of_the_pages_is_answered_and_pages_are_served(tmp_path: Path) -> None:
    async def story() -> None:
        running = await Running(tmp_path, COUNTY, None).start()
        try:
            node = running.node
            assert node.listener is not None
            answer = node.peers.accept(offer("chromium-terminal")).answer_sdp
            named = re.search(r"a=candidate:\S+ 1 tcp \d+ 127\.0\.0\.1 (\d+) typ host tcptype passive", answer)
            assert named is not None
            assert int(named[1]) == node.listener.port
            ours, password = (re.search(rf"a=ice-{name}:(\S+)", answer) for name in ("ufrag", "pwd"))
            theirs = re.search(r"a=ice-ufrag:(\S+)", offer("chromium-terminal"))
            assert ours is not None
            assert password is not None
            assert theirs is not None
            reader, writer = await asyncio.open_connection("127.0.0.1", int(named[1]))
            check = framed(binding_request(f"{ours[1]}:{theirs[1]}", password[1]))
            writer.write(check[:5])
            await writer.drain()
            async with aiohttp.ClientSession() as http, http.get(f"{running.url}/healthz") as page:
                assert page.status == 200
            writer.write(check[5:])
            async with asyncio.timeout(60):
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                assert (await reader.readexactly(size))[:2] == b"\x01\x01"
            writer.close()
        finally:
            await running.stop()

    asyncio.run(story())


@pytest.mark.parametrize("first", [CHECK[:1], CHECK[:9]])
def test_a_check_that_never_comes_whole_ends_with_the_deadline(tmp_path: Path, first: bytes) -> None:
    async def story() -> None:
        config = settings(tmp_path, http={"header_deadline_s": 0.3})
        async with serving(config) as port, sockets(port, 3, first) as slow:
            assert await left(slow, within=60) == 0

    asyncio.run(story())


def test_without_media_over_tcp_a_check_is_refused_like_any_nonsense(tmp_path: Path) -> None:
    async def story() -> None:
        async with serving(settings(tmp_path)) as port, sockets(port, 1, CHECK) as opened:
            answer = await asyncio.wait_for(opened[0][0].read(), 60)
            assert answer.startswith(b"HTTP/1.") or answer == b""

    asyncio.run(story())
