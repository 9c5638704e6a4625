"""Peers over an engine in memory: handshakes that must work, and those that must not (S01, S09)."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from aiortc.rtcdtlstransport import SRTP_AES128_CM_SHA1_80, RTCCertificate
from OpenSSL import SSL

from media import peer as door
from media.answer import Codec
from media.engine import EVENTS_PER_TURN, Engine
from media.peer import LinkParameters, LinkPeer, PeerLimit, Peers, PeerState, SdpError
from media.transport import DATAGRAM_BYTES, PIPE_DATAGRAMS, Deadlines, Pipe, datagrams

from .offers import offer
from .wire import MemoryEngine, joined, until

CANDIDATES = (("192.0.2.1", 8804),)
IMPATIENT = Deadlines(ice_s=0.3)
"""Only for peers that never check: a slow machine needs longer for the others."""


@dataclass
class Pair:
    """A parent that listens and a child that dials."""

    parent_wire: MemoryEngine
    child_wire: MemoryEngine
    parents: Peers
    children: Peers

    def connect(self, lie: LinkParameters | None = None) -> tuple[LinkPeer, LinkPeer]:
        """Connect a link; with ``lie`` the child is told that instead of the parent's parameters."""
        child = self.children.link_dial()
        parent = self.parents.link_listen(child.parameters)
        child.start(lie or parent.parameters, CANDIDATES)
        return parent, child


@asynccontextmanager
async def pair(deadlines: Deadlines = Deadlines()) -> AsyncIterator[Pair]:  # noqa: B008
    one, parent_engine, two, child_engine = joined()
    parents = Peers(parent_engine, ["192.0.2.1"], deadlines=deadlines)
    children = Peers(child_engine, ["192.0.2.2"], deadlines=deadlines)
    try:
        yield Pair(one, two, parents, children)
    finally:
        await children.close()
        await parents.close()
        parent_engine.close()
        child_engine.close()


def connected(*peers: LinkPeer) -> bool:
    return all(peer.state is PeerState.CONNECTED for peer in peers)


def settled(*peers: LinkPeer) -> bool:
    return all(peer.state is not PeerState.CONNECTING for peer in peers)


async def test_both_ends_hold_the_same_gcm_keys() -> None:
    async with pair() as on:
        parent, child = on.connect()
        await until(lambda: connected(parent, child))
        profile, rx_key, rx_salt, tx_key, tx_salt = on.parent_wire.keys[parent.id]
        assert profile == "AEAD_AES_128_GCM"
        assert (len(rx_key), len(rx_salt)) == (16, 12)
        assert on.child_wire.keys[child.id] == (profile, tx_key, tx_salt, rx_key, rx_salt)
        assert rx_key != tx_key


async def test_an_end_that_knows_only_sha1_80_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair() as on:
        child = on.children.link_dial()
        parent = on.parents.link_listen(child.parameters)
        with monkeypatch.context() as patched:
            patched.setattr(door, "PROFILES", {"AES128_CM_HMAC_SHA1_80": SRTP_AES128_CM_SHA1_80})
            child.start(parent.parameters, CANDIDATES)
        await until(lambda: connected(parent, child))
        profile, _, rx_salt, _, _ = on.parent_wire.keys[parent.id]
        assert (profile, len(rx_salt)) == ("AES128_CM_HMAC_SHA1_80", 14)


async def test_a_wrong_fingerprint_fails_before_any_key_exists() -> None:
    async with pair() as on:
        child = on.children.link_dial()
        forged = dataclasses.replace(child.parameters, fingerprint="sha-256 " + ":".join(["00"] * 32))
        parent = on.parents.link_listen(forged)
        child.start(parent.parameters, CANDIDATES)
        await until(lambda: parent.state is PeerState.FAILED)
        assert parent.failure == "fingerprint-mismatch"
        assert on.parent_wire.keys == {}
        assert parent.id not in on.parent_wire.transports
        assert on.parents.counts["failed_fingerprint-mismatch"] == 1


