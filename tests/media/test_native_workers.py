"""Several workers behind one port: nobody outside can tell."""

import itertools
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from media import _native
from tests.media.native_peer import GCM, Peer, close_all, counters, nack, open_udp, pli, vp8, wait_for
from tests.media.native_relay import (
    OUT_RTX,
    OUT_SSRC,
    SINK,
    SOURCE,
    add_video,
    arrived,
    count,
    frame,
    relay,
    running,
    wire,
)
from tests.media.native_stream import StreamPeer

VIEWERS = 8
PLI = (206, 1)


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture(params=[1, 2, 3])
def engine(request: pytest.FixtureRequest) -> Iterator[_native.Engine]:
    with running(workers=request.param) as found:
        yield found


def settle(engine: _native.Engine) -> None:
    """Wait until the viewers' workers have asked the sender's for its packets, and it knows."""
    engine.stats()
    engine.stats()


def watch(engine: _native.Engine, transport: int) -> Peer:
    """One more viewer of the source."""
    viewer = Peer(engine, transport, profile=GCM, extensions=())
    viewer.connect()
    engine.add_sink(
        SINK + transport,
        transport,
        kind="video",
        mid=None,
        ssrc=OUT_SSRC,
        rtx_ssrc=None,
        cname="slot",
        codecs=[("vp8", 100, None)],
    )
    engine.route(SINK + transport, SOURCE)
    settle(engine)
    return viewer


def test_every_viewer_gets_every_picture_whatever_worker_it_is_on(engine: _native.Engine) -> None:
    sender, first = relay(engine)
    viewers = [first, *(watch(engine, transport) for transport in range(3, 2 + VIEWERS))]
    for number in range(30):
        sender.send_rtp(frame(number, key=number == 0))
    for viewer in viewers:
        packets = viewer.collect(30)
        assert [p.seq - packets[0].seq for p in packets] == list(range(30))
    stats = engine.stats()
    assert stats["sources"][SOURCE]["sinks_now"] == VIEWERS
    assert stats["engine"]["sources_now"] == 1
    assert stats["engine"]["sinks_now"] == len(stats["sinks"]) == VIEWERS
    assert stats["engine"]["drop_unverified_srtp"] == stats["engine"]["drop_crossing_video"] == 0
    workers = stats["workers"]
    assert (stats["engine"]["crossed_packets"] > 0) == (len(workers) > 1)
    assert all(worker["sinks_now"] > 0 and worker["packets_forwarded"] > 0 for worker in workers.values())
    for name in ("sinks_now", "transports_now", "packets_forwarded", "crossed_packets"):
        assert sum(worker[name] for worker in workers.values()) == stats["engine"][name]


def crowd(engine: _native.Engine, group: str, first: int, count: int) -> list[int]:
    """Add transports of one group.  Returns how many of all there are on each worker."""
    for number in range(first, first + count):
        engine.add_transport(
            number,
            local_ufrag=f"us{number}",
            local_pwd="password-of-the-engine",
            remote_ufrag=f"them{number}",
            remote_pwd="password-of-the-peer",
            controlling=False,
            group=group,
        )
    return [worker["transports_now"] for worker in engine.stats()["workers"].values()]


def test_who_meets_is_on_one_worker_until_it_has_enough() -> None:
    with running(workers=2) as engine:
        assert sorted(crowd(engine, "small", 1, 10)) == [0, 10]
        assert sorted(crowd(engine, "another", 11, 10)) == [10, 10]
        assert sorted(crowd(engine, "large", 21, 48)) == [10, 58]
        assert sorted(crowd(engine, "large", 69, 20)) == [30, 58], "one conference has both"
        for number in range(1, 89):
            engine.drop_transport(number)
        assert sorted(crowd(engine, "large", 89, 5)) == [0, 5]


def test_transports_of_no_group_are_spread_evenly() -> None:
    with running(workers=3) as engine:
        assert crowd(engine, "", 1, 9) == [3, 3, 3]


