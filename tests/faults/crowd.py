"""A crowd in a process of its own: pictures in three layers, one voice, and many who watch and read nothing."""

from __future__ import annotations

import itertools
import select
import time
from typing import Any, cast

from media import _native
from tests.media.native_peer import Peer, Rtp, close_all, vp8

from .far import Far

TICK_S = 0.0025
EVERY = (16, 4, 1)
"""Ticks from packet to packet of the small, the middle and the large layer: 25, 100 and 400 a second."""
LATE_S = 0.1
"""Who is later than this leaves pictures out: cameras do not send in bursts what they could not send in time."""
VOICE_EVERY = 8
CONSENT_EVERY = 800
KEY_EVERY = 20
PAYLOAD = 1_000
OPUS, VP8 = 111, 96
SPEAKER, LISTENER, FIRST_SOURCE, FIRST_VIEWER = 900, 901, 1_000, 2_000
MAX_S = 90.0
SETTLE_S = 3.0


class Crowd:
    """``sources`` pictures in three layers each, ``viewers`` who are sent all of them, and the voice.

    One listener has only the voice, and counts its packets.
    """

    def __init__(self, far: Far, sources: int, viewers: int) -> None:
        engine = cast(_native.Engine, far)
        self.speaker, self.listener = Peer(engine, SPEAKER), Peer(engine, LISTENER)
        self.sources = range(FIRST_SOURCE, FIRST_SOURCE + sources)
        self.viewers = [Peer(engine, FIRST_VIEWER + at) for at in range(viewers)]
        self.sent = self.came = 0
        self._counts = {(source, layer): 0 for source in self.sources for layer in range(len(EVERY))}
        for peer in (self.speaker, self.listener, *self.viewers):
            peer.connect()
        self._offer(far)
        for at, viewer in enumerate(self.viewers):
            self._watch(far, viewer, at)
        far.stats()  # answered once all routes are there

    def _offer(self, far: Far) -> None:
        far.add_source(
            SPEAKER, SPEAKER, kind="audio", mid=None, ssrcs=[(1, None)], rids=[], codecs=[(OPUS, "opus", None)]
        )
        far.add_sink(
            LISTENER,
            LISTENER,
            kind="audio",
            mid="a",
            ssrc=99,
            rtx_ssrc=None,
            cname="c",
            codecs=[("opus", OPUS, None)],
        )
        far.route(LISTENER, SPEAKER)
        for source in self.sources:
            layers = [(_ssrc(source, layer), None) for layer in range(len(EVERY))]
            far.add_source(source, SPEAKER, kind="video", mid=None, ssrcs=layers, rids=[], codecs=[(VP8, "vp8", None)])

    def _watch(self, far: Far, viewer: Peer, at: int) -> None:
        slot = {"mid": "v", "rtx_ssrc": None, "cname": "c"}
        for index, source in enumerate(self.sources):
            sink = 10_000 + at * len(self.sources) + index
            codecs = [("vp8", VP8, None)]
            far.add_sink(sink, viewer.number, kind="video", ssrc=100 + index, codecs=codecs, **slot)
            far.route(sink, source)

    def pictures(self, tick: int) -> None:
        """Send what is due of every layer of every picture."""
        for (source, layer), count in self._counts.items():
            if (tick + source) % EVERY[layer] == 0:
                payload = vp8(count & 0x7FFF, count, key=count % KEY_EVERY == 0, body=bytes(PAYLOAD))
                packet = Rtp(VP8, count, 90_000 * tick // 400, _ssrc(source, layer), payload, marker=True)
                self._send(packet)
                self._counts[source, layer] = count + 1

    def speak(self) -> None:
        self._send(Rtp(OPUS, self.sent, 960 * self.sent, 1, bytes(80)))
        self.sent += 1

    def _send(self, packet: Rtp) -> None:
        self.speaker.send(self.speaker.sender.protect(bytes(packet)))

    def hear(self) -> None:
        """Count the packets of the voice that came."""
        while self.listener.readable(0):
            data = self.listener.socket.recv(2048)
            self.came += data[0] >= 128 and data[1] & 127 == OPUS

    def consent(self) -> None:
        for peer in (self.speaker, self.listener, *self.viewers):
            peer.send(peer.check())


def crowd(far: Far, given: dict[str, Any]) -> dict[str, Any]:
    """Send and watch until told that it is enough: packets of the voice sent, and come."""
    people = Crowd(far, given["sources"], given["viewers"])
    far.ready()
    began = time.monotonic()
    for tick in itertools.count():
        ahead = began + tick * TICK_S - time.monotonic()
        if ahead > 0:
            select.select([people.listener.socket], [], [], ahead)
        if ahead > -LATE_S:
            people.pictures(tick)
        people.hear()
        if tick % VOICE_EVERY == 0:
            people.speak()
        if tick % CONSENT_EVERY == 0:
            people.consent()
            if not far.go_on() or time.monotonic() - began > MAX_S:
                break
    end = time.monotonic() + SETTLE_S
    while people.came < people.sent and time.monotonic() < end:
        select.select([people.listener.socket], [], [], 0.05)
        people.hear()
    close_all()
    return {"sent": people.sent, "came": people.came, "took_s": time.monotonic() - began}


def _ssrc(source: int, layer: int) -> int:
    return 10 * source + layer
