"""ICE-TCP (RFC 6544): a call over streams, and streams that want something else."""

import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest

from media import _native
from tests.media.native_peer import Peer, close_all, counters, wait_for
from tests.media.native_relay import SOURCE, count, frame, happened, running, wire
from tests.media.native_stream import StreamPeer, adopted, connection, ended, framed


@pytest.fixture(autouse=True)
def sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def engine() -> Iterator[_native.Engine]:
    with running() as found:
        yield found


def test_a_call_crosses_two_streams_like_two_datagram_sockets(engine: _native.Engine) -> None:
    sender, viewer = StreamPeer(engine, 1), StreamPeer(engine, 2)
    wire(engine, sender, viewer)
    for number in range(50):
        sender.send_rtp(frame(number, key=number == 0))
    packets = viewer.collect(50)
    assert [p.seq - packets[0].seq for p in packets] == list(range(50))
    seen = counters(engine)
    assert (seen["streams_now"], seen["streams_opened"]) == (2, 2)


def test_a_stream_and_a_datagram_socket_meet(engine: _native.Engine) -> None:
    sender, viewer = Peer(engine, 1), StreamPeer(engine, 2)
    wire(engine, sender, viewer)
    sender.send_rtp(frame(0, key=True))
    assert len(viewer.collect(1)) == 1


def test_frames_may_come_in_any_pieces(engine: _native.Engine) -> None:
    peer = StreamPeer(engine, 1)
    stream = peer.cut.stream
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in framed(peer.check()) + framed(b""):
        stream.sendall(bytes([octet]))
    assert peer.receive()[:2] == b"\x01\x01"


def test_a_frame_longer_than_media_ends_the_stream_and_nothing_else(engine: _native.Engine) -> None:
    sender, viewer = StreamPeer(engine, 1), StreamPeer(engine, 2)
    wire(engine, sender, viewer)
    rogue = adopted(engine)
    rogue.sendall(struct.pack("!H", 2049))
    assert ended(rogue)
    assert counters(engine)["streams_broken"] == 1
    sender.send_rtp(frame(0, key=True))
    assert len(viewer.collect(1)) == 1


def test_a_closed_stream_takes_its_path_with_it(engine: _native.Engine) -> None:
    peer = StreamPeer(engine, 1)
    peer.connect()
    assert engine.stats()["transports"][1]["paths_now"] == 1
    peer.cut.stream.close()
    wait_for(lambda: engine.stats()["transports"][1]["paths_now"] == 0, "the path to be forgotten")
    assert counters(engine)["streams_now"] == 0


def test_a_stranger_makes_room_and_a_peer_does_not() -> None:
    with running(max_streams=3, streams_per_address=2) as engine:
        peer = StreamPeer(engine, 1)
        peer.connect()
        first = adopted(engine)
        wait_for(lambda: counters(engine)["streams_now"] == 2, "both")
        second = adopted(engine)
        assert ended(first), "the older stranger of the same address goes"
        other = StreamPeer(engine, 2)
        assert ended(second)
        other.connect()
        assert ended(adopted(engine)), "no strangers are left to go"
        wait_for(count(engine, "streams_refused"), "the refusal to be counted")
        assert counters(engine)["streams_now"] == 2


def test_what_is_no_connected_stream_is_an_error(engine: _native.Engine) -> None:
    lonely = socket.socket()
    spare = os.open("/dev/null", os.O_RDONLY)
    try:
        for fd in (-1, 1 << 20, spare, lonely.fileno()):
            with pytest.raises(OSError):
                engine.adopt_stream(fd)
    finally:
        lonely.close()
        os.close(spare)


def test_a_controlling_transport_checks_its_peer_on_the_stream_it_dialled(engine: _native.Engine) -> None:
    engine.add_transport(
        1,
        local_ufrag="ours",
        local_pwd="p" * 24,
        remote_ufrag="them",
        remote_pwd="q" * 24,
        controlling=True,
    )
    theirs, ours = connection()
    engine.dial_stream(1, ours.fileno())
    ours.close()
    seen = b""
    while b"them:ours" not in seen:
        assert select.select([theirs], [], [], 30)[0], "no check came"
        seen += theirs.recv(65_536)
    assert seen[2:4] == b"\x00\x01", "a binding request"
    assert seen[6:10] == b"\x21\x12\xa4\x42"


def test_a_stream_is_dialled_for_a_transport_there_is(engine: _native.Engine) -> None:
    ours, _ = connection()
    with pytest.raises(ValueError, match="7"):
        engine.dial_stream(7, ours.fileno())


def test_the_caller_keeps_its_own_descriptor(engine: _native.Engine) -> None:
    ours, theirs = connection()
    engine.adopt_stream(theirs.fileno())
    assert theirs.getpeername() == ours.getsockname()


def test_a_viewer_that_reads_nothing_costs_pictures_of_its_own_only() -> None:
    with running(packet_rate=1_000_000, source_rate=1_000_000) as engine:
        sender, stuck, other = Peer(engine, 1), StreamPeer(engine, 2), Peer(engine, 3)
        wire(engine, sender, stuck)
        other.connect()
        engine.add_sink(
            21, 3, kind="video", mid=None, ssrc=7, rtx_ssrc=None, cname="other", codecs=[("vp8", 100, None)]
        )
        engine.route(21, SOURCE)
        sent, got = 0, 0
        while not counters(engine)["drop_stalled_video"]:
            assert sent < 50_000, "it has to be full at some time"
            for _ in range(50):
                packet = frame(sent, key=sent == 0)
                packet.payload += bytes(900)
                sender.send(sender.sender.protect(bytes(packet)))
                sent += 1
            got += len(other.collect(sent - got))
        assert got == sent, "the other has every picture"


def test_the_engine_moves_to_a_stream_and_back(engine: _native.Engine) -> None:
    peer = Peer(engine, 1)
    peer.connect()
    events: list[_native.Event] = []
    stream = adopted(engine)
    stream.sendall(framed(peer.check()))
    host, port = stream.getsockname()
    wait_for(lambda: happened(engine, events, "nominated", 1, host, port), "the stream to be used")
    engine.send_dtls(1, b"\x16over the stream")
    seen = b""
    while b"over the stream" not in seen:
        assert select.select([stream], [], [], 5)[0]
        seen += stream.recv(65_536)
    stream.close()
    wait_for(lambda: engine.stats()["transports"][1]["paths_now"] == 1, "its path to be forgotten")
    engine.send_dtls(1, b"\x16by datagram")
    wait_for(lambda: peer.receive() == b"\x16by datagram", "the datagram")
