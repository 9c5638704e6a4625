"""Real packets over loopback: aiortc's whole stack as publisher and viewer, our engine between (S01, S04, S09)."""

import asyncio
import io
import itertools
import os
import re
import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from media.peer import LinkPeer, PeerState
from media.snapshot import jpeg_from_keyframe
from media.transport import Deadlines

from .calls import Node, Viewer, node, publish, publisher
from .wire import until


def moving(viewer: Viewer) -> Callable[[], bool]:
    """Frames of both kinds beyond those seen now."""
    before = viewer.frames.copy()
    return lambda: all(viewer.frames[kind] >= before[kind] + 10 for kind in ("audio", "video"))


async def test_a_published_file_is_seen_and_heard(clip: Path) -> None:
    async with node() as on:
        started: list[tuple[int, str]] = []
        levels: list[tuple[tuple[int, int], ...]] = []
        on.engine.on_started = lambda source, codec: started.append((source, codec))
        on.engine.on_levels = levels.append
        caller, sender = await publish(on, clip)
        viewer = Viewer()
        receiver = await viewer.join(on)
        on.feed(receiver, sender)
        await until(moving(viewer))
        assert viewer.size == (640, 360)
        assert {codec for _, codec in started} == {"opus", "h264"}
        audio = next(u.source for u in sender.upstreams if u.kind == "audio")
        await until(lambda: any(source == audio and dbov > -127 for seen in levels for source, dbov in seen))
        assert await caller.heard() > 0
        await caller.close()
        await viewer.close()
        await until(lambda: sender.state is receiver.state is PeerState.CLOSED)


async def test_the_newest_keyframe_becomes_a_picture(clip: Path) -> None:
    async with node() as on:
        caller, sender = await publish(on, clip)
        video = next(u.source for u in sender.upstreams if u.kind == "video")
        await until(lambda: on.engine.keyframe(video) is not None)
        keyframe = on.engine.keyframe(video)
        assert keyframe is not None
        pictures = await jpeg_from_keyframe(*keyframe)
        with Image.open(io.BytesIO(pictures.jpeg)) as image:
            assert image.size == (640, 360)
            assert len(image.getcolors(1 << 24) or ()) > 1_000, "a real picture, not a flat one"
        await caller.close()


async def test_a_sendrecv_peer_sees_itself_when_told_to(clip: Path) -> None:
    """One section is an upstream and a slot at once."""
    async with node() as on:
        caller = publisher(clip)
        for transceiver in caller._connection.getTransceivers():
            transceiver.direction = "sendrecv"
        peer = on.peers.accept(await caller.offer())
        assert [u.mid for u in peer.upstreams] == [s.mid for s in peer.slots]
        await caller.answered(peer.answer_sdp)
        on.feed(peer, peer)
        await until(lambda: all(on.engine.stats().sinks[slot.sink]["packets"] > 20 for slot in peer.slots))
        await caller.close()


def link(parent: Node, child: Node) -> tuple[LinkPeer, LinkPeer]:
    down = child.peers.link_dial()
    up = parent.peers.link_listen(down.parameters)
    down.start(up.parameters, parent.peers.candidates)
    return up, down


async def test_a_picture_crosses_four_links(clip: Path) -> None:
    """Village to province: five engines, each passing on what the one below carries."""
    async with node() as village, node() as township, node() as county, node() as city, node() as province:
        path = [village, township, county, city, province]
        caller, sender = await publish(village, clip)
        sources = {u.kind: u.source for u in sender.upstreams}
        for lower, upper in pairwise(path):
            up, down = link(upper, lower)
            for kind, source in sources.items():
                stream = down.carry(kind)
                sources[kind] = up.expect(kind, [(stream.ssrc, stream.rtx_ssrc)])
                lower.engine.route(stream.sink, source)
            await until(lambda up=up, down=down: up.state is down.state is PeerState.CONNECTED)
        viewer = Viewer()
        receiver = await viewer.join(province)
        for slot in receiver.slots:
            province.engine.route(slot.sink, sources[slot.kind])
        await until(moving(viewer))
        await caller.close()
        await viewer.close()


