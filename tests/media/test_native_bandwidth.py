"""What a viewer says of its path moves what it is sent, through sockets and SRTP."""

import itertools
import struct
import time
from collections.abc import Iterator

import pytest

from media import _native
from media.engine import Engine
from tests.media.native_peer import Peer, Rtp, receiver_report, wait_for
from tests.media.native_relay import IN_SSRC, OUT_RTX, OUT_SSRC, SINK, SOURCE, add_video, frame, running

TWCC_ID = 5


@pytest.fixture
def engine() -> Iterator[_native.Engine]:
    with running() as engine:
        yield engine


def watch(engine: _native.Engine) -> tuple[Peer, Peer]:
    """One sender; one viewer whose packets are numbered across the transport."""
    sender = Peer(engine, 1)
    viewer = Peer(engine, 2, extensions=(("mid", 3), ("twcc", TWCC_ID)))
    sender.connect()
    viewer.connect()
    add_video(engine, SOURCE, 1, IN_SSRC)
    engine.add_sink(
        SINK,
        2,
        kind="video",
        mid="v",
        ssrc=OUT_SSRC,
        rtx_ssrc=OUT_RTX,
        cname="slot",
        codecs=[("vp8", 100, 101)],
    )
    engine.route(SINK, SOURCE)
    return sender, viewer


def number(packet: Rtp) -> int:
    """The transport-wide number of a packet (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 2)."""
    value = dict(packet.extensions)[TWCC_ID]
    return int.from_bytes(value, "big")


def arrivals(first: int, count: int, number: int) -> bytes:
    """Feedback that ``count`` packets from ``first`` on have arrived just now (section 3.1)."""
    ticks = time.monotonic_ns() // 250_000
    reference = (ticks // 256 & 0xFFFFFF).to_bytes(3, "big")
    deltas = bytes([ticks % 256]) + bytes(count - 1)
    body = struct.pack("!HH", first, count) + reference + bytes([number & 255])
    body += struct.pack("!H", 1 << 13 | count) + deltas
    body += bytes(-len(body) % 4)
    return receiver_report() + struct.pack("!BBHII", 0x8F, 205, 2 + len(body) // 4, 1, OUT_SSRC) + body


def remb(bps: int) -> bytes:
    """The receiver's own estimate (draft-alvestrand-rmcat-remb-03 section 2.2)."""
    exponent = max(bps.bit_length() - 18, 0)
    mantissa = bps >> exponent
    head = bytes([1, exponent << 2 | mantissa >> 16]) + (mantissa & 0xFFFF).to_bytes(2, "big")
    return receiver_report() + struct.pack("!BBHII", 0x8F, 206, 5, 1, 0) + b"REMB" + head + struct.pack("!I", OUT_SSRC)


def estimate(engine: _native.Engine, transport: int = 2) -> int:
    found: int = engine.stats()["transports"][transport]["estimate_bps_now"]
    return found


def test_arrivals_told_by_the_viewer_become_an_estimate(engine: _native.Engine) -> None:
    sender, viewer = watch(engine)
    assert estimate(engine) == 0
    sender.send_rtp(frame(0, key=True))
    sender.send_rtp(frame(1))
    numbers = [number(packet) for packet in viewer.collect(2)]
    assert numbers == [numbers[0], numbers[0] + 1]
    viewer.send_rtcp(arrivals(numbers[0], 2, 0))
    wait_for(lambda: estimate(engine) > 0, "an estimate")
    assert estimate(engine) in range(10_000, 1_000_001)


def test_an_estimate_told_by_the_viewer_is_taken_and_pictures_pause_and_flow(engine: _native.Engine) -> None:
    sender, viewer = watch(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    numbers = itertools.count(1)
    seen: list[_native.Event] = []

    def told(bps: int, *event: object) -> bool:
        """Say ``bps`` among so many pictures that it speaks of the path; whether ``event`` came."""
        for number in itertools.islice(numbers, 20):
            sender.send_rtp(frame(number, key=True))
        viewer.send_rtcp(remb(bps))
        seen.extend(engine.poll_events())
        return event in seen

    wait_for(lambda: told(20_000, "video", SINK, "thumbnails"), "single pictures")
    assert estimate(engine) in range(19_000, 20_001)
    wait_for(lambda: told(2_000_000, "video", SINK, "flows"), "pictures again")
    assert estimate(engine) in range(1_990_000, 2_000_001)


def test_malformed_feedback_is_counted_and_changes_nothing(engine: _native.Engine) -> None:
    sender, viewer = watch(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    good = arrivals(0, 8, 0)
    viewer.send_rtcp(good[:-8])
    viewer.send_rtcp(good[:20] + b"\xff\xff" * 2 + good[24:])
    wait_for(lambda: engine.stats()["engine"]["drop_malformed_rtcp"] == 2, "two refusals")
    assert estimate(engine) == 0


def test_what_happens_to_pictures_reaches_its_listener() -> None:
    told: list[tuple[int, str]] = []
    with running() as native:
        engine = Engine(native)
        engine.on_video = lambda sink, coming: told.append((sink, coming))
        engine._deliver(("video", 7, "thumbnails"))
        engine._deliver(("video", 7, "flows"))
        engine.on_video = None
        engine._deliver(("video", 8, "paused"))
    assert told == [(7, "thumbnails"), (7, "flows")]