async def test_the_dialling_side_checks_the_certificate_too() -> None:
    async with pair() as on:
        child = on.children.link_dial()
        parent = on.parents.link_listen(child.parameters)
        child.start(dataclasses.replace(parent.parameters, fingerprint="sha-512 " + ":".join(["00"] * 64)), CANDIDATES)
        await until(lambda: child.state is PeerState.FAILED)
        assert child.failure == "fingerprint-mismatch"
        assert on.child_wire.keys == {}


async def test_lost_flights_are_sent_again() -> None:
    """Four pairs at once: each waits for the retransmission timers of DTLS, in real seconds."""

    async def survives(lost: Sequence[int]) -> None:
        async with pair() as on:
            on.parent_wire.deliver = lambda number, datagram: () if number in lost else (datagram,)
            on.child_wire.deliver = lambda number, datagram: () if number in lost else (datagram,)
            parent, child = on.connect()
            await until(lambda: connected(parent, child))

    async with asyncio.TaskGroup() as pairs:
        for lost in [(1,), (2,), (1, 2), (3,)]:
            pairs.create_task(survives(lost))


async def test_repeated_and_reordered_datagrams_are_survived() -> None:
    held: list[bytes] = []

    def swap(number: int, datagram: bytes) -> Sequence[bytes]:
        held.append(datagram)
        return (datagram, *held[-2:])

    async with pair() as on:
        on.parent_wire.deliver = swap
        on.child_wire.deliver = swap
        parent, child = on.connect()
        await until(lambda: connected(parent, child))


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16",
        b"\x16" * 11,
        b"\x14" + b"\x00" * 12,
        b"\x3f" * 1_500,
        b"\x16\xfe\xfd" + b"\xff" * 60,
        b"\x17\xfe\xfd" + b"\x00" * 1_400,
    ],
)
async def test_junk_from_a_verified_path_neither_stops_nor_ends_a_session(junk: bytes) -> None:
    async with pair() as on:
        on.child_wire.deliver = lambda number, datagram: (junk, datagram, junk)
        parent, child = on.connect()
        await until(lambda: connected(parent, child))
        for _ in range(2 * PIPE_DATAGRAMS):
            on.parent_wire.tell("dtls", parent.id, junk)
        on.parent_wire.tell("dtls", parent.id, b"")
        await until(lambda: parent._transport.pipe.dropped > 0)
        assert parent.state is PeerState.CONNECTED


async def test_goodbye_is_heard_by_the_other_end() -> None:
    async with pair() as on:
        parent, child = on.connect()
        await until(lambda: connected(parent, child))
        told: list[PeerState] = []
        parent.on_state = lambda _, state: told.append(state)
        await child.close()
        await until(lambda: parent.state is PeerState.CLOSED)
        assert told == [PeerState.CLOSED]
        assert (len(on.parents), len(on.children)) == (0, 0)
        assert on.parent_wire.transports == {}


async def test_a_peer_that_never_checks_is_given_up() -> None:
    async with pair(IMPATIENT) as on:
        peer = on.parents.accept(offer("chromium-terminal"))
        told: list[tuple[PeerState, str]] = []
        peer.on_state = lambda who, state: told.append((state, who.failure))
        await until(lambda: peer.state is PeerState.FAILED)
        assert told == [(PeerState.FAILED, "ice-timeout")]
        assert on.parent_wire.transports == on.parent_wire.sources == on.parent_wire.sinks == {}


async def test_a_peer_that_never_shakes_hands_is_given_up() -> None:
    async with pair(Deadlines(dtls_s=2.5)) as on:
        on.child_wire.deliver = lambda number, datagram: ()
        parent, child = on.connect()
        await until(lambda: settled(parent, child))
        assert {parent.failure, child.failure} == {"dtls-timeout"}


