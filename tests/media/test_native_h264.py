"""H.264 through the packet engine: forwarded as it is, switched at parameter sets, seen as pictures.

Payloads are those of RFC 6184: STAP-A for parameter sets, FU-A for large units, single units.
"""

import itertools
import struct
from collections.abc import Iterator
from functools import partial

import pytest

from media import _native
from tests.media.native_peer import Peer, Rtp, close_all, nack, read_vp8, vp8, wait_for
from tests.media.native_relay import OUT_RTX, OUT_SSRC, SINK, happened, running

SPS, PPS = b"\x67\x42\xe0\x1f", b"\x68\xce\x3c\x80"
IDR, SLICE = b"\x65" + bytes(range(200)), b"\x41" + bytes(range(50))
START_CODE = b"\0\0\0\1"
VP8_IN, H264_IN, H264_OUT, VP8_OUT = 96, 98, 102, 100
FIRST, SECOND, PICTURES = 10, 11, 12
SSRC = {FIRST: 1_111, SECOND: 2_222, PICTURES: 3_333}


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def engine() -> Iterator[_native.Engine]:
    with running() as found:
        yield found


def stap_a(*units: bytes) -> bytes:
    """Several units in one payload (RFC 6184 section 5.7.1)."""
    return b"\x78" + b"".join(struct.pack("!H", len(unit)) + unit for unit in units)


def fu_a(unit: bytes, size: int) -> list[bytes]:
    """One unit in fragments of ``size`` octets (RFC 6184 section 5.8)."""
    head, body = unit[0], unit[1:]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    marks = [0x80, *[0] * (len(pieces) - 2), 0x40]
    return [bytes([head & 0xE0 | 28, mark | head & 0x1F]) + piece for mark, piece in zip(marks, pieces, strict=True)]


KEY_PICTURE = [stap_a(SPS, PPS), *fu_a(IDR, 70)]


class Camera:
    """One H.264 or VP8 sender, routed by its source's id."""

    def __init__(self, engine: _native.Engine, transport: int, source: int) -> None:
        self.peer = Peer(engine, transport)
        self.peer.connect()
        self.source = source
        self.seq = 1_000 * source
        self.timestamp = 77_000 * source
        codecs: list[tuple[int, _native.Codec, int | None]] = [(VP8_IN, "vp8", 97), (H264_IN, "h264", 99)]
        ssrcs: list[tuple[int, int | None]] = [(SSRC[source], None)]
        engine.add_source(source, transport, kind="video", mid=None, ssrcs=ssrcs, rids=[], codecs=codecs)

    def send(self, payloads: list[bytes], payload_type: int = H264_IN) -> None:
        """One picture."""
        for at, payload in enumerate(payloads):
            last = at == len(payloads) - 1
            self.peer.send_rtp(Rtp(payload_type, self.seq, self.timestamp, SSRC[self.source], payload, last))
            self.seq += 1
        self.timestamp += 3_000

    def asked(self) -> bool:
        """Whether a key frame was asked for."""
        self.peer.take()
        return bool(self.peer.feedback(206, 1))


def watch(engine: _native.Engine) -> Peer:
    viewer = Peer(engine, 9)
    viewer.connect()
    codecs: list[tuple[_native.Codec, int, int | None]] = [("vp8", VP8_OUT, 101), ("h264", H264_OUT, 103)]
    engine.add_sink(SINK, 9, kind="video", mid=None, ssrc=OUT_SSRC, rtx_ssrc=OUT_RTX, cname="slot", codecs=codecs)
    return viewer


def packets_of(engine: _native.Engine, source: int) -> int:
    found: int = engine.stats()["sources"][source]["packets"]
    return found


def in_one_line(packets: list[Rtp]) -> bool:
    """Whether sequence numbers have no step and time never goes back or stands still between pictures."""
    for before, after in itertools.pairwise(packets):
        step = (after.timestamp - before.timestamp) & 0xFFFFFFFF
        if (after.seq - before.seq) & 0xFFFF != 1 or (step == 0) is before.marker or step > 90_000 * 30:
            return False
    return True


def test_h264_is_forwarded_octet_for_octet_and_its_key_picture_is_annex_b(engine: _native.Engine) -> None:
    camera, viewer = Camera(engine, 1, FIRST), watch(engine)
    engine.route(SINK, FIRST)
    camera.send([SLICE])  # nothing can start here
    camera.send(KEY_PICTURE)
    camera.send([SLICE])
    packets = viewer.collect(len(KEY_PICTURE) + 1)
    assert [p.payload for p in packets] == [*KEY_PICTURE, SLICE]
    assert {(p.payload_type, p.ssrc) for p in packets} == {(H264_OUT, OUT_SSRC)}
    assert [p.marker for p in packets] == [False] * (len(KEY_PICTURE) - 1) + [True, True]
    assert in_one_line(packets)
    assert engine.keyframe(FIRST) == ("h264", b"".join(START_CODE + unit for unit in (SPS, PPS, IDR)))
    assert engine.stats()["sources"][FIRST]["codec"] == "h264"


@pytest.mark.parametrize(
    "payloads",
    [
        pytest.param([SPS, PPS, IDR], id="single units"),
        pytest.param([SPS, PPS, *fu_a(IDR, 60)], id="fragments"),
        pytest.param([stap_a(SPS, PPS, IDR)], id="one aggregate"),
        pytest.param([stap_a(b"\x09\x10", SPS, PPS), IDR], id="delimiter first"),
    ],
)
def test_a_key_picture_is_found_in_every_packetization(engine: _native.Engine, payloads: list[bytes]) -> None:
    camera, viewer = Camera(engine, 1, FIRST), watch(engine)
    engine.route(SINK, FIRST)
    camera.send(payloads)
    assert [p.payload for p in viewer.collect(len(payloads))] == payloads
    codec, frame = engine.keyframe(FIRST) or ("", b"")
    units = frame.split(START_CODE)[1:]
    assert (codec, [unit for unit in units if unit[0] != 9]) == ("h264", [SPS, PPS, IDR])


