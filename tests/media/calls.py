"""A second WebRTC stack, aiortc's own, as the peers of our engine over loopback."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription

from media.engine import Engine
from media.ingest import FileReader, Player
from media.peer import Caller, Peer, Peers
from media.transport import Deadlines


@dataclass
class Node:
    """One engine on loopback with its peers."""

    engine: Engine
    peers: Peers

    def feed(self, viewer: Peer, publisher: Peer) -> None:
        """Route each of the viewer's slots to the publisher's source of its kind."""
        for slot in viewer.slots:
            self.engine.route(slot.sink, next(u.source for u in publisher.upstreams if u.kind == slot.kind))


@asynccontextmanager
async def node(deadlines: Deadlines = Deadlines(), **limits: int) -> AsyncIterator[Node]:  # noqa: B008
    engine = Engine.open(["127.0.0.1"], 0, **limits)
    engine.start()
    peers = Peers(engine, ["127.0.0.1"], deadlines=deadlines)
    try:
        yield Node(engine, peers)
    finally:
        await peers.close()
        engine.close()


class Viewer:
    """Receives audio and video and counts the frames it decodes."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()
        self.size = (0, 0)
        self.connection = RTCPeerConnection()
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._on_track)
        self.connection.addTransceiver("audio", "recvonly")
        self.connection.addTransceiver("video", "recvonly")

    async def offer(self) -> str:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def answered(self, sdp: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def join(self, on: Node) -> Peer:
        peer = on.peers.accept(await self.offer())
        await self.answered(peer.answer_sdp)
        return peer

    @property
    def connected(self) -> bool:
        return self.connection.connectionState == "connected"

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: Any) -> None:
        self._tasks.append(asyncio.ensure_future(self._read(track)))

    async def _read(self, track: Any) -> None:
        while True:
            frame = await track.recv()
            self.frames[track.kind] += 1
            if track.kind == "video":
                self.size = (frame.width, frame.height)


def publisher(clip: Path) -> Caller:
    """A caller that sends a clip for ever."""
    reader = FileReader(clip, loop=True)
    player = Player(reader)
    return Caller({kind: (lambda kind=kind: player.next(kind)) for kind in reader.kinds}, reader.codec)


async def publish(on: Node, clip: Path) -> tuple[Caller, Peer]:
    caller = publisher(clip)
    peer = on.peers.accept(await caller.offer())
    await caller.answered(peer.answer_sdp)
    return caller, peer