def test_a_nack_is_answered_by_the_viewers_own_worker(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    for number in range(5):
        sender.send_rtp(frame(number, key=number == 0))
    packets = viewer.collect(5)
    viewer.send_rtcp(nack(OUT_SSRC, packets[2].seq))
    (again,) = viewer.collect(1)
    assert (again.ssrc, again.payload[:2]) == (OUT_RTX, packets[2].seq.to_bytes(2))
    assert again.payload[2:] == packets[2].payload


def test_a_wish_for_a_key_frame_reaches_the_sender_from_any_worker(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    sender.take()
    asked = len(sender.feedback(*PLI))
    viewer.send_rtcp(pli(OUT_SSRC))

    def again() -> bool:
        sender.take()
        return len(sender.feedback(*PLI)) > asked

    wait_for(again, "the wish")


def test_every_workers_clock_can_be_read(engine: _native.Engine) -> None:
    sender, first = relay(engine)
    viewers = [first, *(watch(engine, transport) for transport in range(3, 2 + VIEWERS))]
    before = engine.worker_cpu_ns()
    assert len(before) == engine.stats()["engine"]["workers_now"]
    for number in range(50):
        sender.send_rtp(frame(number, key=number == 0))
    for viewer in viewers:
        viewer.collect(50)
    assert all(used > past for past, used in zip(before, engine.worker_cpu_ns(), strict=True))


def test_senders_and_viewers_come_and_go_on_every_worker(engine: _native.Engine) -> None:
    for turn in range(4):
        sender, viewer = relay(engine)
        sender.send_rtp(frame(turn, key=True))
        assert len(viewer.collect(1)) == 1
        engine.drop_transport(1)
        engine.drop_transport(2)
        left = counters(engine)
        assert (left["transports_now"], left["sources_now"], left["sinks_now"]) == (0, 0, 0)


def test_a_datagram_from_nobody_is_counted_once(engine: _native.Engine) -> None:
    sender, _ = relay(engine)
    before = count(engine, "drop_unverified_srtp")()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(20):
            stranger.sendto(bytes([0x80, 96]) + bytes(40), ("127.0.0.1", engine.port))
        wait_for(lambda: arrived(engine, 20), "the stranger's datagrams")
    wait_for(lambda: count(engine, "drop_unverified_srtp")() >= before + 20, "all to be counted")
    sender.send_rtp(frame(0, key=True))


def test_what_a_peer_sends_comes_to_its_own_worker_once_the_kernel_knows_whose_it_is(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    crossed = count(engine, "crossed_datagrams")
    numbers = itertools.count()

    def none_crosses() -> bool:
        before = crossed()
        sender.send_rtp(frame(next(numbers), key=True))
        viewer.collect(1)
        return crossed() == before

    wait_for(lambda: all(none_crosses() for _ in range(20)), "the kernel to know")
    assert count(engine, "steerings_refused")() == 0


def test_a_port_that_is_taken_is_refused_however_many_workers_share_it(engine: _native.Engine) -> None:
    with pytest.raises(OSError, match="in use"):
        _native.Engine(["127.0.0.1"], engine.port, workers=2)


def rename(engine: _native.Engine, peer: Peer, ufrag: str) -> None:
    """Restart ICE and let the peer know."""
    peer.local = (ufrag, peer.local[1])
    engine.restart_ice(
        peer.number,
        local_ufrag=ufrag,
        local_pwd=peer.local[1],
        remote_ufrag=peer.remote[0],
        remote_pwd=peer.remote[1],
    )


def test_a_restarted_transport_is_found_by_its_new_name_from_any_worker(engine: _native.Engine) -> None:
    peers = [Peer(engine, number) for number in range(1, 5)]
    for peer in peers:
        peer.connect()
    for turn in range(2):
        for peer in peers:
            rename(engine, peer, f"again{turn}of{peer.number}")
            peer.socket = open_udp()
            peer.connect()
    for peer in peers:
        newcomer = Peer(engine, 10 + peer.number)
        rename(engine, newcomer, f"us{peer.number}")
        newcomer.connect()
    with pytest.raises(_native.EngineError, match="in use"):
        rename(engine, peers[0], peers[1].local[0])
    assert count(engine, "drop_stun_ufrag")() == 0


def test_calls_over_streams_and_datagrams_meet_on_any_worker(engine: _native.Engine) -> None:
    sender, first = StreamPeer(engine, 1), StreamPeer(engine, 2)
    wire(engine, sender, first)
    viewers = [first, *(watch(engine, transport) for transport in range(3, 6))]
    for number in range(20):
        sender.send_rtp(frame(number, key=number == 0))
    for viewer in viewers:
        assert len(viewer.collect(20)) == 20
    for peer in (sender, first):
        peer.cut.stream.close()
        wait_for(lambda on=peer.number: engine.stats()["transports"][on]["paths_now"] == 0, "the path to be forgotten")
    assert count(engine, "drop_unverified_srtp")() == 0


def test_a_source_lives_on_after_its_first_viewers_worker_forgot_it(engine: _native.Engine) -> None:
    sender, viewer = relay(engine)
    sender.send_rtp(frame(0, key=True))
    viewer.collect(1)
    engine.route(SINK, None)
    add_video(engine, SOURCE + 1, 1, 4444)
    engine.route(SINK, SOURCE + 1)
    sender.send_rtp(frame(0, key=True, ssrc=4444))
    viewer.collect(1)
    engine.drop_source(SOURCE + 1)
    engine.route(SINK, SOURCE)
    sender.send_rtp(replace(frame(1, key=True), payload=vp8(101, 1, key=True, body=b"again")))
    # The key frame before may come first: its worker still has it.
    wait_for(lambda: any(packet.payload.endswith(b"again") for packet in viewer.take()), "the source again")