def test_a_key_picture_with_a_hole_is_no_picture_until_it_is_filled(engine: _native.Engine) -> None:
    camera, viewer = Camera(engine, 1, FIRST), watch(engine)
    engine.route(SINK, FIRST)
    start, stamp = camera.seq, camera.timestamp
    packets = [
        Rtp(H264_IN, start + at, stamp, SSRC[FIRST], payload, at == len(KEY_PICTURE) - 1)
        for at, payload in enumerate(KEY_PICTURE)
    ]
    late = packets.pop(2)
    for packet in packets:
        camera.peer.send_rtp(packet)
    viewer.collect(len(packets))
    assert engine.keyframe(FIRST) is None
    camera.peer.send_rtp(late)
    viewer.collect(1)
    assert engine.keyframe(FIRST) == ("h264", b"".join(START_CODE + unit for unit in (SPS, PPS, IDR)))


def test_two_h264_sources_are_switched_at_parameter_sets(engine: _native.Engine) -> None:
    first, second, viewer = Camera(engine, 1, FIRST), Camera(engine, 2, SECOND), watch(engine)
    engine.route(SINK, FIRST)
    first.send(KEY_PICTURE)
    packets = viewer.collect(len(KEY_PICTURE))
    second.send([SLICE])
    wait_for(lambda: packets_of(engine, SECOND) == 1, "the second camera")
    engine.route(SINK, SECOND)
    wait_for(second.asked, "a key frame request")
    second.send([SLICE])
    first.send([SLICE])
    packets += viewer.collect(1, "picture of the first camera")
    other = [stap_a(b"\x67\x42\xe0\x1e", PPS), *fu_a(b"\x65" + bytes(150), 40)]
    second.send(other)
    packets += viewer.collect(len(other), "packets of the second camera")
    first.send([SLICE])
    wait_for(lambda: packets_of(engine, FIRST) == len(KEY_PICTURE) + 2, "the first camera, no longer wanted")
    second.send(fu_a(SLICE, 30))
    packets += viewer.collect(2, "packets of the second camera")
    assert [p.payload for p in packets] == [*KEY_PICTURE, SLICE, *other, *fu_a(SLICE, 30)]
    assert in_one_line(packets)
    assert (viewer.rejected, engine.stats()["sinks"][SINK]["switches"]) == (0, 1)


def test_a_slot_goes_from_vp8_to_h264_and_back(engine: _native.Engine) -> None:
    pictures, camera, viewer = Camera(engine, 1, PICTURES), Camera(engine, 2, FIRST), watch(engine)
    engine.route(SINK, PICTURES)
    pictures.send([vp8(500, 40, key=True)], VP8_IN)
    pictures.send([vp8(501, 41, key=False)], VP8_IN)
    packets = viewer.collect(2)
    engine.route(SINK, FIRST)
    camera.send(KEY_PICTURE)
    camera.send([SLICE])
    packets += viewer.collect(len(KEY_PICTURE) + 1)
    engine.route(SINK, PICTURES)
    wait_for(pictures.asked, "a key frame request")
    pictures.send([vp8(777, 90, key=True)], VP8_IN)
    packets += viewer.collect(1)
    types = [p.payload_type for p in packets]
    assert types == [VP8_OUT] * 2 + [H264_OUT] * (len(KEY_PICTURE) + 1) + [VP8_OUT]
    assert in_one_line(packets)
    assert viewer.rejected == 0
    numbers = [read_vp8(p.payload)[:2] for p in packets if p.payload_type == VP8_OUT]
    base = numbers[0]
    assert [(n[0] - base[0], (n[1] - base[1]) & 255) for n in numbers] == [(0, 0), (1, 1), (2, 2)]
    assert engine.stats()["sinks"][SINK]["switches"] == 2


def test_a_source_may_change_its_codec_at_a_key_frame(engine: _native.Engine) -> None:
    camera, viewer = Camera(engine, 1, FIRST), watch(engine)
    engine.route(SINK, FIRST)
    camera.send([vp8(1, 1, key=True)], VP8_IN)
    camera.send(KEY_PICTURE)
    packets = viewer.collect(1 + len(KEY_PICTURE))
    assert [p.payload_type for p in packets] == [VP8_OUT] + [H264_OUT] * len(KEY_PICTURE)
    assert (engine.keyframe(FIRST) or ("", b""))[0] == "h264"
    wait_for(partial(happened, engine, [], "started", FIRST, "h264"), "the new codec")


def test_a_lost_fragment_is_repaired_under_the_h264_repair_type(engine: _native.Engine) -> None:
    camera, viewer = Camera(engine, 1, FIRST), watch(engine)
    engine.route(SINK, FIRST)
    camera.send(KEY_PICTURE)
    packets = viewer.collect(len(KEY_PICTURE))
    viewer.send_rtcp(nack(OUT_SSRC, packets[1].seq))
    repair = viewer.collect(1, "repair")[0]
    assert (repair.payload_type, repair.ssrc) == (103, OUT_RTX)
    assert repair.payload == struct.pack("!H", packets[1].seq) + KEY_PICTURE[1]