async def test_a_link_outlives_more_streams_than_it_may_hold_at_once(clip: Path) -> None:
    """A transport holds 16 SSRCs; 20 streams after each other are 40."""
    async with node() as lower, node() as upper:
        caller, sender = await publish(lower, clip)
        video = next(u.source for u in sender.upstreams if u.kind == "video")
        up, down = link(upper, lower)
        for _ in range(20):
            stream = down.carry("video")
            source = up.expect("video", [(stream.ssrc, stream.rtx_ssrc)])
            lower.engine.route(stream.sink, video)
            await until(lambda source=source: upper.engine.stats().sources[source]["packets"] > 5)
            down.uncarry(stream)
            up.unexpect(source)
        assert upper.engine.stats().drops["ssrc_cap"] == 0
        await caller.close()


async def test_a_wrong_fingerprint_moves_no_packet(clip: Path) -> None:
    async with node() as on:
        caller = publisher(clip)
        digest = ":".join(["00"] * 32)
        offer = re.sub(r"a=fingerprint:sha-256 \S+", f"a=fingerprint:sha-256 {digest}", await caller.offer())
        peer = on.peers.accept(offer)
        await caller.answered(peer.answer_sdp)
        await until(lambda: peer.state is PeerState.FAILED)
        assert peer.failure == "fingerprint-mismatch"
        stats = on.engine.stats()
        assert stats.transports == {}
        assert stats.engine["packets_forwarded"] == 0
        await caller.close()


