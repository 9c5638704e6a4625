"""A call goes on while somebody throws malformed datagrams at it, from anywhere.

The stream, the flood and the clockwork of both are one thread, arrivals are stamped by the kernel
and what this thread was late is taken off, so that a gap is the engine's or the whole machine's.
Each spell of flood holds every datagram, so a gap that one of them makes is in all spells; a gap
that is only in some is the machine's, and spells go on until one has none.  Quiet spells between
them are judged alike.
"""

import itertools
import secrets
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from media import _native
from tests.media.native_peer import PATIENCE_S, Peer, Rtp, close_all, counters, open_udp, wait_for
from tests.media.native_relay import add_video, frame, relay, running

SIZES = (0, 1, 2, 3, 11, 12, 19, 20, 65_507)
EVERY_S = 0.020
SPELL_S = 1.0
SPELLS = 12
ALLOWED_S = 0.100
IN_FLIGHT = 16
PAUSE_S = 0.002
RATE, AUTHENTIC = 100, 3_000
SO_TIMESTAMPNS = 35
MSG_DONTWAIT = socket.MSG_DONTWAIT


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@dataclass(slots=True)
class Stream:
    """A source of 50 packets a second and when each of them came out of the engine."""

    sender: Peer
    viewer: Peer
    sent_s: list[float] = field(default_factory=list)
    due_s: float = field(default_factory=time.monotonic)
    arrivals_s: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    @property
    def sent(self) -> int:
        return len(self.sent_s)

    def pump(self) -> None:
        """Send what is due and take in what has come."""
        while time.monotonic() >= self.due_s:
            packet = self.sender.sender.protect(bytes(frame(self.sent, key=self.sent == 0)))
            self.sent_s.append(time.monotonic())
            self.sender.send(packet)
            self.due_s += EVERY_S
        while select.select([self.viewer.socket], [], [], 0)[0]:
            data, stamps, _, _ = self.viewer.socket.recvmsg(2048, 64, MSG_DONTWAIT)
            if data[0] < 128 or 192 <= data[1] <= 223:
                continue
            self.numbers.append(Rtp.parse(self.viewer.receiver.unprotect(data)).seq)
            seconds, nanoseconds = struct.unpack("=qq", stamps[0][2])
            self.arrivals_s.append(seconds + nanoseconds * 1e-9)

    def rest(self, longest_s: float = EVERY_S) -> None:
        """Wait for the next packet, in or out."""
        until_s = min(self.due_s - time.monotonic(), longest_s)
        select.select([self.viewer.socket], [], [], max(0.0, until_s))
        self.pump()

    def settle(self) -> None:
        """Wait until everything sent has come."""
        until = time.monotonic() + PATIENCE_S
        while len(self.arrivals_s) < self.sent and time.monotonic() < until:
            select.select([self.viewer.socket], [], [], 0.005)
            self.pump()

    def gap_s(self, first: int) -> float:
        """The longest time without a packet since number ``first``, less what its sender was late."""
        late = [max(0.0, b - a - EVERY_S) for a, b in itertools.pairwise(self.sent_s[first:])]
        gaps = [b - a for a, b in itertools.pairwise(self.arrivals_s[first:])]
        return max(gap - delay for gap, delay in zip(gaps, late, strict=False))


def datagrams() -> Iterator[bytes]:
    for size in SIZES:
        for first in range(256):
            yield (bytes([first]) + secrets.token_bytes(size))[:size]


def flood(engine: _native.Engine, stream: Stream, origins: list[socket.socket]) -> int:
    """Send every datagram from every origin, none faster than the engine takes them; how many."""
    base, count = counters(engine)["packets_in"] - stream.sent, 0
    for datagram in datagrams():
        for origin in origins:
            origin.sendto(datagram, stream.sender.address)
            count += 1
            if count % IN_FLIGHT:
                continue
            until = time.monotonic() + PATIENCE_S
            while counters(engine)["packets_in"] < base + count + stream.sent:
                assert time.monotonic() < until, f"the engine no longer takes datagrams after {count}"
                stream.pump()
            stream.rest(PAUSE_S)
    return count


def quiet(stream: Stream) -> None:
    until = time.monotonic() + SPELL_S
    while time.monotonic() < until:
        stream.rest()


def test_a_stream_has_no_gap_while_malformed_datagrams_come_from_everywhere() -> None:
    with running() as engine:
        sender, viewer = relay(engine)
        viewer.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        counters(engine)  # answered once the route is there
        stream, thrown = Stream(sender, viewer), 0
        quiets_s: list[float] = []
        floods_s: list[float] = []
        while not floods_s or (min(floods_s) > min(quiets_s) + ALLOWED_S and len(floods_s) < SPELLS):
            start = stream.sent
            quiet(stream)
            stream.settle()
            quiets_s.append(stream.gap_s(start))
            start = stream.sent - 1
            thrown += flood(engine, stream, [open_udp(), sender.socket, viewer.socket])
            stream.settle()
            floods_s.append(stream.gap_s(start))
        print("largest gaps, s:", "quiet", quiets_s, "flooded", floods_s, thrown, "datagrams")
        assert min(floods_s) <= min(quiets_s) + ALLOWED_S
        assert len(stream.numbers) == stream.sent, "none was lost"
        steps = [(b - a) & 0xFFFF for a, b in itertools.pairwise(stream.numbers)]
        assert set(steps) == {1}, "nor overtaken, nor doubled"
        seen = counters(engine)
        drops = sum(number for name, number in seen.items() if name.startswith("drop_"))
        # From the verified addresses, what begins like DTLS is DTLS's to judge.
        assert (drops + seen["dtls_in"], seen["packets_forwarded"]) == (thrown, stream.sent)


def test_of_a_source_that_floods_a_part_goes_on_and_a_call_beside_it_loses_nothing() -> None:
    with running(source_rate=RATE, packet_rate=10_000_000) as engine:
        sender, viewer = relay(engine)
        viewer.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        flooder, watcher = Peer(engine, 3), Peer(engine, 4)
        flooder.connect()
        watcher.connect()
        add_video(engine, 30, 3, 3_333)
        slot = {"kind": "video", "mid": "v", "ssrc": 4_444, "rtx_ssrc": None, "cname": "slot"}
        engine.add_sink(31, 4, codecs=[("vp8", 100, None)], **slot)  # type: ignore[arg-type]
        engine.route(31, 30)
        stream, base = Stream(sender, viewer), counters(engine)["packets_in"]
        began = time.monotonic()
        for number in range(AUTHENTIC):
            flooder.send(flooder.sender.protect(bytes(frame(number, key=number == 0, ssrc=3_333))))
            while not number % IN_FLIGHT and counters(engine)["packets_in"] < base + number + stream.sent:
                stream.rest(PAUSE_S)
        wait_for(lambda: counters(engine)["packets_in"] >= base + AUTHENTIC + stream.sent, "all of the flood")
        allowed = RATE * (time.monotonic() - began) + RATE / 4 + 1
        stream.settle()
        stats = engine.stats()
        passed = stats["sources"][30]["packets"]
        assert 0 < passed <= allowed
        assert stats["engine"]["drop_source_rate"] == AUTHENTIC - passed > 0
        assert stats["transports"][3]["throttled"] == AUTHENTIC - passed
        assert len(stream.numbers) == stream.sent, "the call beside it lost none"
