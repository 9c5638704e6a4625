"""The peers of a node: an offer in, an ICE-lite answer out, DTLS by aiortc, then the keys to the engine.

The only door to aiortc.  aiortc's DTLS transport runs over our ``Pipe``; its SRTP and its ICE are not used.
The private names it takes are listed in ``tests/contract/test_aiortc_private.py``.
"""

import asyncio
import base64
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from aiortc.rtcdtlstransport import (
    SRTP_AEAD_AES_128_GCM,
    SRTP_AES128_CM_SHA1_80,
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    SRTPProtectionProfile,
    State,
)
from OpenSSL import SSL

from .answer import Codec, Extension, Kind, Local, Plan, Role, Taken, cname, extensions_of, plan, render
from .engine import Engine
from .sdp import SdpError, link_parameters, parse_offer
from .transport import FINAL, Deadlines, PeerState, Transport

__all__ = ["LinkParameters", "LinkPeer", "Peer", "PeerLimit", "PeerState", "Peers", "SdpError", "Slot", "Upstream"]

log = logging.getLogger(__name__)

Profile = Literal["AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"]
PROFILES: Mapping[Profile, SRTPProtectionProfile] = {  # in our order of preference
    "AEAD_AES_128_GCM": SRTP_AEAD_AES_128_GCM,
    "AES128_CM_HMAC_SHA1_80": SRTP_AES128_CM_SHA1_80,
}
DTLS_1_2 = 0xFEFD  # RFC 6347 section 4.1; pyOpenSSL has no name for it
LINK_EXTENSIONS: tuple[tuple[Extension, int], ...] = (("audio_level", 1), ("twcc", 2), ("video_orientation", 3))
LINK_CODECS: Mapping[Kind, tuple[tuple[Codec, int, int | None], ...]] = {
    "audio": (("opus", 111, None),),
    "video": (("vp8", 96, 97), ("h264", 98, 99)),
}


class PeerLimit(Exception):  # noqa: N818  a limit is not an error of anybody
    """The node serves as many peers as it may."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A section the peer sends.  ``label``: audio, camera (its first video) or content (its second)."""

    source: int
    mid: str
    kind: Kind
    label: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A section the peer receives, which any source of its kind may feed."""

    sink: int
    mid: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """One side's ICE credentials and certificate, ``fingerprint`` as in SDP ("sha-256 AB:CD:...")."""

    ufrag: str
    pwd: str
    fingerprint: str


class _Certificate(RTCCertificate):
    """A certificate for DTLS 1.2 and later."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_min_proto_version(DTLS_1_2)
        return context


class _Dtls(RTCDtlsTransport):
    """aiortc's DTLS transport, with the keys going to the engine instead of to libsrtp."""

    def __init__(self, engine: Engine, transport: Transport, certificate: RTCCertificate, role: Role) -> None:
        super().__init__(transport.pipe, [certificate])  # type: ignore[arg-type]  # a pipe has what it uses of ICE
        self.failure = ""
        self.peer: Sequence[tuple[str, str]] = ()
        self._engine = engine
        self._owner = transport
        self._srtp_profiles = list(PROFILES.values())
        self._set_role(role)
        self.on("statechange", self._watch)

    async def run(self) -> bool:
        """Shake hands; the peer's certificate is checked before any key exists (ASVS 17.2.8)."""
        fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in self.peer]
        await self.start(RTCDtlsParameters(fingerprints, self._role))
        return self._state is State.CONNECTED

    def _watch(self) -> None:
        if self._state is State.CLOSED:
            self._owner.closed_by_peer()

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:  # noqa: N803
        super()._validate_peer_identity(remoteParameters)
        if self._state is State.FAILED:
            self.failure = "fingerprint-mismatch"

    def _setup_srtp(self) -> None:
        """Export the SRTP master keys and salts to the engine (RFC 5764 section 4.2)."""
        assert self._ssl is not None
        chosen = self._ssl.get_selected_srtp_profile()
        for name, profile in PROFILES.items():
            if profile.openssl_profile == chosen:
                key, salt = profile.key_length, profile.salt_length
                material = self._ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (key + salt))
                return self._hand_over(name, material, key, salt)
        self.failure = "no-srtp-profile"
        return self._set_state(State.FAILED)

    def _hand_over(self, name: Profile, material: bytes, key: int, salt: int) -> None:
        """``material`` is client key, server key, client salt, server salt."""
        client = material[:key], material[2 * key : 2 * key + salt]
        server = material[key : 2 * key], material[2 * key + salt :]
        (rx_key, rx_salt), (tx_key, tx_salt) = (client, server) if self._role == "server" else (server, client)
        self._engine.native.set_keys(
            self._owner.id, name, rx_key=rx_key, rx_salt=rx_salt, tx_key=tx_key, tx_salt=tx_salt
        )

    async def _write_ssl(self) -> None:
        """Send all that OpenSSL wrote; aiortc's own sends at most 1500 bytes of it."""
        assert self._ssl is not None
        flight = b""
        while True:
            try:
                flight += self._ssl.bio_read(65_536)
            except SSL.Error:
                break
        if flight:
            await self._owner.pipe._send(flight)


