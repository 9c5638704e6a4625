"""The peers of a node: an offer in, an ICE-lite answer out, DTLS by aiortc, then the keys to the engine.

The only door to aiortc.  aiortc's DTLS transport runs over our ``Pipe``; its SRTP and its ICE are not used.
The private names it takes are listed in ``tests/contract/test_aiortc_private.py``.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
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

from .answer import Codec, Kind, Role, plan
from .engine import Engine
from .peering import Host, LinkParameters, LinkPeer, Peer, PeerLimit, Slot, Stream, Upstream
from .sdp import SdpError, link_parameters, parse_offer
from .transport import Deadlines, Handshake, PeerState, Transport

__all__ = [
    "Caller",
    "LinkParameters",
    "LinkPeer",
    "Peer",
    "PeerLimit",
    "PeerState",
    "Peers",
    "SdpError",
    "Slot",
    "Stream",
    "Upstream",
]

Media = Any  # av.Packet or av.AudioFrame; None at the end
Receive = Callable[[], Awaitable[Media]]
Profile = Literal["AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"]
PROFILES: Mapping[Profile, SRTPProtectionProfile] = {  # in our order of preference
    "AEAD_AES_128_GCM": SRTP_AEAD_AES_128_GCM,
    "AES128_CM_HMAC_SHA1_80": SRTP_AES128_CM_SHA1_80,
}
DTLS_1_2 = 0xFEFD  # RFC 6347 section 4.1; pyOpenSSL has no name for it


class _Certificate(RTCCertificate):
    """A certificate for DTLS 1.2 and later."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_min_proto_version(DTLS_1_2)
        return context


class _Dtls(RTCDtlsTransport):
    """aiortc's DTLS transport, with the keys going to the engine instead of to libsrtp."""

    def __init__(
        self,
        engine: Engine,
        transport: Transport,
        certificate: RTCCertificate,
        role: Role,
        peer: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__(transport.pipe, [certificate])  # type: ignore[arg-type]  # a pipe has what it uses of ICE
        self.failure = ""
        self._peer = peer
        self._engine = engine
        self._owner = transport
        self._srtp_profiles = list(PROFILES.values())
        self._set_role(role)
        self.on("statechange", self._watch)

    async def run(self) -> bool:
        """Shake hands; the peer's certificate is checked before any key exists (ASVS 17.2.8)."""
        fingerprints = [RTCDtlsFingerprint(algorithm, value) for algorithm, value in self._peer]
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


class Peers:
    """All peers of one node.  Owns their tasks and the process's certificate, made fresh at every start.

    Args:
        advertise: IP literals at which the engine is reached; IPv4 first, some clients read only one.
        port: The UDP port at which it is reached there; 0: the one it listens on.
        entropy: Source of random bytes.
    """

    def __init__(
        self,
        engine: Engine,
        advertise: Sequence[str],
        *,
        port: int = 0,
        max_peers: int = 2_000,
        max_slots: int = 64,
        deadlines: Deadlines = Deadlines(),  # noqa: B008  frozen
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.counts: Counter[str] = Counter()
        """Peers by what became of them: connected, closed, failed_<why>, refused_<code>."""
        self._candidates = tuple((host, port or engine.port) for host in advertise)
        self._tcp: tuple[tuple[str, int], ...] = ()
        self._max_peers = max_peers
        self._max_slots = max_slots
        self._tasks: set[asyncio.Task[None]] = set()
        self._engine = engine
        self._certificate = _Certificate.generateCertificate()
        fingerprint = next(f.value for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        self._host = Host(engine, fingerprint, self._handshake, deadlines, entropy, self.counts, self._spawn)

    def over_tcp(self, port: int) -> None:
        """Media may come to this TCP port of the same addresses too (ICE-TCP): say so in answers from now on."""
        self._tcp = tuple((host, port) for host, _ in self._candidates)

    def __len__(self) -> int:
        return len(self._host.peers)

    def accept(self, offer_sdp: str, group: str = "") -> Peer:
        """Answer an offer; the connection comes up in a task of ours.

        Args:
            group: Those who receive each other, as a conference: they share a worker as far as one suffices.

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
        peer = Peer(self._host, accepted, self._candidates, self._tcp, group)
        peer.connect(accepted.fingerprints)
        return peer

    def link_dial(self) -> LinkPeer:
        """The child's end: send its ``parameters``, then ``start`` it with the parent's."""
        self._room()
        return LinkPeer(self._host, dials=True)

    def link_listen(self, remote: LinkParameters) -> LinkPeer:
        """The parent's end, started at once.

        Raises:
            SdpError: The neighbour's parameters are not well formed.
        """
        self._room()
        link_parameters(remote.ufrag, remote.pwd, remote.fingerprint)
        return LinkPeer(self._host, dials=False).start(remote)

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]:
        """(address, port) pairs at which this node takes media."""
        return self._candidates

    async def close(self) -> None:
        """Close every peer and end every task."""
        for peer in list(self._host.peers.values()):
            await peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _handshake(self, transport: Transport, role: Role, peer: Sequence[tuple[str, str]]) -> Handshake:
        return _Dtls(self._engine, transport, self._certificate, role, peer)

    def _room(self) -> None:
        if len(self._host.peers) >= self._max_peers:
            self.counts["refused_full"] += 1
            raise PeerLimit(f"{self._max_peers} peers")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Outgoing(MediaStreamTrack):
    """A track that asks ``receive`` for its next packet or frame, when that is due; None ends it."""

    def __init__(self, kind: Kind, receive: Receive) -> None:
        super().__init__()
        self.kind = kind
        self._receive = receive

    async def recv(self) -> Any:
        media = await self._receive()
        if media is None:
            self.stop()
            raise MediaStreamError
        return media


class Caller:
    """An outgoing call: we offer, a gateway answers.  Sends what each track's ``Receive`` gives.

    ``ended`` is set when the connection is lost or closed.
    """

    def __init__(self, tracks: Mapping[Kind, Receive], video: Codec) -> None:
        self.ended = asyncio.Event()
        self._connection = RTCPeerConnection()
        self._connection.on("connectionstatechange", self._watch)
        for kind, receive in tracks.items():
            transceiver = self._connection.addTransceiver(_Outgoing(kind, receive), "sendonly")
            if kind == "video":
                transceiver.setCodecPreferences(_video_codecs(video))

    async def offer(self) -> str:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def answered(self, sdp: str) -> None:
        """Connect.  Raises ValueError when the answer cannot be used."""
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
        except (AssertionError, KeyError, IndexError, AttributeError) as error:
            raise ValueError("the answer is not one to our offer") from error

    async def heard(self) -> int:
        """Datagrams received so far: a living gateway reports on what it receives every second."""
        report = await self._connection.getStats()
        return max((item.packetsReceived for item in report.values() if item.type == "transport"), default=0)

    async def close(self) -> None:
        await self._connection.close()
        self.ended.set()

    def _watch(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self.ended.set()


def _video_codecs(codec: Codec) -> list[Any]:
    """One codec and its retransmissions; of H.264 constrained baseline only."""
    name = f"video/{codec}"
    return [
        item
        for item in RTCRtpSender.getCapabilities("video").codecs
        if item.mimeType.lower() in (name, "video/rtx") and item.parameters.get("profile-level-id") in (None, "42e01f")
    ]
