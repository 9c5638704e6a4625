"""An independent WebRTC stack (aiortc) that publishes by WHIP and views by WHEP."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import aiohttp
import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
    VideoStreamTrack,
)
from aiortc.mediastreams import MediaStreamError
from yarl import URL

from tests.e2e.clips import GRID, HEIGHT, WIDTH
from tests.e2e.running import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class ClipTrack(VideoStreamTrack):
    """Pictures of a clip, over and over, at 25 a second."""

    def __init__(self, clip: Path, frames: int) -> None:
        super().__init__()
        with av.open(str(clip)) as source:
            pictures = [
                frame.reformat(WIDTH, HEIGHT, "yuv420p")
                for _, frame in zip(range(frames), source.decode(video=0), strict=False)
            ]
        self._pictures = pictures
        self._next = 0

    async def recv(self) -> av.VideoFrame:
        pts, time_base = await self.next_timestamp()
        picture = self._pictures[self._next % len(self._pictures)]
        self._next += 1
        picture.pts, picture.time_base = pts, time_base
        return picture


class ToneTrack(MediaStreamTrack):
    """A 440 Hz tone in frames of 20 ms at 48 kHz."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._sent = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._start = self._start if self._start is not None else loop.time()
        await asyncio.sleep(max(0.0, self._start + self._sent / 48_000 - loop.time()))
        wave = np.sin(2 * np.pi * 440 * (np.arange(960) + self._sent) / 48_000) * 8_000
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._sent, Fraction(1, 48_000)
        self._sent += 960
        return frame


@dataclass
class Viewed:
    """What a viewer decoded."""

    pictures: list[list[int]] = field(default_factory=list)
    sounds: int = 0
    loud: int = 0
    """Audio frames whose mean level is clearly above silence."""


@contextlib.asynccontextmanager
async def exchange(url: str, token: str, pc: RTCPeerConnection) -> AsyncIterator[None]:
    """Offer to a WHIP or WHEP endpoint, and end the resource afterwards (RFC 9725)."""
    await pc.setLocalDescription(await pc.createOffer())
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=bearer) as http:
        headers = {"Content-Type": "application/sdp"}
        reply = await http.post(url, data=pc.localDescription.sdp, headers=headers)
        while reply.status == 503:  # a gateway whose machine is busy says when to come back
            await asyncio.sleep(float(reply.headers["Retry-After"]))
            reply = await http.post(url, data=pc.localDescription.sdp, headers=headers)
        answer = await reply.text()
        assert reply.status == 201, answer
        location = reply.headers["Location"]
        await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        try:
            yield
        finally:
            async with http.delete(str(reply.url.join(URL(location)))) as gone:
                assert gone.status in (200, 204)
            await pc.close()


@contextlib.asynccontextmanager
async def publishing(url: str, token: str, clip: Path) -> AsyncIterator[None]:
    """Publish a clip with a tone while the block runs."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(ToneTrack(), direction="sendonly")
    pc.addTransceiver(ClipTrack(clip, 60), direction="sendonly")
    async with exchange(url, token, pc):
        yield


async def view(url: str, token: str, *, pictures: int) -> Viewed:
    """Decode until ``pictures`` different pictures and 50 loud sounds came, or fail after PATIENCE_S."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    receivers = [pc.addTransceiver(kind, direction="recvonly").receiver for kind in ("audio", "video")]
    viewed = Viewed()
    async with exchange(url, token, pc), asyncio.timeout(PATIENCE_S):
        with contextlib.suppress(MediaStreamError):
            await asyncio.gather(_hear(receivers[0].track, viewed), _see(receivers[1].track, viewed, pictures))
    return viewed


async def _see(track: MediaStreamTrack, viewed: Viewed, pictures: int) -> None:
    while len(viewed.pictures) < pictures:
        frame = await track.recv()
        assert isinstance(frame, av.VideoFrame)
        gray = frame.reformat(GRID[0], GRID[1], "gray8").to_ndarray()
        small = [int(luma) for luma in gray[: GRID[1], : GRID[0]].reshape(-1)]
        if not viewed.pictures or small != viewed.pictures[-1]:
            viewed.pictures.append(small)


async def _hear(track: MediaStreamTrack, viewed: Viewed) -> None:
    while viewed.loud < 50:
        frame = await track.recv()
        assert isinstance(frame, av.AudioFrame)
        viewed.sounds += 1
        viewed.loud += bool(np.abs(frame.to_ndarray()).mean() > 500)