@dataclass(slots=True)
class _Node:
    """What all peers of a node share."""

    engine: Engine
    certificate: RTCCertificate
    deadlines: Deadlines
    entropy: Callable[[int], bytes]
    counts: Counter[str]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    peers: dict[int, "_Base"] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate."""
        return next(f.value for f in self.certificate.getFingerprints() if f.algorithm == "sha-256")

    def credentials(self) -> tuple[str, str]:
        """A fresh ICE user fragment and password: 48 and 144 random bits (RFC 8445 asks for 24 and 128)."""
        return base64.b64encode(self.entropy(6)).decode(), base64.b64encode(self.entropy(18)).decode()

    def ssrc(self) -> int:
        return 1 + int.from_bytes(self.entropy(4), "big") % 0xFFFF_FFFF

    def session(self) -> int:
        return int.from_bytes(self.entropy(7), "big")


class _Base:
    """What a terminal's peer and a link's peer have in common."""

    def __init__(self, node: _Node, role: Role, wait_nominated: bool) -> None:
        self.id = node.engine.new_id()
        self._node = node
        self._transport = Transport(node.engine, self.id, node.deadlines, wait_nominated)
        self._transport.changed = self._changed
        self._dtls = _Dtls(node.engine, self._transport, node.certificate, role)
        self._task: asyncio.Task[None] | None = None
        node.peers[self.id] = self

    @property
    def state(self) -> PeerState:
        return self._transport.state

    @property
    def failure(self) -> str:
        """Why the state is FAILED, else "".

        One of: ice-timeout, dtls-timeout, dtls-failed, fingerprint-mismatch, no-srtp-profile, gone.
        """
        return self._transport.failure

    async def close(self) -> None:
        """Say goodbye to the peer and forget it.  Idempotent."""
        await self._transport.close()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _connect(self, fingerprints: Sequence[tuple[str, str]]) -> None:
        self._dtls.peer = fingerprints
        self._task = self._node.spawn(self._transport.run(self._dtls))

    def _changed(self, state: PeerState) -> None:
        self._node.counts[f"failed_{self.failure}" if state is PeerState.FAILED else str(state)] += 1
        if state in FINAL:
            self._node.peers.pop(self.id, None)
        self._tell(state)

    def _tell(self, state: PeerState) -> None:
        raise NotImplementedError


class Peer(_Base):
    """A terminal, browser, camera or player that made one offer.

    ``answer_sdp`` is ready at once.  ``on_state`` is called on every change; after CLOSED or FAILED the
    engine has dropped the peer's sources and sinks.
    """

    def __init__(self, node: _Node, accepted: Plan, candidates: Sequence[tuple[str, int]]) -> None:
        super().__init__(node, accepted.role, wait_nominated=False)
        self.on_state: Callable[[Peer, PeerState], None] | None = None
        self.upstreams: tuple[Upstream, ...] = ()
        self.slots: tuple[Slot, ...] = ()
        self.answer_sdp = ""
        try:
            self._describe(accepted, candidates)
        except BaseException:
            self._transport.fail("engine-refused")
            raise

    def _describe(self, accepted: Plan, candidates: Sequence[tuple[str, int]]) -> None:
        """Tell the engine what will come and go, and write the answer."""
        node = self._node
        ufrag, pwd = node.credentials()
        local = Local(node.session(), ufrag, pwd, node.fingerprint, candidates)
        node.engine.native.add_transport(
            self.id,
            local_ufrag=ufrag,
            local_pwd=pwd,
            remote_ufrag=accepted.ufrag,
            remote_pwd=accepted.pwd,
            controlling=False,
            extensions=accepted.extensions,
        )
        entries = [(index, entry) for index, entry in enumerate(accepted.entries) if entry is not None]
        self.upstreams = tuple(self._add_source(index, entry) for index, entry in entries if entry.label is not None)
        ssrcs = {index: self._ssrcs(entry) for index, entry in entries if entry.slot}
        self.slots = tuple(
            self._add_sink(index, entry, ssrcs[index], cname(local.session)) for index, entry in entries if entry.slot
        )
        self.answer_sdp = render(accepted, local, ssrcs)

    def _add_source(self, index: int, entry: Taken) -> Upstream:
        source = self._node.engine.new_id()
        self._node.engine.native.add_source(
            source,
            self.id,
            kind=entry.kind,
            mid=entry.section.mid if "mid" in extensions_of(entry.section).values() else None,
            ssrcs=() if entry.rids else entry.section.streams,
            rids=entry.rids,
            codecs=[(payload.pt, payload.codec, payload.rtx) for payload in entry.payloads],
        )
        return Upstream(source, entry.section.mid or str(index), entry.kind, entry.label or "")

    def _add_sink(self, index: int, entry: Taken, ssrcs: tuple[int, int | None], name: str) -> Slot:
        sink = self._node.engine.new_id()
        self._node.engine.native.add_sink(
            sink,
            self.id,
            kind=entry.kind,
            mid=entry.section.mid if "mid" in extensions_of(entry.section).values() else None,
            ssrc=ssrcs[0],
            rtx_ssrc=ssrcs[1],
            cname=name,
            codecs=[(payload.codec, payload.pt, payload.rtx) for payload in entry.payloads],
        )
        return Slot(sink, entry.section.mid or str(index), entry.kind)

    def _ssrcs(self, entry: Taken) -> tuple[int, int | None]:
        repairs = any(payload.rtx is not None for payload in entry.payloads)
        return self._node.ssrc(), self._node.ssrc() if repairs else None

    def _tell(self, state: PeerState) -> None:
        if self.on_state is not None:
            self.on_state(self, state)


class LinkPeer(_Base):
    """The media transport of one link to a neighbouring gateway.  Streams are added and removed by SSRC.

    The child dials (controlling, DTLS client), the parent listens (ICE-lite, DTLS server).
    """

    def __init__(self, node: _Node, dials: bool) -> None:
        super().__init__(node, "client" if dials else "server", wait_nominated=dials)
        self.on_state: Callable[[LinkPeer, PeerState], None] | None = None
        ufrag, pwd = node.credentials()
        self.parameters = LinkParameters(ufrag, pwd, f"sha-256 {node.fingerprint}")
        self._dials = dials
        self._cname = cname(node.session())

    def start(self, remote: LinkParameters, candidates: Sequence[tuple[str, int]] = ()) -> Self:
        """Connect to ``remote``; a dialling link sends checks to ``candidates`` (IP literal, port).

        Raises:
            SdpError: The neighbour's parameters are not well formed.
        """
        fingerprint = link_parameters(remote.ufrag, remote.pwd, remote.fingerprint)
        self._node.engine.native.add_transport(
            self.id,
            local_ufrag=self.parameters.ufrag,
            local_pwd=self.parameters.pwd,
            remote_ufrag=remote.ufrag,
            remote_pwd=remote.pwd,
            controlling=self._dials,
            candidates=tuple(candidates),
            extensions=LINK_EXTENSIONS,
        )
        self._connect([fingerprint])
        return self

    def carry(self, kind: Kind) -> tuple[int, int, int | None]:
        """Open a stream to the neighbour: (sink, ssrc, rtx_ssrc).  Feed the sink with a route."""
        sink, ssrc = self._node.engine.new_id(), self._node.ssrc()
        repair = self._node.ssrc() if kind == "video" else None
        self._node.engine.native.add_sink(
            sink,
            self.id,
            kind=kind,
            mid=None,
            ssrc=ssrc,
            rtx_ssrc=repair,
            cname=self._cname,
            codecs=LINK_CODECS[kind],
        )
        return sink, ssrc, repair

    def uncarry(self, sink: int) -> None:
        self._node.engine.native.drop_sink(sink)

    def expect(self, kind: Kind, ssrc: int, rtx_ssrc: int | None) -> int:
        """Describe a stream the neighbour carries to us; returns its source."""
        source = self._node.engine.new_id()
        self._node.engine.native.add_source(
            source,
            self.id,
            kind=kind,
            mid=None,
            ssrcs=[(ssrc, rtx_ssrc)],
            rids=(),
            codecs=[(pt, codec, rtx) for codec, pt, rtx in LINK_CODECS[kind]],
        )
        return source

    def unexpect(self, source: int) -> None:
        self._node.engine.native.drop_source(source)

    def _tell(self, state: PeerState) -> None:
        if self.on_state is not None:
            self.on_state(self, state)


class Peers:
    """All peers of one node.  Owns their tasks and the process's certificate, made fresh at every start.

    Args:
        advertise: IP literals at which the engine's port is reached; IPv4 first, some clients read only one.
        entropy: Source of random bytes.
    """

    def __init__(
        self,
        engine: Engine,
        advertise: Sequence[str],
        *,
        max_peers: int = 2_000,
        max_slots: int = 64,
        deadlines: Deadlines = Deadlines(),  # noqa: B008  frozen
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Peers by what became of them: connected, closed, failed_<why>, refused_<code>."""
        self._candidates = tuple((host, engine.port) for host in advertise)
        self._max_peers = max_peers
        self._max_slots = max_slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._node = _Node(engine, _Certificate.generateCertificate(), deadlines, entropy, self.counts, self._spawn)

    def __len__(self) -> int:
        return len(self._node.peers)

    def accept(self, offer_sdp: str) -> Peer:
        """Answer an offer; the connection comes up in a task of ours.

        Raises:
            SdpError: The offer cannot be used.
            PeerLimit: The node is full.
        """
        self._room()
        try:
            accepted = plan(parse_offer(offer_sdp), self._max_slots)
        except SdpError as error:
            self.counts[f"refused_{error.code}"] += 1
            raise
        peer = Peer(self._node, accepted, self._candidates)
        peer._connect(accepted.fingerprints)
        return peer

    def link_dial(self) -> LinkPeer:
        """The child's end: send its ``parameters``, then ``start`` it with the parent's."""
        self._room()
        return LinkPeer(self._node, dials=True)

    def link_listen(self, remote: LinkParameters) -> LinkPeer:
        """The parent's end, started at once.

        Raises:
            SdpError: The neighbour's parameters are not well formed.
        """
        self._room()
        link_parameters(remote.ufrag, remote.pwd, remote.fingerprint)
        return LinkPeer(self._node, dials=False).start(remote)

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]:
        """(address, port) pairs at which this node takes media."""
        return self._candidates

    async def close(self) -> None:
        """Close every peer and end every task."""
        for peer in list(self._node.peers.values()):
            await peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _room(self) -> None:
        if len(self._node.peers) >= self._max_peers:
            self.counts["refused_full"] += 1
            raise PeerLimit(f"{self._max_peers} peers")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
