"""The packet engine over real sockets: who is answered, what is forwarded, and what is not."""

import itertools
import secrets
import select
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from media import _native
from media.engine import Engine
from tests.media.native_peer import (
    CM,
    GCM,
    Peer,
    Profile,
    Rtp,
    attribute,
    binding_request,
    close_all,
    counters,
    nack,
    open_udp,
    pli,
    read_vp8,
    receiver_report,
    resident_octets,
    wait_for,
)
from tests.media.native_relay import (
    IN_SSRC,
    MID,
    OUT_RTX,
    OUT_SSRC,
    SEND_TIME,
    SINK,
    SOURCE,
    TWCC,
    add_video,
    arrived,
    count,
    frame,
    happened,
    relay,
    running,
)


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def engine() -> Iterator[_native.Engine]:
    with running() as found:
        yield found


@pytest.mark.parametrize("profile", [GCM, CM])
def test_a_packet_crosses_with_its_numbers_rewritten(engine: _native.Engine, profile: Profile) -> None:
    sender, viewer = relay(engine, profile)
    for number in range(20):
        sender.send_rtp(frame(number, key=number == 0))
    packets = viewer.collect(20)
    assert {(p.payload_type, p.ssrc, p.marker) for p in packets} == {(100, OUT_SSRC, True)}
    assert [p.seq - packets[0].seq for p in packets] == list(range(20))
    assert [(p.timestamp - packets[0].timestamp) & 0xFFFFFFFF for p in packets] == [3000 * n for n in range(20)]
    assert [read_vp8(p.payload)[2] for p in packets[:2]] == [b"\x00picture", b"\x01picture"]
    assert all(dict(p.extensions)[4] == b"v1" and SEND_TIME in dict(p.extensions) for p in packets)
    assert (viewer.rejected, packets[0].ssrc == IN_SSRC) == (0, False)


def test_ipv6_is_served_like_ipv4() -> None:
    with running("::1") as engine:
        peer = Peer(engine, 1, host="::1")
        peer.send(peer.check())
        assert peer.receive()[:2] == b"\x01\x01"


