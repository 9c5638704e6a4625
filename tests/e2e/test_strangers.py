"""Datagrams from nowhere: no stranger stops a call from being set up, or disturbs one that runs.

CHECKS S01 (ClientHello race), S02 (one-packet kill), S04 (injection), against a real node.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver
from OpenSSL import SSL

from tests.e2e.clips import path_of
from tests.e2e.meeting import convened, participant
from tests.e2e.running import PATIENCE_S, Demo, call, run_async
from tests.e2e.second_stack import ClipTrack, exchange, publishing

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 5
"""A machine that is busy with something else makes gaps of its own in some of them."""
SIZES = (0, 1, 2, 3, 11, 12, 19, 20, 65_507)


@pytest.fixture(scope="module")
def conference(demo: Demo) -> Iterator[str]:
    with convened(demo, "陌生数据包") as meeting:
        yield meeting


def client_hello() -> bytes:
    """Return a well-formed DTLS 1.2 ClientHello."""
    connection = SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None)
    connection.set_connect_state()
    with contextlib.suppress(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(4_096)


@contextlib.contextmanager
def flood(port: int, datagrams: list[bytes], per_second: int) -> Iterator[list[int]]:
    """Send ``datagrams`` over and over from a stranger's address; yields a list whose only item counts them."""
    sent = [0]
    stop = threading.Event()

    def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for datagram in itertools.cycle(datagrams):
                if stop.wait(1 / per_second):
                    return
                stranger.sendto(datagram, ("127.0.0.1", port))
                sent[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        stop.set()
        thread.join()


async def connects(url: str, token: str) -> bool:
    """Return whether one publishing call reaches ``connected`` within PATIENCE_S."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver(ClipTrack(path_of("carphone_pristine.mp4"), 2), direction="sendonly")
    async with exchange(url, token, pc):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while pc.connectionState not in ("connected", "failed", "closed"):
                    await asyncio.sleep(0.02)
        return pc.connectionState == "connected"


@pytest.mark.parametrize("calls", [8, pytest.param(100, marks=pytest.mark.long)])
def test_s01_a_strangers_client_hello_never_stops_a_call(demo: Demo, conference: str, calls: int) -> None:
    token = demo.token("county", "terminal", name="呼叫")
    url = demo.url("county", f"/whip/{conference}")
    port = int(demo.url("county").rsplit(":", 1)[1])

    async def scenario() -> int:
        return sum([await connects(url, token) for _ in range(calls)])

    with flood(port, [client_hello()], 50) as sent:
        connected = run_async(scenario())
    assert connected == calls
    assert sent[0] > 10


def test_s02_no_datagram_of_any_size_disturbs_a_running_call(demo: Demo, conference: str) -> None:
    sender, watcher = (demo.token("county", "terminal", name=name) for name in ("发送", "接收"))
    port = int(demo.url("county").rsplit(":", 1)[1])
    datagrams = [bytes([first]) * size for first in range(256) for size in SIZES]

    async def gap_s(receiver: RTCRtpReceiver) -> float:
        """Return the longest time between 30 pictures from now on."""
        times = [time.monotonic()]
        while len(times) < 30:
            await receiver.track.recv()
            times.append(time.monotonic())
        return max(b - a for a, b in itertools.pairwise(times))

    async def one_round(receiver: RTCRtpReceiver, own: asyncio.DatagramTransport) -> tuple[float, float]:
        """Return the longest gap in peace, and then after 4,608 datagrams, half of them from the viewer itself."""
        quiet_s = await gap_s(receiver)
        await asyncio.to_thread(_send_all, port, datagrams)
        for datagram in datagrams:
            own.sendto(datagram, ("127.0.0.1", port))
        return quiet_s, await gap_s(receiver)

    async def scenario() -> list[tuple[float, float]]:
        async with publishing(demo.url("county", f"/whip/{conference}"), sender, path_of("carphone_pristine.mp4")):
            seen = await participant(demo, "county", conference, watcher, "发送")
            pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            receiver = pc.addTransceiver("video", direction="recvonly").receiver
            async with (
                exchange(demo.url("county", f"/whep/{conference}/{seen}"), watcher, pc),
                asyncio.timeout(4 * PATIENCE_S),
            ):
                await receiver.track.recv()
                rounds = [await one_round(receiver, _own_socket(pc))]
                while rounds[-1][1] > rounds[-1][0] + 1.0 and len(rounds) < ROUNDS:
                    rounds.append(await one_round(receiver, _own_socket(pc)))
                return rounds

    rounds = run_async(scenario())
    quiet_s, disturbed_s = rounds[-1]
    assert disturbed_s < quiet_s + 1.0, f"30 pictures at 25/s go on: {rounds}"
    assert demo.metric("county", "wuji_engine_drops_total") > 0
    assert call(demo.url("county", "/healthz")).status == 200


def _send_all(port: int, datagrams: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for datagram in datagrams:
            stranger.sendto(datagram, ("127.0.0.1", port))


def _own_socket(pc: RTCPeerConnection) -> asyncio.DatagramTransport:
    """Return the socket from which this peer talks to the node."""
    transport = pc.getTransceivers()[0].receiver.transport.transport
    pair = transport._connection._nominated[1]
    found: asyncio.DatagramTransport = pair.protocol.transport
    return found


def test_s04_forged_rtp_and_rtcp_from_the_peers_own_address_are_dropped(demo: Demo, conference: str) -> None:
    token = demo.token("county", "terminal", name="被冒充")
    port = int(demo.url("county").rsplit(":", 1)[1])

    async def scenario() -> tuple[float, float]:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        sender = pc.addTransceiver(ClipTrack(path_of("carphone_pristine.mp4"), 2), direction="sendonly").sender
        async with exchange(demo.url("county", f"/whip/{conference}"), token, pc), asyncio.timeout(PATIENCE_S):
            while pc.connectionState != "connected":
                await asyncio.sleep(0.05)
            before = await asyncio.to_thread(demo.metric, "county", "wuji_engine_drops_total")
            ssrc = sender._ssrc
            bye = struct.pack("!BBHI", 0x81, 203, 1, ssrc) + b"\0" * 20
            rtp = struct.pack("!BBHII", 0x80, 96, 1, 2, ssrc) + b"\0" * 60
            for _ in range(50):
                _own_socket(pc).sendto(bye, ("127.0.0.1", port))
                _own_socket(pc).sendto(rtp, ("127.0.0.1", port))
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    after = await asyncio.to_thread(demo.metric, "county", "wuji_engine_drops_total")
                    if after >= before + 100:
                        break
                    await asyncio.sleep(0.1)
            listed = await asyncio.to_thread(
                call, demo.url("county", f"/api/v1/participants?conference={conference}"), token=token
            )
            names = [p["name"] for p in listed.json["participants"]]
            return after - before, names.count("被冒充")

    dropped, still_there = run_async(scenario())
    assert dropped >= 100
    assert still_there == 1
