"""Trains of datagrams: cut where they come in whole, sent one by one where the kernel refuses them."""

import os
import socket
import struct
from collections.abc import Iterator, Sequence

import pytest

from media import _native
from tests.media.native_peer import Peer, close_all, counters, wait_for
from tests.media.native_relay import frame, happened, relay, running

UDP_SEGMENT = 103
SO_NO_CHECK = 11  # who sends without checksums may not have the kernel cut trains


@pytest.fixture(autouse=True)
def _sockets() -> Iterator[None]:
    yield
    close_all()


def send_train(sender: Peer, numbers: Sequence[int]) -> None:
    """Send frames of one size as one message that the kernel cuts, unless it reaches a socket that takes it whole."""
    packets = [sender.sender.protect(bytes(frame(number))) for number in numbers]
    size = struct.pack("H", len(packets[0]))
    sender.socket.sendmsg([b"".join(packets)], [(socket.IPPROTO_UDP, UDP_SEGMENT, size)], 0, sender.address)


def handles(engine: _native.Engine) -> Iterator[socket.socket]:
    """Further handles on the engine's own UDP sockets."""
    for name in os.listdir("/proc/self/fd"):
        try:
            fd = os.dup(int(name))
        except OSError:  # the listing's own descriptor, closed by now
            continue
        try:
            found = socket.socket(fileno=fd)
        except OSError:  # no socket
            os.close(fd)
            continue
        with found:
            udp = (found.family, found.type) == (socket.AF_INET, socket.SOCK_DGRAM)
            if udp and found.getsockname()[1] == engine.port:
                yield found


def test_a_train_comes_in_as_the_datagrams_it_was_sent_as() -> None:
    with running() as engine:
        sender, viewer = relay(engine)
        sender.send_rtp(frame(0, key=True))
        viewer.collect(1)
        before = counters(engine)["packets_in"]
        send_train(sender, range(1, 5))
        found = viewer.collect(4)
        assert len({packet.timestamp for packet in found}) == 4
        assert counters(engine)["packets_in"] - before == 4


def test_where_the_kernel_refuses_trains_every_datagram_is_sent_and_it_is_told_once() -> None:
    with running() as engine:
        sender, viewer = relay(engine)
        sender.send_rtp(frame(0, key=True))
        viewer.collect(1)
        own = 0
        for handle in handles(engine):
            handle.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
            own += 1
        assert own > 0
        send_train(sender, range(1, 5))
        viewer.collect(4)
        send_train(sender, range(5, 9))
        viewer.collect(4)
        assert counters(engine)["gso_refused"] == 1
        assert counters(engine)["gso_sends"] == 0
        events: list[_native.Event] = []
        wait_for(lambda: happened(engine, events, "no_gso"), "word of it")
        assert [event[0] for event in events].count("no_gso") == 1