async def test_a_silent_peer_comes_back_or_is_given_up() -> None:
    async with pair(Deadlines(gone_s=1.0)) as on:
        parent, child = on.connect()
        await until(lambda: connected(parent, child))
        told: list[PeerState] = []

        def follow(_: object, state: PeerState) -> None:
            told.append(state)
            if told == [PeerState.SILENT]:
                on.parent_wire.tell("alive", parent.id)
            elif told == [PeerState.SILENT, PeerState.CONNECTED]:
                on.parent_wire.tell("silent", parent.id)

        parent.on_state = follow
        on.parent_wire.tell("silent", parent.id)
        await until(lambda: parent.state is PeerState.FAILED)
        assert told == [PeerState.SILENT, PeerState.CONNECTED, PeerState.SILENT, PeerState.FAILED]
        assert parent.failure == "gone"
        assert child.state is PeerState.CONNECTED, "the other end is disturbed by its own silence only"


def test_an_old_dtls_version_is_refused() -> None:
    context = door._Certificate.generateCertificate()._create_ssl_context([SRTP_AES128_CM_SHA1_80])
    assert context.set_min_proto_version(0xFEFD) is None
    client = SSL.Connection(context)
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    hello = client.bio_read(4_096)
    assert hello[25:27] == b"\xfe\xfd", "the version the client hello offers"
    old = RTCCertificate.generateCertificate()._create_ssl_context([SRTP_AES128_CM_SHA1_80])
    old.set_cipher_list(b"ALL:@SECLEVEL=0")
    old.set_max_proto_version(0xFEFF)
    ancient, server = SSL.Connection(old), SSL.Connection(context)
    ancient.set_connect_state()
    server.set_accept_state()
    with pytest.raises(SSL.WantReadError):
        ancient.do_handshake()
    server.bio_write(ancient.bio_read(4_096))
    with pytest.raises(SSL.Error) as caught:
        server.do_handshake()
    assert not isinstance(caught.value, SSL.WantReadError)


async def test_certificates_and_credentials_are_fresh() -> None:
    async with pair() as on:
        one, two = on.parents.link_dial().parameters, on.parents.link_dial().parameters
        other = on.children.link_dial().parameters
        assert one.fingerprint == two.fingerprint != other.fingerprint
        assert len({one.ufrag, two.ufrag, other.ufrag}) == len({one.pwd, two.pwd, other.pwd}) == 3


async def test_an_offer_becomes_sources_and_sinks() -> None:
    async with pair() as on:
        peer = on.parents.accept(offer("chromium-terminal"))
        assert [(u.mid, u.kind, u.label) for u in peer.upstreams] == [
            ("0", "audio", "audio"),
            ("1", "video", "camera"),
            ("2", "video", "content"),
        ]
        assert [(s.mid, s.kind) for s in peer.slots] == [(str(n), "video") for n in range(3, 7)] + [
            (str(n), "audio") for n in range(7, 10)
        ]
        camera = on.parent_wire.sources[peer.upstreams[1].source]
        assert (camera["rids"], camera["ssrcs"], camera["mid"]) == (("q", "h", "f"), (), "1")
        assert camera["codecs"] == [(96, "vp8", 97), (108, "h264", 109), (45, "av1", 46), (98, "vp9", 99)]
        slot = on.parent_wire.sinks[peer.slots[0].sink]
        assert f"a=ssrc-group:FID {slot['ssrc']} {slot['rtx_ssrc']}" in peer.answer_sdp
        assert f"a=ssrc:{slot['ssrc']} cname:{slot['cname']}" in peer.answer_sdp
        await peer.close()
        assert on.parent_wire.sources == on.parent_wire.sinks == {}


async def test_a_full_node_refuses_and_keeps_whom_it_has() -> None:
    one, engine, _, other = joined()
    peers = Peers(engine, ["192.0.2.1"], max_peers=2)
    first, _ = peers.accept(offer("whip-obs")), peers.accept(offer("whip-obs"))
    with pytest.raises(PeerLimit):
        peers.accept(offer("whip-obs"))
    with pytest.raises(PeerLimit):
        peers.link_dial()
    assert len(one.transports) == 2
    await first.close()
    peers.accept(offer("whip-obs"))
    await peers.close()
    assert one.transports == {}
    engine.close()
    other.close()


