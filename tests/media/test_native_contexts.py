"""How many SSRCs a peer may use: all that were declared, and a few that were not."""

import struct
from collections.abc import Iterator
from functools import partial

import pytest

from media import _native
from tests.media.native_peer import Peer, Rtp, close_all, counters, read_vp8, resident_octets, vp8, wait_for
from tests.media.native_relay import add_video, arrived, running

TRACKS = 40
MAX_SSRCS = 16


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


def picture(track: int, number: int) -> bytes:
    return vp8(number, number, key=number == 0, body=b"track %d picture %d" % (track, number))


def link(engine: _native.Engine) -> tuple[Peer, Peer]:
    """A link that brings 40 tracks with repair SSRCs, and another that takes them on."""
    upper, lower = Peer(engine, 1), Peer(engine, 2)
    upper.connect()
    lower.connect()
    for track in range(TRACKS):
        ssrcs: list[tuple[int, int | None]] = [(1_000 + track, 2_000 + track)]
        engine.add_source(track, 1, kind="video", mid=None, ssrcs=ssrcs, rids=[], codecs=[(96, "vp8", 97)])
        engine.add_sink(
            track,
            2,
            kind="video",
            mid=None,
            ssrc=3_000 + track,
            rtx_ssrc=4_000 + track,
            cname="link",
            codecs=[("vp8", 100, 101)],
        )
        engine.route(track, track)
    return upper, lower


def all_heard(engine: _native.Engine, first: int) -> bool:
    """Whether every source from that id on has had a packet."""
    return all(source["packets"] for number, source in engine.stats()["sources"].items() if number >= first)


def test_forty_tracks_with_repair_cross_one_link() -> None:
    with running() as engine:
        upper, lower = link(engine)
        for number in (0, 2):
            for track in range(TRACKS):
                upper.send_rtp(Rtp(96, number, 3_000 * number, 1_000 + track, picture(track, number), True))
        packets = lower.collect(2 * TRACKS)
        for track in range(TRACKS):  # each second picture was lost and comes as its repair (RFC 4588)
            repair = struct.pack("!H", 1) + picture(track, 1)
            upper.send_rtp(Rtp(97, 7, 3_000, 2_000 + track, repair, True))
        packets += lower.collect(TRACKS, "repaired packets")
        got: dict[int, list[bytes]] = {}
        for packet in sorted(packets, key=lambda p: p.timestamp):
            got.setdefault(packet.ssrc, []).append(read_vp8(packet.payload)[2][1:])
        whole = {3_000 + t: {b"track %d picture %d" % (t, n) for n in range(3)} for t in range(TRACKS)}
        assert {ssrc: set(bodies) for ssrc, bodies in got.items()} == whole
        stats = engine.stats()
        assert (stats["transports"][1]["ssrcs_now"], stats["engine"]["drop_ssrc_cap"]) == (2 * TRACKS, 0)
        assert {source["recovered"] for source in stats["sources"].values()} == {1}


def test_beside_declared_ssrcs_sixteen_others_are_kept_and_little_memory() -> None:
    with running(packet_rate=10_000_000, source_rate=10_000_000) as engine:
        peer, _ = link(engine)
        for track in range(TRACKS):
            peer.send_rtp(Rtp(96, 0, 0, 1_000 + track, picture(track, 0), True))
        wait_for(lambda: engine.stats()["transports"][1]["ssrcs_now"] == TRACKS, "the declared tracks")
        before = resident_octets()
        for batch in range(100):
            base = counters(engine)["packets_in"]
            for at in range(1_000):
                packet = bytes(Rtp(96, 1, 1, 1_000_000 + 1_000 * batch + at, b"x"))
                # A tag only costs the sender; past the cap the engine does not look at it.
                peer.send(peer.sender.protect(packet) if batch == 0 and at < 40 else packet + bytes(16))
            wait_for(partial(arrived, engine, base + 1_000), "a thousand SSRCs")
        stats = engine.stats()
        assert stats["transports"][1]["ssrcs_now"] == TRACKS + MAX_SSRCS
        # On a machine so slow that ten seconds pass, the idle ones' room is offered and not taken.
        refused = stats["engine"]["drop_ssrc_cap"] + stats["engine"]["drop_srtp_auth"]
        assert refused == 100_000 - MAX_SSRCS
        assert resident_octets() - before < 10 << 20


def test_what_a_dropped_source_declared_makes_room_and_can_come_again() -> None:
    with running() as engine:
        peer = Peer(engine, 1)
        peer.connect()
        for round_ in range(3):
            for track in range(TRACKS):
                add_video(engine, 100 * round_ + track, 1, 1_000 + track)
            for track in range(TRACKS):
                peer.send_rtp(Rtp(96, round_, 0, 1_000 + track, picture(track, 0), True))
            first = 100 * round_
            wait_for(partial(all_heard, engine, first), "a packet of each source")
            for track in range(TRACKS):
                engine.drop_source(first + track)
            wait_for(lambda: not engine.stats()["transports"][1]["ssrcs_now"], "room")
        assert counters(engine)["drop_ssrc_cap"] == 0