def test_nothing_is_forwarded_before_keys_or_from_an_unverified_address(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    stranger = open_udp()
    stranger.sendto(sender.sender.protect(bytes(frame(0, key=True))), sender.address)
    wait_for(count(engine, "drop_unverified_srtp"), "the stranger's packet to be counted")
    late = Peer(engine, 3)
    late.send(late.check())
    late.receive()
    late.send_rtp(frame(1, key=True))
    wait_for(count(engine, "drop_no_keys"), "the keyless packet to be counted")
    assert counters(engine)["packets_forwarded"] == 0
    assert viewer.take() == []


def test_dtls_comes_up_only_from_a_verified_path(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    hello = bytes([22, 254, 253]) + bytes(30)
    peer.send(hello)
    wait_for(count(engine, "drop_unverified_dtls"), "the early hello to be counted")
    peer.send(peer.check())
    peer.receive()
    peer.send(hello)
    ip, port = peer.socket.getsockname()
    events: list[_native.Event] = []
    wait_for(lambda: happened(engine, events, "dtls"), "the datagram")
    assert events == [("path", 1, ip, port), ("nominated", 1, ip, port), ("dtls", 1, hello)]
    engine.send_dtls(1, b"\x16answer")
    assert peer.receive() == b"\x16answer"


def test_the_event_descriptor_is_readable_while_events_wait(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    assert select.select([engine.event_fd()], [], [], 0)[0] == []
    peer.send(peer.check())
    assert select.select([engine.event_fd()], [], [], 5)[0]
    assert len(engine.poll_events(limit=1)) == 1
    assert select.select([engine.event_fd()], [], [], 0)[0], "one event is left"
    engine.poll_events()
    assert select.select([engine.event_fd()], [], [], 0)[0] == []


def unauthentic(peer: Peer) -> dict[str, bytes]:
    good = peer.check()
    return {
        "drop_stun_integrity": binding_request(peer.username, "not-the-password"),
        "drop_stun_ufrag": binding_request("nobody:them1", peer.local[1]),
        "drop_stun_cookie": peer.check(cookie=0x12345678),
        "drop_stun_fingerprint": good[:-4] + bytes(4),
        "drop_stun_malformed": good + b"\0\0\0\0",
        "drop_stun_response": b"\x01\x01" + good[2:-8] + good[-8:-4] + bytes(4),
    }


def test_an_unauthenticated_check_is_counted_and_never_answered(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    for reason, datagram in unauthentic(peer).items():
        before = counters(engine)
        peer.send(datagram)
        wait_for(partial(arrived, engine, before["packets_in"] + 1), reason)
        after = counters(engine)
        dropped = {name for name in after if name.startswith("drop_") and after[name] > before[name]}
        expected = "drop_stun_fingerprint" if reason == "drop_stun_response" else reason
        assert dropped == {expected}
        assert after["bytes_out"] == before["bytes_out"]
    assert engine.poll_events() == []


def test_a_wrong_role_or_unknown_attribute_is_refused_without_verifying_the_path(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    peer.send(peer.check(role=0x8029))
    assert peer.receive()[:2] == b"\x01\x11"
    peer.send(peer.check(extra=attribute(0x7FFF, b"what")))
    assert peer.receive()[:2] == b"\x01\x11"
    assert engine.poll_events() == []


def test_a_strangers_traffic_never_grows_on_its_way_back(engine: _native.Engine) -> None:
    relay(engine)
    before = counters(engine)
    stranger = open_udp()
    for times, size in enumerate((0, 1, 20, 28, 100, 1200), 1):
        for first in range(256):
            stranger.sendto((bytes([first]) + secrets.token_bytes(size))[:size], ("127.0.0.1", engine.port))
        wait_for(partial(arrived, engine, before["packets_in"] + 256 * times), "all of it to arrive")
    assert select.select([stranger], [], [], 0)[0] == []


@pytest.mark.parametrize("from_peer", [True, False], ids=["peer", "stranger"])
def test_no_datagram_of_any_size_or_first_octet_ends_a_call(engine: _native.Engine, from_peer: bool) -> None:
    sender, viewer = relay(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    other = open_udp()
    rogue = sender.socket if from_peer else other
    for size in (0, 1, 2, 3, 11, 12, 19, 20, 65_507):
        before = counters(engine)["packets_in"]
        for first in range(256):
            rogue.sendto((bytes([first]) + secrets.token_bytes(size))[:size], sender.address)
            if size > 60_000 and first % 16 == 15:
                wait_for(partial(arrived, engine, before + first + 1), "large datagrams")
        wait_for(partial(arrived, engine, before + 256), f"{size}-octet datagrams")
    sender.send_rtp(frame(1))
    assert len(viewer.collect(1)) == 1
    assert counters(engine)["packets_forwarded"] == 2


def test_forged_media_and_control_with_the_right_ssrc_change_nothing(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    forger = Peer(engine, 3)  # its own session keys: wrong ones for everybody else
    for number in range(50):
        sender.send(forger.sender.protect(bytes(frame(number, key=True))))
        viewer.send(forger.sender.protect_rtcp(pli(OUT_SSRC)))
        sender.send(forger.sender.protect_rtcp(receiver_report() + struct.pack("!BBHI", 0x81, 203, 1, IN_SSRC)))
    wait_for(lambda: counters(engine)["drop_srtp_auth"] == 50, "50 forged packets")
    wait_for(lambda: counters(engine)["drop_srtcp_auth"] == 100, "100 forged reports")
    stats = engine.stats()
    assert stats["engine"]["packets_forwarded"] == 0
    assert stats["sinks"][SINK]["plis_received"] == 0
    sender.send_rtp(frame(60, key=True))
    assert len(viewer.collect(1)) == 1


def test_a_replayed_packet_is_forwarded_once(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    datagram = sender.sender.protect(bytes(frame(0, key=True)))
    for _ in range(3):
        sender.send(datagram)
    wait_for(lambda: counters(engine)["drop_replay"] == 2, "two replays")
    assert len(viewer.collect(1)) == 1


def test_an_ssrc_belongs_to_its_transport(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    other = Peer(engine, 3)
    other.connect()
    other.send_rtp(frame(0, key=True))
    wait_for(count(engine, "drop_unbound"), "the other's packet to be counted")
    sender.send_rtp(frame(0, key=True))
    assert len(viewer.collect(1)) == 1
    assert counters(engine)["packets_forwarded"] == 1


def test_a_hundred_thousand_ssrcs_leave_sixteen_and_little_memory() -> None:
    with running(packet_rate=10_000_000, source_rate=10_000_000) as engine:
        bring_many_ssrcs(engine)


def bring_many_ssrcs(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    peer.connect()
    before = resident_octets()
    for batch in range(100):
        base = counters(engine)["packets_in"]
        for at in range(1000):
            packet = bytes(Rtp(96, 1, 1, 1_000_000 + 1000 * batch + at, b"x"))
            # A tag only costs the sender; past the cap the engine does not look at it.
            peer.send(peer.sender.protect(packet) if batch == 0 and at < 40 else packet + bytes(16))
        wait_for(partial(arrived, engine, base + 1000), "a thousand SSRCs")
    stats = engine.stats()
    assert stats["transports"][1]["ssrcs_now"] == 16
    # On a machine so slow that ten seconds pass, the idle ones' room is offered and not taken.
    assert stats["engine"]["drop_ssrc_cap"] + stats["engine"]["drop_srtp_auth"] == 100_000 - 16
    assert resident_octets() - before < 10 << 20


def test_a_switch_waits_for_a_keyframe_and_is_seamless(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    second = Peer(engine, 3)
    second.connect()
    add_video(engine, 11, 3, 3333)
    began = time.monotonic()
    sender.send_rtp(frame(0, key=True))
    sender.send_rtp(frame(1))
    before = viewer.collect(2)
    second.send_rtp(frame(70, ssrc=3333, first_picture=30_000))
    wait_for(lambda: 11 in engine.stats()["sources"] and engine.stats()["sources"][11]["packets"] == 1, "a packet")
    engine.route(SINK, 11)
    wait_for(lambda: (second.take(), second.feedback(206, 1))[1], "a keyframe request")
    second.send_rtp(frame(71, ssrc=3333, first_picture=30_000))
    sender.send_rtp(frame(2))
    before += viewer.collect(1, "packet of the old source")
    second.send_rtp(frame(72, key=True, ssrc=3333, first_picture=30_000))
    after = viewer.collect(1, "packet of the new source")
    sender.send_rtp(frame(3))
    second.send_rtp(frame(73, ssrc=3333, first_picture=30_000))
    after += viewer.collect(1)
    packets = before + after
    assert [(p.seq - packets[0].seq) & 0xFFFF for p in packets] == [0, 1, 2, 3, 4]
    pictures = [read_vp8(p.payload)[0] for p in packets]
    assert [p - pictures[0] for p in pictures] == [0, 1, 2, 3, 4]
    assert [read_vp8(p.payload)[2][:1] for p in after] == [b"\x00", b"\x01"]
    jump = (after[0].timestamp - before[-1].timestamp) & 0xFFFFFFFF
    assert 0 < jump < 90_000 * (1 + time.monotonic() - began), "time goes on, by as much as has passed"
    assert engine.stats()["sinks"][SINK]["switches"] == 1
    assert viewer.rejected == 0


def test_a_paused_slot_gets_nothing_and_resumes_at_a_keyframe(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    sender.send_rtp(frame(0, key=True))
    first = viewer.collect(1)[0]
    engine.route(SINK, None)
    sender.send_rtp(frame(1))
    wait_for(lambda: engine.stats()["sources"][SOURCE]["packets"] == 2, "the second packet")
    assert viewer.take() == []
    engine.request_keyframe(SOURCE)
    engine.route(SINK, SOURCE)
    sender.send_rtp(frame(2, key=True))
    again = viewer.collect(1)[0]
    assert (again.seq - first.seq) & 0xFFFF in (1, 2, 3)


@pytest.mark.parametrize("rtx", [True, False], ids=["rtx", "plain"])
@pytest.mark.parametrize("profile", [GCM, CM])
def test_a_nack_is_answered_from_the_cache(engine: _native.Engine, profile: Profile, rtx: bool) -> None:
    sender, viewer = relay(engine, profile, rtx=rtx)
    for number in range(5):
        sender.send_rtp(frame(number, key=number == 0))
    packets = viewer.collect(5)
    raw = viewer.receiver
    viewer.receiver = viewer.keys.session(viewer.keys.tx, 2)  # a fresh window, so that a plain repeat is accepted
    viewer.send_rtcp(nack(OUT_SSRC, packets[2].seq, mask=0b1))
    repeats = viewer.collect(2, "repeats")
    assert raw is not viewer.receiver
    if rtx:
        assert {(p.ssrc, p.payload_type) for p in repeats} == {(OUT_RTX, 101)}
        assert [struct.unpack("!H", p.payload[:2])[0] for p in repeats] == [packets[2].seq, packets[3].seq]
        assert [p.payload[2:] for p in repeats] == [packets[2].payload, packets[3].payload]
    else:
        assert repeats == packets[2:4], "octet for octet, or a GCM nonce would protect two contents"
    assert engine.stats()["sinks"][SINK]["retransmitted"] == 2


def asked_again(sender: Peer, packet_id: int) -> bool:
    """Whether a NACK names that packet first."""
    sender.take()
    return (IN_SSRC, packet_id) in [struct.unpack("!IH", part[8:14]) for part in sender.feedback(205, 1)]


def test_a_loss_is_asked_for_and_its_retransmission_forwarded(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    for losses in range(1, 6):  # a machine that stands still for a second is too late with its answer
        first = 5 * (losses - 1)
        for number in (0, 1, 3, 4):
            sender.send_rtp(frame(first + number, key=first + number == 0))
        viewer.collect(4)
        wait_for(partial(asked_again, sender, 502 + first), "a NACK")
        sender.send_rtp(frame(first + 2))
        assert read_vp8(viewer.collect(1)[0].payload)[1] == 3 + first
        stats = engine.stats()["sources"][SOURCE]
        if stats["recovered"]:
            break
    assert (stats["lost"], stats["recovered"]) == (losses, 1)


def asked_for(engine: _native.Engine, times: int) -> bool:
    """Whether so many keyframe requests have come from the viewer."""
    return bool(engine.stats()["sinks"][SINK]["plis_received"] == times)


def test_a_thousand_keyframe_requests_become_one(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    began = time.monotonic()
    for asked in range(1, 1001):
        viewer.send_rtcp(pli(OUT_SSRC))
        if asked % 100 == 0:
            wait_for(partial(asked_for, engine, asked), "a thousand requests")
    stats = engine.stats()
    seconds = time.monotonic() - began
    assert stats["sources"][SOURCE]["plis_sent"] <= 2 + 2 * seconds
    assert stats["engine"]["drop_pli_rate"] >= 996 - 4 * seconds


def test_a_flood_of_nacks_earns_no_more_than_what_was_sent(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    for number in range(100):
        sender.send_rtp(frame(number, key=number == 0))
    packets = viewer.collect(100)
    sent = counters(engine)["bytes_out"]
    for _ in range(200):
        for at in range(0, 100, 17):
            viewer.send_rtcp(nack(OUT_SSRC, packets[at].seq, mask=0xFFFF))
    expected = 200 * 6 * 17
    wait_for(lambda: engine.stats()["sinks"][SINK]["nacks_received"] == expected, "every NACK")
    assert counters(engine)["bytes_out"] - sent < 128 * 1024 + 2 * sent
    assert counters(engine)["drop_nack_rate"] > 0


def test_the_highest_simulcast_layer_is_forwarded_from_its_keyframe(engine: _native.Engine) -> None:
    sender = Peer(engine, 1, extensions=(("mid", MID), ("rid", 7), ("repaired_rid", 8)))
    viewer = Peer(engine, 2)
    sender.connect()
    viewer.connect()
    engine.add_source(SOURCE, 1, kind="video", mid="0", ssrcs=[], rids=["q", "h"], codecs=[(96, "vp8", 97)])
    engine.add_sink(
        SINK, 2, kind="video", mid=None, ssrc=OUT_SSRC, rtx_ssrc=None, cname="slot", codecs=[("vp8", 100, None)]
    )
    engine.route(SINK, SOURCE)

    def layer(rid: bytes, number: int, *, key: bool, named: bool = True) -> None:
        packet = frame(number, key=key, ssrc={b"q": 51, b"h": 52}[rid])
        packet.payload += rid
        packet.extensions = ((MID, b"0"), (7, rid)) if named else ()
        sender.send_rtp(packet)

    layer(b"q", 0, key=True)
    assert viewer.collect(1)[0].payload.endswith(b"q")
    layer(b"h", 0, key=False)
    numbers = itertools.count(1)

    def waits() -> bool:
        layer(b"h", next(numbers), key=False, named=False)
        return bool(engine.stats()["sinks"][SINK]["waiting_now"])

    wait_for(waits, "the higher layer to have come for long enough")
    layer(b"q", 1, key=False, named=False)
    assert viewer.collect(1)[0].payload.endswith(b"q")
    seen: list[Rtp] = []

    def switched() -> bool:
        layer(b"h", next(numbers), key=True, named=False)
        seen.extend(viewer.take())
        return any(packet.payload.endswith(b"h") for packet in seen)

    wait_for(switched, "the higher layer, from a keyframe of it on")
    layer(b"q", 2, key=False, named=False)
    layer(b"h", next(numbers), key=False, named=False)

    def goes_on() -> bool:
        seen.extend(viewer.take())
        return read_vp8(seen[-1].payload)[2][:1] == b"\x01"

    wait_for(goes_on, "pictures after the keyframe")
    assert {packet.payload[-1:] for packet in seen} == {b"h"}
    assert read_vp8(seen[0].payload)[2][:1] == b"\x00"


def test_audio_switches_at_once_and_levels_are_told(engine: _native.Engine) -> None:
    sender = Peer(engine, 1, extensions=(("audio_level", 1),))
    viewer = Peer(engine, 2, extensions=(("audio_level", 9),))
    sender.connect()
    viewer.connect()
    for source, ssrc in ((10, 61), (11, 62)):
        engine.add_source(
            source, 1, kind="audio", mid=None, ssrcs=[(ssrc, None)], rids=[], codecs=[(111, "opus", None)]
        )
    engine.add_sink(
        SINK, 2, kind="audio", mid=None, ssrc=OUT_SSRC, rtx_ssrc=None, cname="slot", codecs=[("opus", 109, None)]
    )
    engine.route(SINK, 10)
    sender.send_rtp(Rtp(111, 1, 960, 61, b"first", extensions=((1, bytes([0x80 | 20])),)))
    first = viewer.collect(1)[0]
    engine.route(SINK, 11)
    sender.send_rtp(Rtp(111, 900, 77_000, 62, b"other", extensions=((1, bytes([0x80 | 40])),)))
    other = viewer.collect(1)[0]
    assert (other.seq - first.seq) & 0xFFFF == 1
    assert other.payload == b"other"
    assert dict(first.extensions) == {9: bytes([0x80 | 20])}
    levels: dict[int, int] = {}

    def told() -> bool:
        for event in engine.poll_events():
            if event[0] == "levels":
                levels.update(event[1])
        return len(levels) == 2

    wait_for(told, "both levels")
    assert levels == {10: -20, 11: -40}


def test_twcc_feedback_and_reports_come_by_themselves(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    for number in range(10):
        packet = frame(number, key=number == 0)
        packet.extensions = ((TWCC, struct.pack("!H", number)),)
        sender.send_rtp(packet)
    viewer.collect(10)
    wait_for(lambda: (sender.take(), sender.feedback(205, 15))[1], "TWCC feedback")
    base, statuses = struct.unpack("!HH", sender.feedback(205, 15)[0][12:16])
    assert (base, statuses > 0) == (0, True)
    wait_for(lambda: (viewer.take(), viewer.feedback(200, 0))[1], "a sender report")
    ssrc = struct.unpack("!I", viewer.feedback(200, 0)[0][4:8])[0]
    assert ssrc == OUT_SSRC
    wait_for(lambda: (sender.take(), sender.feedback(201, 1))[1], "a receiver report")


def test_a_silent_peer_is_told_within_the_limit_and_again_when_alive() -> None:
    with running(silent_ms=200) as engine:
        peer = Peer(engine, 1)
        peer.send(peer.check())
        seen: list[_native.Event] = []
        wait_for(lambda: happened(engine, seen, "silent", 1), "silence")
        peer.send(peer.check())
        wait_for(lambda: happened(engine, seen, "alive", 1), "life")


def test_two_engines_join_over_a_link_and_pass_a_picture_on() -> None:
    with running() as upper, running() as lower:
        sender, _ = relay(lower)
        viewer = Peer(upper, 2)
        viewer.connect()
        child, parent = ("child", "child-password"), ("parent", "parent-password")
        ends = ((lower, child, parent, True), (upper, parent, child, False))
        up, down = secrets.token_bytes(28), secrets.token_bytes(28)
        for engine, (ufrag, pwd), (remote_ufrag, remote_pwd), controlling in ends:
            engine.add_transport(
                9,
                local_ufrag=ufrag,
                local_pwd=pwd,
                remote_ufrag=remote_ufrag,
                remote_pwd=remote_pwd,
                controlling=controlling,
                candidates=[("127.0.0.1", upper.port)] if controlling else [],
            )
            tx, rx = (up, down) if controlling else (down, up)
            engine.set_keys(9, GCM, rx_key=rx[:16], rx_salt=rx[16:], tx_key=tx[:16], tx_salt=tx[16:])
            if not controlling:
                wait_for(partial(happened, engine, [], "nominated", 9), "nomination")
        lower.add_sink(30, 9, kind="video", mid=None, ssrc=777, rtx_ssrc=None, cname="link", codecs=[("vp8", 96, None)])
        lower.route(30, SOURCE)
        add_video(upper, 40, 9, 777)
        upper.add_sink(
            50, 2, kind="video", mid=None, ssrc=888, rtx_ssrc=None, cname="slot", codecs=[("vp8", 100, None)]
        )
        upper.route(50, 40)
        wait_for(lambda: lower.stats()["transports"][9]["paths_now"] == 1, "the link")
        for number in range(3):
            sender.send_rtp(frame(number, key=number == 0))
        assert [p.ssrc for p in viewer.collect(3)] == [888, 888, 888]
        assert upper.keyframe(40) == ("vp8", b"\x00picture")


def test_wrong_ids_and_values_are_errors_of_the_call(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    calls: list[Callable[[], object]] = [
        lambda: Peer(engine, 1),
        lambda: engine.route(5, None),
        lambda: add_video(engine, 1, 77, 1),
        lambda: engine.request_keyframe(9),
        lambda: engine.keyframe(9),
        lambda: engine.strain(4),
        lambda: engine.strain(-1),
        lambda: engine.send_dtls(1, b""),
        lambda: engine.set_keys(1, GCM, rx_key=b"short", rx_salt=bytes(12), tx_key=bytes(16), tx_salt=bytes(12)),
        lambda: engine.set_keys(1, GCM, rx_key=bytes(16), rx_salt=bytes(14), tx_key=bytes(16), tx_salt=bytes(12)),
    ]
    for call in calls:
        with pytest.raises(_native.EngineError):
            call()
    engine.drop_transport(99)
    engine.drop_source(99)
    engine.drop_sink(99)
    assert peer.number == 1


def test_slots_and_transports_are_capped() -> None:
    with running(max_sinks=2, max_transports=1) as engine:
        peer = Peer(engine, 1)
        for sink in (1, 2, 3):
            arguments = {"kind": "audio", "mid": None, "ssrc": sink, "rtx_ssrc": None, "cname": "c"}
            if sink < 3:
                engine.add_sink(sink, 1, codecs=[("opus", 111, None)], **arguments)  # type: ignore[arg-type]
            else:
                with pytest.raises(_native.EngineError, match="limit 2"):
                    engine.add_sink(sink, 1, codecs=[("opus", 111, None)], **arguments)  # type: ignore[arg-type]
        with pytest.raises(_native.EngineError, match="limit 1"):
            Peer(engine, 2)
        peer.engine.drop_transport(1)
        Peer(engine, 2)


def test_a_closed_engine_says_so_and_closes_twice() -> None:
    engine = _native.Engine(["127.0.0.1"], 0)
    engine.close()
    engine.close()
    engine.drop_transport(1)
    with pytest.raises(_native.EngineError, match="closed"):
        engine.stats()
    assert engine.worker_cpu_ns() == []


def test_a_closed_engine_lets_go_of_its_descriptors_whoever_still_holds_it() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    held = Engine.open(["127.0.0.1"], 0)
    assert descriptors() > before
    held.close()
    assert descriptors() == before
    with pytest.raises(_native.EngineError, match="closed"):
        held.stats()


def test_workers_clocks_show_their_work_without_asking_them(engine: _native.Engine) -> None:
    sender, _ = relay(engine)
    before = engine.worker_cpu_ns()
    for number in range(50):
        sender.send_rtp(frame(number, key=number == 0))
    engine.stats()
    after = engine.worker_cpu_ns()
    assert len(after) == len(before) >= 1
    assert sum(after) > sum(before)


def test_dropping_everything_while_packets_fly_leaves_nothing(engine: _native.Engine) -> None:
    sender, _ = relay(engine)
    for number in range(50):
        sender.send_rtp(frame(number, key=number % 10 == 0))
        if number == 20:
            engine.drop_sink(SINK)
        if number == 30:
            engine.drop_source(SOURCE)
        if number == 40:
            engine.drop_transport(1)
            engine.drop_transport(2)
    stats = engine.stats()["engine"]
    assert (stats["transports_now"], stats["sources_now"], stats["sinks_now"]) == (0, 0, 0)