async def test_an_engine_that_refuses_leaves_no_half_of_a_peer() -> None:
    async with pair() as on:

        def refuse(*args: object, **values: object) -> None:
            raise ValueError("too many sinks")

        on.parent_wire.add_sink = refuse  # type: ignore[method-assign]
        with pytest.raises(ValueError, match="too many sinks"):
            on.parents.accept(offer("chromium-terminal"))
        assert len(on.parents) == 0
        assert on.parent_wire.transports == on.parent_wire.sources == {}


async def test_a_refused_offer_is_counted_by_its_code() -> None:
    async with pair() as on:
        with pytest.raises(SdpError):
            on.parents.accept("v=0\n")
        assert on.parents.counts == {"refused_sdp-malformed": 1}


async def test_a_neighbour_with_broken_parameters_is_refused() -> None:
    async with pair() as on:
        with pytest.raises(SdpError):
            on.parents.link_listen(LinkParameters("", "", ""))
        dialled = on.parents.link_dial()
        with pytest.raises(SdpError):
            dialled.start(LinkParameters("abcd", "x" * 24, "sha-1 00"), CANDIDATES)
        assert on.parent_wire.transports == {}


async def test_a_link_carries_and_expects_streams_by_ssrc() -> None:
    async with pair() as on:
        parent, child = on.connect()
        stream = child.carry("video")
        source = parent.expect("video", [(stream.ssrc, stream.rtx_ssrc)])
        assert on.child_wire.sinks[stream.sink]["ssrc"] == stream.ssrc
        assert on.parent_wire.sources[source]["ssrcs"] == [(stream.ssrc, stream.rtx_ssrc)]
        sent: list[tuple[Codec, int, int | None]] = list(on.child_wire.sinks[stream.sink]["codecs"])
        assert on.parent_wire.sources[source]["codecs"] == [(pt, codec, rtx) for codec, pt, rtx in sent]
        sound = child.carry("audio")
        assert (sound.rtx_ssrc, sound.small) == (None, None)
        child.uncarry(stream)
        parent.unexpect(source)
        parent.unexpect(source)
        assert on.child_wire.sinks[stream.sink]["from"] is None
        assert on.parent_wire.sources == {}


async def test_a_picture_has_a_small_copy_once_it_is_asked_for_and_keeps_its_streams() -> None:
    async with pair() as on:
        parent, child = on.connect()
        stream = child.carry("video")
        child.uncopy(stream)
        assert stream.small is not None
        assert list(on.child_wire.sinks) == [stream.sink]
        copy = child.copy(stream)
        wire = on.child_wire.sinks[copy]
        assert (wire["ssrc"], wire["rtx_ssrc"]) == stream.small
        pairs = [stream.small, (stream.ssrc, stream.rtx_ssrc)]
        assert on.parent_wire.sources[parent.expect("video", pairs)]["ssrcs"] == pairs
        wire["from"] = 7
        child.uncopy(stream)
        assert wire["from"] is None
        wire["from"] = 7
        child.uncarry(stream)
        assert wire["from"] is None
        again = child.carry("video")
        assert again == stream
        assert child.copy(again) == copy
        assert list(on.child_wire.sinks) == [stream.sink, copy]


async def test_a_stream_given_back_is_used_again() -> None:
    """A link lives for weeks; the neighbour keeps a context for each SSRC it ever heard."""
    async with pair() as on:
        parent, child = on.connect()
        first = child.carry("video")
        child.uncarry(first)
        child.uncarry(first)
        assert child.carry("audio") != first
        assert child.carry("video") == first
        assert child.carry("video") != first
        old = parent.expect("video", [(first.ssrc, first.rtx_ssrc)])
        new = parent.expect("video", [(first.ssrc, first.rtx_ssrc)])
        parent.unexpect(old)
        assert list(on.parent_wire.sources) == [new]
        await child.close()
        child.uncarry(first)
        child.uncopy(first)


