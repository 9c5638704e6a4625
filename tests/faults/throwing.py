"""What throws and what suffers, each in a process of its own: calls of some packets a second, and a bounded flood."""

from __future__ import annotations

import itertools
import random
import select
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from media import _native
from tests.media.native_peer import Peer, Rtp, close_all, open_udp, vp8

from .far import Far

CONSENT_S = 1.0
SETTLE_S = 3.0
BURST_S = 0.002
MAX_BURST = 300
"""A thrower that was late catches up in steps."""
PAYLOAD = 600


class Pair:
    """One who sends a picture and one who watches it, on transports ``number`` and ``number + 1``."""

    def __init__(self, far: Far, number: int) -> None:
        engine = cast(_native.Engine, far)
        self.sender, self.viewer = Peer(engine, number), Peer(engine, number + 1)
        self.ssrc = 10 * number
        self.sent = self.came = 0
        self.sender.connect()
        self.viewer.connect()
        far.add_source(
            number, number, kind="video", mid=None, ssrcs=[(self.ssrc, None)], rids=[], codecs=[(96, "vp8", None)]
        )
        far.add_sink(
            number,
            number + 1,
            kind="video",
            mid="v",
            ssrc=self.ssrc + 1,
            rtx_ssrc=None,
            cname="c",
            codecs=[("vp8", 96, None)],
        )
        far.route(number, number)
        far.stats()  # answered once the route is there

    def send(self) -> None:
        """Send the next packet; each is a picture, one in a hundred a key frame."""
        payload = vp8(self.sent & 0x7FFF, self.sent, key=self.sent % 100 == 0, body=bytes(PAYLOAD))
        packet = Rtp(96, self.sent, 450 * self.sent, self.ssrc, payload, marker=True)
        self.sender.send(self.sender.sender.protect(bytes(packet)))
        self.sent += 1

    def take(self) -> None:
        """Count what has come."""
        while self.viewer.readable(0):
            data = self.viewer.socket.recv(2048)
            self.came += data[0] >= 128 and not 192 <= data[1] <= 223

    def consent(self) -> None:
        self.sender.send(self.sender.check())
        self.viewer.send(self.viewer.check())


def calls(far: Far, given: dict[str, Any]) -> dict[str, Any]:
    """Hold ``pairs`` calls of ``per_s`` packets a second for ``seconds``: how many were sent, and how many came."""
    pairs = [Pair(far, 100 + 2 * at) for at in range(given["pairs"])]
    far.ready()
    began = time.monotonic()
    for now in _ticks(1 / given["per_s"], given["seconds"]):
        for pair in pairs:
            pair.send()
            pair.take()
            if now == 0 or pair.sent % given["per_s"] == 0:
                pair.consent()
    took_s = time.monotonic() - began
    end = time.monotonic() + SETTLE_S
    while sum(pair.came for pair in pairs) < sum(pair.sent for pair in pairs) and time.monotonic() < end:
        select.select([pair.viewer.socket for pair in pairs], [], [], 0.05)
        for pair in pairs:
            pair.take()
    close_all()
    return {"sent": sum(p.sent for p in pairs), "came": sum(p.came for p in pairs), "took_s": took_s}


def junk(far: Far, given: dict[str, Any]) -> dict[str, Any]:
    """A stranger throws datagrams of all kinds; or, with ``inside``, a participant from its own address."""
    chance = random.Random(given["seed"])
    thrown = [_datagram(chance) for _ in range(1_000)]
    inside = given["inside"]
    socket = Pair(far, 10).sender.socket if inside else open_udp()
    address = ("127.0.0.1", far.port)
    turn = itertools.cycle(thrown)
    return _throw(far, given, lambda: socket.sendto(next(turn), address))


def pictures(far: Far, given: dict[str, Any]) -> dict[str, Any]:
    """A participant sends authentic packets of its own picture, far too many; one watches it."""
    pair = Pair(far, 10)
    found = _throw(far, given, pair.send, pair.take)
    return {**found, "came": pair.came}


def _throw(
    far: Far, given: dict[str, Any], one: Callable[[], object], between: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Do ``one`` so many times a second as ``per_s`` says, as evenly as the machine lets us; never more in all."""
    far.ready()
    began, done = time.monotonic(), 0
    for now in _ticks(BURST_S, given["seconds"]):
        due = min(round(given["per_s"] * (now + BURST_S)) - done, MAX_BURST)
        for _ in range(due):
            one()
        done += due
        between()
    took_s = time.monotonic() - began
    close_all()
    return {"thrown": done, "took_s": took_s}


def _ticks(every_s: float, seconds: float) -> Iterator[float]:
    """Yield 0 and every multiple of ``every_s`` when it is due, seconds since the first."""
    began = time.monotonic()
    for at in range(round(seconds / every_s)):
        ahead = began + at * every_s - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        yield at * every_s


def _datagram(chance: random.Random) -> bytes:
    """Something that begins like STUN with the right cookie, like DTLS, like RTP, like RTCP, or like nothing."""
    head = chance.choice(
        [
            b"\x00\x01\x00\x08\x21\x12\xa4\x42",
            b"\x16\xfe\xfd",
            b"\x80\x60",
            b"\x80\xc9\x00\x01",
            bytes([chance.randrange(256)]),
        ]
    )
    return head + chance.randbytes(chance.choice([0, 12, 100, 1_100]))