class Stranger:
    """Sends from an address of its own that no check has verified."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._to = ("127.0.0.1", port)

    def send(self, datagram: bytes) -> None:
        self._socket.sendto(datagram, self._to)

    def heard(self) -> bytes | None:
        try:
            return self._socket.recv(2_048)
        except BlockingIOError:
            return None

    async def race(self, datagram: bytes, per_s: float) -> None:
        """Send the datagram again and again until cancelled."""
        while True:
            self.send(datagram)
            await asyncio.sleep(1 / per_s)

    def close(self) -> None:
        self._socket.close()


CLIENT_HELLO = bytes.fromhex(
    "16fefd0000000000000000004c010000400000000000000040fefd"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "00000002c02b010000140005000000170000000e0005000200070000"
)


@pytest.mark.parametrize("calls", [5, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(3_600)])])
async def test_a_strangers_client_hello_stops_no_call(calls: int) -> None:
    """S01: 50 a second from before the offer until the call is up; all calls connect, the stranger hears nothing."""
    async with node() as on:
        stranger = Stranger(on.engine.port)
        racing = asyncio.create_task(stranger.race(CLIENT_HELLO, 50))
        for _ in range(calls):
            viewer = Viewer()
            peer = await viewer.join(on)
            await until(lambda peer=peer, viewer=viewer: peer.state is PeerState.CONNECTED and viewer.connected)
            await viewer.close()
        racing.cancel()
        assert on.peers.counts["connected"] == calls
        assert on.engine.stats().drops["unverified_dtls"] > 0
        assert stranger.heard() is None
        stranger.close()


async def test_forged_media_from_a_stranger_is_not_forwarded(clip: Path) -> None:
    """S04: right SSRC and payload type, no key, and an address nobody verified."""
    async with node() as on:
        caller, sender = await publish(on, clip)
        viewer = Viewer()
        receiver = await viewer.join(on)
        on.feed(receiver, sender)
        await until(moving(viewer))
        ssrc = int(re.findall(r"a=ssrc:(\d+) cname", caller._connection.localDescription.sdp)[0])
        stranger = Stranger(on.engine.port)
        forged = b"\x80\x60" + b"\x7f\xff" + bytes(4) + ssrc.to_bytes(4, "big") + os.urandom(200)
        bye = b"\x81\xcb\x00\x01" + ssrc.to_bytes(4, "big") + os.urandom(16)
        for _ in range(50):
            stranger.send(forged)
            stranger.send(bye)
        await until(lambda: sum(n for name, n in on.engine.stats().drops.items() if "unverified" in name) >= 100)
        await until(moving(viewer))
        stranger.close()
        await caller.close()
        await viewer.close()


async def count(turns: Iterator[int]) -> None:
    """Count tenths of a second as the loop lives them: one that stands still for long has seen one pass."""
    while True:
        await asyncio.sleep(0.1)
        next(turns)


async def test_a_vanished_peer_is_silent_within_three_seconds_and_then_gone(clip: Path) -> None:
    async with node(Deadlines(gone_s=0.5)) as on:
        caller, sender = await publish(on, clip)
        await until(lambda: sender.state is PeerState.CONNECTED)
        told: list[tuple[PeerState, int]] = []
        turns = itertools.count()
        counting = asyncio.create_task(count(turns))
        sender.on_state = lambda _, state: told.append((state, next(turns)))
        for transport in {t.sender.transport.transport for t in caller._connection.getTransceivers()}:
            for protocol in transport._connection._protocols:
                protocol.transport.close()
        await until(lambda: sender.state is PeerState.FAILED)
        assert [state for state, _ in told] == [PeerState.SILENT, PeerState.FAILED]
        counting.cancel()
        assert told[0][1] <= 40, "three seconds, one more for a machine that is busy"
        assert sender.failure == "gone"
        await caller.close()


async def test_peers_that_come_and_go_leave_nothing(clip: Path) -> None:
    async with node() as on:
        caller, sender = await publish(on, clip)
        for _ in range(10):
            viewers = [Viewer() for _ in range(4)]
            receivers = [await viewer.join(on) for viewer in viewers]
            for receiver in receivers:
                on.feed(receiver, sender)
            await until(lambda viewers=viewers: all(viewer.connected for viewer in viewers))
            assert {receiver.state for receiver in receivers} == {PeerState.CONNECTED}
            await asyncio.gather(*(viewer.close() for viewer in viewers))
            await until(lambda: len(on.peers) == 1)
        stats = on.engine.stats()
        assert (len(stats.transports), len(stats.sinks), len(stats.sources)) == (1, 0, 2)
        await caller.close()


async def test_a_peer_that_offers_to_be_dtls_server_is_called_by_us(clip: Path) -> None:
    """FFmpeg's WHIP muxer offers ``a=setup:passive``."""
    async with node() as on:
        caller, sender = await publish(on, clip)
        viewer = Viewer()
        receiver = on.peers.accept((await viewer.offer()).replace("a=setup:actpass", "a=setup:passive"))
        assert "a=setup:active" in receiver.answer_sdp
        await viewer.answered(receiver.answer_sdp)
        on.feed(receiver, sender)
        await until(moving(viewer))
        await caller.close()
        await viewer.close()


SIZES = (0, 1, 2, 3, 11, 12, 19, 20, 65_507)


async def test_no_datagram_of_any_size_or_first_byte_ends_a_call(clip: Path) -> None:
    """S02: from a stranger and from the peer's own address, while the call runs."""
    async with node() as on:
        caller, sender = await publish(on, clip)
        viewer = Viewer()
        receiver = await viewer.join(on)
        on.feed(receiver, sender)
        await until(moving(viewer))
        stranger = Stranger(on.engine.port)
        ice = viewer.connection.getTransceivers()[0].receiver.transport.transport._connection
        before = on.engine.stats().engine["packets_in"]
        for first in range(256):
            for size in SIZES:
                junk = (bytes([first]) + bytes(size))[:size]
                stranger.send(junk)
                await ice.send(junk)
            await asyncio.sleep(0)
        await until(lambda: on.engine.stats().engine["packets_in"] >= before + 256 * len(SIZES))
        await until(moving(viewer))
        assert sender.state is receiver.state is PeerState.CONNECTED
        assert stranger.heard() is None
        stranger.close()
        await caller.close()
        await viewer.close()