async def test_a_transport_has_fewer_than_all_the_datagrams_a_flooder_sends() -> None:
    _, engine, _, other = joined()
    pipe = Pipe(engine, 1, "controlled")
    for number in range(PIPE_DATAGRAMS + 10):
        pipe.push(bytes([22, number]))
    assert pipe.dropped == 10
    assert await pipe._recv() == bytes([22, 0])
    pipe.close()
    engine.close()
    other.close()


def test_a_flight_is_cut_between_records() -> None:
    records = [
        bytes([22]) + bytes(10) + size.to_bytes(2, "big") + bytes(size) for size in (600, 500, 90, 1_187, 20, 2_000)
    ]
    packed = datagrams(b"".join(records))
    assert b"".join(packed) == b"".join(records)
    assert [len(datagram) for datagram in packed] == [613 + 513, 103, 1_200, 33, 2_013]
    assert all(len(datagram) <= DATAGRAM_BYTES for datagram in packed[:-1])


async def test_a_handler_that_raises_does_not_stop_the_next_event(caplog: pytest.LogCaptureFixture) -> None:
    wire, engine, _, other = joined()
    heard: list[object] = []

    def broken(event: object) -> None:
        raise RuntimeError("a bug")

    engine.on(1, broken)
    engine.on(2, heard.append)
    wire.tell("silent", 1)
    wire.tell("silent", 2)
    wire.tell("silent", 3)
    await until(lambda: len(heard) == 1)
    assert "engine event handler failed" in caplog.text
    engine.close()
    engine.close()
    other.close()


async def test_levels_and_starts_reach_their_callbacks() -> None:
    wire, engine, _, other = joined()
    levels: list[object] = []
    started: list[object] = []
    engine.on_levels = levels.append
    engine.on_started = lambda source, codec: started.append((source, codec))
    wire.tell("levels", ((4, -30), (5, -127)))
    wire.tell("started", 4, "opus")
    await until(lambda: bool(levels and started))
    assert (levels, started) == ([((4, -30), (5, -127))], [(4, "opus")])
    engine.close()
    other.close()


async def test_that_the_kernel_sends_no_trains_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    wire, engine, _, other = joined()
    started: list[object] = []
    engine.on_started = lambda source, codec: started.append((source, codec))
    for _ in range(2):
        wire.tell("no_gso")
    wire.tell("started", 4, "opus")
    await until(lambda: bool(started))
    assert caplog.text.count("no segmentation offload") == 1
    engine.close()
    other.close()


async def test_closing_while_a_handshake_runs_leaves_nothing_behind() -> None:
    async with pair() as on:
        on.connect()
        on.parents.accept(offer("chromium-terminal"))
    assert on.parent_wire.transports == {}
    assert len(asyncio.all_tasks()) == 1, "only the test itself"


async def test_an_engine_is_typed_as_the_native_one() -> None:
    engine = Engine(MemoryEngine(1))
    assert [engine.new_id() for _ in range(3)] == [1, 2, 3]
    assert engine.stats().engine == {"dtls_sent": 0}
    engine.close()


async def test_more_events_than_one_turn_takes_are_all_delivered() -> None:
    wire, engine, _, other = joined()
    heard: list[object] = []
    engine.on(1, heard.append)
    for _ in range(2 * EVENTS_PER_TURN):
        wire.tell("alive", 1)
    await until(lambda: len(heard) == 2 * EVENTS_PER_TURN)
    engine.close()
    other.close()


async def test_a_mapped_port_is_told_in_place_of_the_one_listened_on() -> None:
    _, engine, _, other = joined()
    peers = Peers(engine, ["192.0.2.1", "2001:db8::1"], port=40_000)
    try:
        assert peers.candidates == (("192.0.2.1", 40_000), ("2001:db8::1", 40_000))
        answer = peers.accept(offer("chromium-terminal")).answer_sdp
        assert " 192.0.2.1 40000 typ host" in answer
    finally:
        await peers.close()
        engine.close()
        other.close()
