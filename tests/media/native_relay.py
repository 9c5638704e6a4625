"""Calls through the packet engine that its tests share: who sends, who watches, what is counted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from media import _native
from tests.media.native_peer import GCM, Peer, Profile, Rtp, counters, vp8

SOURCE, SINK = 10, 20
IN_SSRC, OUT_SSRC, OUT_RTX = 1111, 2222, 2223
MID, TWCC, SEND_TIME = 3, 5, 2


@contextmanager
def running(host: str = "127.0.0.1", **limits: int) -> Iterator[_native.Engine]:
    # Peers of these tests say little, and are to be sent something however slow the machine is.
    engine = _native.Engine([host], 0, **{"silent_ms": 600_000, **limits})
    try:
        yield engine
    finally:
        engine.close()


def relay(engine: _native.Engine, profile: Profile = GCM, *, rtx: bool = True) -> tuple[Peer, Peer]:
    """One sender, one viewer, one routed VP8 source."""
    sender = Peer(engine, 1, profile=profile, extensions=(("mid", MID), ("twcc", TWCC)))
    viewer = Peer(engine, 2, profile=profile, extensions=(("mid", 4), ("abs_send_time", SEND_TIME)))
    wire(engine, sender, viewer, rtx=rtx)
    return sender, viewer


def wire(engine: _native.Engine, sender: Peer, viewer: Peer, *, rtx: bool = True) -> None:
    """Connect both and route one VP8 source from transport 1 to transport 2."""
    sender.connect()
    viewer.connect()
    add_video(engine, SOURCE, 1, IN_SSRC)
    engine.add_sink(
        SINK,
        2,
        kind="video",
        mid="v1",
        ssrc=OUT_SSRC,
        rtx_ssrc=OUT_RTX if rtx else None,
        cname="slot",
        codecs=[("vp8", 100, 101 if rtx else None)],
    )
    engine.route(SINK, SOURCE)


def add_video(engine: _native.Engine, source: int, transport: int, ssrc: int) -> None:
    engine.add_source(
        source, transport, kind="video", mid=None, ssrcs=[(ssrc, None)], rids=[], codecs=[(96, "vp8", 97)]
    )


def frame(number: int, *, key: bool = False, ssrc: int = IN_SSRC, first_picture: int = 100) -> Rtp:
    """One-packet frames, 30 a second."""
    return Rtp(96, 500 + number, 9_000 + 3_000 * number, ssrc, vp8(first_picture + number, number, key=key), True)


def arrived(engine: _native.Engine, total: int) -> bool:
    """Whether that many datagrams have reached the engine."""
    return counters(engine)["packets_in"] >= total


def happened(engine: _native.Engine, seen: list[_native.Event], *wanted: object) -> bool:
    """Collect events; whether one that begins with ``wanted`` is among them."""
    seen.extend(engine.poll_events())
    return any(event[: len(wanted)] == wanted for event in seen)


def count(engine: _native.Engine, name: str) -> Callable[[], int]:
    return lambda: counters(engine)[name]
