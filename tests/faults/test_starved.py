"""A gateway with a fifth of a processor, 128 files and 256 MiB: pictures go first, sound and directives never."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import (
    AudioStreamTrack,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError

from signaling.ids import NodeCode
from signaling.records import Role
from tests.e2e.terminal import Terminal
from tests.support.node import Node, running
from tests.support.places import COUNTY

from .pressure import Cage, Pulses, greatest_mb

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
FILES, CALLERS = 128, 200
RESIDENT_MB = 256
SHARE, PERIOD_S = 0.2, 1.5
LAG_MS = 300
LIMIT_S = 120.0


async def until(probe: Callable[[], object], what: str) -> None:
    """Return once ``probe`` is true; it may block, on a thread of its own."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await asyncio.to_thread(probe):
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(what) from None


def metric(node: Node, name: str) -> float:
    """Return the sum of the series that begin so, as scraped."""
    page = node.get("/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if re.match(name, line))


class Call:
    """One who sends sound and a picture, and one who counts what comes of both."""

    def __init__(self, node: Node, client: aiohttp.ClientSession, conference: str) -> None:
        self.came: Counter[str] = Counter()
        self._node, self._client, self._conference = node, client, conference
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def going(self) -> AsyncIterator[None]:
        sender = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        viewer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender.addTrack(AudioStreamTrack())
        sender.addTrack(VideoStreamTrack())
        for kind in ("audio", "video"):
            viewer.addTransceiver(kind, direction="recvonly")
        viewer.on("track", lambda track: self._tasks.append(asyncio.create_task(self._count(track))))
        try:
            await self._offer(sender, f"/whip/{self._conference}", Role.DEVICE)
            await until(lambda: metric(self._node, "wuji_media_streams.*in.*people"), "nothing was sent")
            await self._offer(viewer, f"/whep/{self._conference}/{self._publisher()}", Role.COMMANDER)
            yield
        finally:
            await sender.close()
            await viewer.close()
            await asyncio.gather(*self._tasks)

    def _publisher(self) -> str:
        token = self._node.token(Role.COMMANDER)
        listed = self._node.get(f"/api/v1/participants?conference={self._conference}", token).json
        return str(listed["participants"][0]["participant"])

    async def _offer(self, pc: RTCPeerConnection, path: str, role: Role) -> None:
        await pc.setLocalDescription(await pc.createOffer())
        headers = {"Authorization": f"Bearer {self._node.token(role)}", "Content-Type": "application/sdp"}
        status, answer, offer = 503, "", pc.localDescription.sdp
        async with asyncio.timeout(LIMIT_S):
            while status == 503:  # a machine with other things to do: try again, as a device does
                async with self._client.post(self._node.url(path), data=offer, headers=headers) as said:
                    status, answer = said.status, await said.text()
                await asyncio.sleep(0.2)
        assert status == 201, answer
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def _count(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                await track.recv()
                self.came[track.kind] += 1

    async def more(self, kind: str, count: int) -> None:
        goal = self.came[kind] + count
        await until(lambda: self.came[kind] >= goal, f"no more {kind}: {self.came}")


async def rings(node: Node, terminal: Terminal) -> None:
    """Issue a directive; return once it has rung."""
    order = {
        "click_id": uuid.uuid4().hex, "urgency": "P2", "title": "资源测试", "text": "请知悉",
        "scope": [{"node": COUNTY, "mode": "self"}], "exercise": False,
    }  # fmt: skip
    answer = await asyncio.to_thread(node.post, "/api/v1/directives", order, node.token(Role.COMMANDER))
    assert answer.status == 201, answer.body
    directive = answer.json["id"]

    def rang() -> bool:
        return any(m["type"] == "directive" and m.get("directive") == directive for m in terminal.messages)

    await until(rang, "the directive never rang")


async def convene(node: Node) -> str:
    body = {"title": "防汛会商", "scope": [{"node": COUNTY, "mode": "subtree"}]}
    answer = await asyncio.to_thread(node.post, "/api/v1/conferences", body, node.token(Role.COMMANDER))
    return str(answer.json["id"])


async def story(node: Node, terminal: Terminal) -> None:
    pid = node.process.pid
    async with aiohttp.ClientSession() as client:
        call = Call(node, client, await convene(node))
        async with call.going():
            await call.more("video", 10)
            await call.more("audio", 50)
            with Pulses(pid, SHARE, PERIOD_S):
                await until(lambda: metric(node, "wuji_media_pictures.*paused"), "pictures were never given up")
                await call.more("audio", 100)
                await rings(node, terminal)
                with callers(node):
                    await rings(node, terminal)
                    await call.more("audio", 100)
            await call.more("video", 10)
            await rings(node, terminal)
    print(f"at most {greatest_mb(pid):.0f} MiB")
    assert greatest_mb(pid) < RESIDENT_MB


@contextlib.contextmanager
def callers(node: Node) -> Any:
    """More connections than the gateway has files for."""
    with contextlib.ExitStack() as opened:
        for _ in range(CALLERS):
            one = opened.enter_context(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", node.port))
        yield


def test_pictures_go_before_sound_and_sound_before_directives(tmp_path: Path) -> None:
    with running(tmp_path, NodeCode(COUNTY), files=FILES, load={"lag_ms": LAG_MS}) as node:
        terminal = Terminal(node.url(""), node.token(Role.TERMINAL))
        try:
            with Cage(node.process.pid, RESIDENT_MB) as cage:
                print(f"the kernel holds it to {RESIDENT_MB} MiB: {cage.caged}")
                asyncio.run(story(node, terminal))
        finally:
            terminal.close()
