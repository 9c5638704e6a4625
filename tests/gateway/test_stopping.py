"""A node that is told to end does so at once, whatever its neighbours and visitors are at."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, VideoStreamTrack

from gateway import presence, telemetry
from gateway.bus import Bus
from gateway.embedded import EmbeddedServer
from gateway.ending import end_all
from gateway.presence import Presence
from tests.support.cluster import LIMIT_S, Cluster, Running, cluster, until
from tests.support.loop import on_loop
from tests.support.places import COUNTY, TOWNSHIP, TREE, VILLAGE, commander, device, terminal

STOP_S = 8.0
"""Two for the node, the rest for a machine that is busy; every wait that could hold a node up is longer."""


async def stops(running: Running) -> None:
    async with asyncio.timeout(STOP_S):
        await running.stop()


@contextlib.asynccontextmanager
async def deaf_parent() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """An address where connections are taken and nothing is ever answered; the event: somebody has called."""
    called, over = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()
        await over.wait()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", called
        over.set()


@on_loop
async def test_a_node_stops_while_it_dials(tmp_path: Path) -> None:
    async with deaf_parent() as (url, called):
        running = await Running(tmp_path, VILLAGE, url).start()
        async with asyncio.timeout(LIMIT_S):
            await called.wait()
        await stops(running)


@on_loop
async def test_a_node_stops_while_nobody_is_at_home(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    running = await Running(tmp_path, VILLAGE, url).start()
    before = telemetry.value("link_dial_failed", peer=TOWNSHIP)
    await until(lambda: telemetry.value("link_dial_failed", peer=TOWNSHIP) > before, "a failed dial")
    await stops(running)


Visit = Callable[[Running, aiohttp.ClientSession], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def quiet_link(running: Running, client: aiohttp.ClientSession) -> AsyncIterator[None]:
    """A neighbour that has connected and has not greeted yet."""
    async with client.ws_connect(f"{running.url}/link"):
        yield


@contextlib.asynccontextmanager
async def quiet_session(running: Running, client: aiohttp.ClientSession) -> AsyncIterator[None]:
    """A page that has connected and has not signed in yet."""
    async with client.ws_connect(f"{running.url}/ws"):
        yield


@contextlib.asynccontextmanager
async def half_a_body(running: Running, client: aiohttp.ClientSession) -> AsyncIterator[None]:
    """An upload that goes on for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
    token = running.token(terminal(VILLAGE))
    head = "POST /api/v1/alarms HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
    writer.write(f"{head}Expect: 100-continue\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    assert b"100" in await reader.readline()
    writer.write(b"{")
    yield
    writer.close()


@contextlib.asynccontextmanager
async def half_a_head(running: Running, client: aiohttp.ClientSession) -> AsyncIterator[None]:
    """A request that is never whole."""
    _, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rsplit(":", 1)[1]))
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    await writer.drain()
    yield
    writer.close()


@pytest.mark.parametrize("visit", [quiet_link, quiet_session, half_a_body, half_a_head], ids=lambda v: v.__name__)
def test_a_node_stops_under_visitors_who_do_not_finish(tmp_path: Path, visit: Visit) -> None:
    @on_loop
    async def tell() -> None:
        running = await Running(tmp_path, VILLAGE, None).start()
        async with aiohttp.ClientSession() as client, visit(running, client):
            await stops(running)

    tell()


def narrow_socket(info: tuple[object, ...]) -> socket.socket:
    """A socket whose buffers hold little, so that who does not read is noticed."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    return made


@on_loop
async def test_a_node_stops_though_a_page_reads_nothing(tmp_path: Path) -> None:
    running = await Running(tmp_path, VILLAGE, None).start()
    connector = aiohttp.TCPConnector(socket_factory=narrow_socket)
    async with aiohttp.ClientSession(connector=connector) as client:
        page = await client.ws_connect(f"{running.url}/ws")
        await page.send_str('{"type":"hello","version":1,"token":"' + running.token(terminal(VILLAGE)) + '"}')
        await until(lambda: list(running.node.dispatch.sessions), "a session")
        page._response.connection.transport.pause_reading()  # type: ignore[union-attr]
        alarm = {"kind": "flood", "text": "河水漫堤" * 50}
        headers = {"Authorization": f"Bearer {running.token(terminal(VILLAGE))}"}
        async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession(headers=headers) as other:
            for _ in range(40):
                async with other.post(f"{running.url}/api/v1/alarms", json=alarm) as answer:
                    assert answer.status == 201
        await stops(running)


@on_loop
async def test_nodes_with_a_live_camera_stop_one_after_the_other_from_any_end(tmp_path: Path) -> None:
    """The end of one link's media makes its child wait to try again; nobody waits for that."""

    async def film(tiers: Cluster) -> RTCPeerConnection:
        order = {"title": "防汛会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
        _, meeting = await tiers.call(tiers.county, commander(COUNTY), "POST", "conferences", order)
        village = tiers.village.node.conferences
        await until(lambda: village.may_join(device(VILLAGE), meeting["id"]), "the meeting in the village")
        camera = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        camera.addTransceiver(VideoStreamTrack(), direction="sendonly")
        await camera.setLocalDescription(await camera.createOffer())
        headers = {"Authorization": f"Bearer {tiers.village.token(device(VILLAGE))}", "Content-Type": "application/sdp"}
        url = f"{tiers.village.url}/whip/{meeting['id']}"
        async with tiers.client.post(url, data=camera.localDescription.sdp, headers=headers) as answer:
            assert answer.status == 201
        return camera

    for upside_down in (False, True):
        async with cluster(tmp_path / str(upside_down)) as tiers:
            camera = await film(tiers)
            for running in reversed(tiers.all) if upside_down else tiers.all:
                await stops(running)
            await camera.close()


@on_loop
async def test_a_cancel_that_redis_swallows_ends_its_task_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by search: redis-py returned normally from a cancelled pipeline, and presence went on for ever."""
    monkeypatch.setattr(presence, "TELL_S", 0.0)
    server = EmbeddedServer(tmp_path)
    await server.start()
    for turns in range(30):
        bus = Bus(COUNTY, server.url, tmp_path, telemetry.default)
        known = Presence(COUNTY, TREE, bus.client)
        tasks = [asyncio.create_task(bus.run()), asyncio.create_task(known.run())]
        for _ in range(turns):
            known.opened(VILLAGE)
            bus.ring(bus._rung)
            await asyncio.sleep(0)
        assert await end_all(tasks, STOP_S)
        await bus.client.aclose()  # of what a lost cancel has opened again
    await server.stop()


@on_loop
async def test_a_task_that_hears_only_the_third_cancel_is_ended_and_a_deaf_one_is_named() -> None:
    cancels = 0

    async def stubborn(patience: int) -> None:
        nonlocal cancels
        while cancels < patience:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancels += 1

    third = asyncio.create_task(stubborn(3))
    await asyncio.sleep(0)
    assert await end_all([third], STOP_S)
    assert cancels == 3
    deaf = asyncio.create_task(stubborn(1_000))
    await asyncio.sleep(0)
    assert not await end_all([deaf], 0.3)
    cancels = 1_000
    deaf.cancel()
    await asyncio.wait([deaf])
