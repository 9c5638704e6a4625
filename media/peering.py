"""What a peer is to the engine: the transport it comes over, the sources it brings, the sinks it is given.

Knows no DTLS library: the handshake comes from ``media/peer.py`` (``Host.handshake``).
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from .answer import Codec, Extension, Kind, Local, Plan, Role, Taken, cname, extensions_of, plan, render
from .detour import Detour
from .engine import Engine
from .sdp import SdpError, link_parameters, parse_offer
from .transport import FINAL, Deadlines, Handshake, PeerState, Transport

LINK_EXTENSIONS: tuple[tuple[Extension, int], ...] = (
    ("audio_level", 1),
    ("twcc", 2),
    ("video_orientation", 3),
    ("dependency_descriptor", 4),
)
LINK_CODECS: Mapping[Kind, tuple[tuple[Codec, int, int | None], ...]] = {
    "audio": (("opus", 111, 63),),
    "video": (("vp8", 96, 97), ("h264", 98, 99), ("vp9", 100, 101), ("av1", 102, 103)),
}


class PeerLimit(Exception):
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
class Stream:
    """A track on a link: the sink that feeds it and its SSRCs; of a picture also those of its small copy."""

    kind: Kind
    sink: int
    ssrc: int
    rtx_ssrc: int | None
    small: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """One side's ICE credentials and certificate, ``fingerprint`` as in SDP ("sha-256 AB:CD:...")."""

    ufrag: str
    pwd: str
    fingerprint: str


@dataclass(slots=True)
class Host:
    """What all peers of a node share.

    ``fingerprint`` is the SHA-256 of our certificate; ``handshake`` makes one for a transport, our role in it
    and the peer's fingerprints.
    """

    engine: Engine
    fingerprint: str
    handshake: Callable[[Transport, Role, Sequence[tuple[str, str]]], Handshake]
    deadlines: Deadlines
    entropy: Callable[[int], bytes]
    counts: Counter[str]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
    peers: dict[int, "End"] = field(default_factory=dict)

    def credentials(self) -> tuple[str, str]:
        """A fresh ICE user fragment and password: 48 and 144 random bits (RFC 8445 asks for 24 and 128)."""
        return base64.b64encode(self.entropy(6)).decode(), base64.b64encode(self.entropy(18)).decode()

    def ssrc(self) -> int:
        return 1 + int.from_bytes(self.entropy(4), "big") % 0xFFFF_FFFF

    def session(self) -> int:
        return int.from_bytes(self.entropy(7), "big")


class End:
    """What a terminal's peer and a link's peer have in common."""

    def __init__(self, host: Host, role: Role, wait_nominated: bool) -> None:
        self.id = host.engine.new_id()
        self._host = host
        self._transport = Transport(host.engine, self.id, host.deadlines, wait_nominated)
        self._transport.changed = self._changed
        self._role = role
        self._task: asyncio.Task[None] | None = None
        host.peers[self.id] = self

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

    def connect(self, fingerprints: Sequence[tuple[str, str]]) -> None:
        """Bring the transport up in a task of the host."""
        handshake = self._host.handshake(self._transport, self._role, fingerprints)
        self._task = self._host.spawn(self._transport.run(handshake))

    def _changed(self, state: PeerState) -> None:
        self._host.counts[f"failed_{self.failure}" if state is PeerState.FAILED else str(state)] += 1
        if state in FINAL:
            self._host.peers.pop(self.id, None)
        self._tell(state)

    def _tell(self, state: PeerState) -> None:
        raise NotImplementedError


class Peer(End):
    """A terminal, browser, camera or player that made one offer.

    ``answer_sdp`` is ready at once.  ``on_state`` is called on every change; after CLOSED or FAILED the
    engine has dropped the peer's sources and sinks.
    """

    def __init__(
        self,
        host: Host,
        accepted: Plan,
        candidates: Sequence[tuple[str, int]],
        tcp: Sequence[tuple[str, int]] = (),
        group: str = "",
    ) -> None:
        super().__init__(host, accepted.role, wait_nominated=False)
        self.on_state: Callable[[Peer, PeerState], None] | None = None
        self.upstreams: tuple[Upstream, ...] = ()
        self.slots: tuple[Slot, ...] = ()
        self.answer_sdp = ""
        try:
            ufrag, pwd = host.credentials()
            self._local = Local(host.session(), ufrag, pwd, host.fingerprint, candidates, tcp)
            self._describe(accepted, group)
        except BaseException:
            self._transport.fail("engine-refused")
            raise

    def _describe(self, accepted: Plan, group: str) -> None:
        """Tell the engine what will come and go, and write the answer."""
        local = self._local
        self._host.engine.native.add_transport(
            self.id,
            local_ufrag=local.ufrag,
            local_pwd=local.pwd,
            remote_ufrag=accepted.ufrag,
            remote_pwd=accepted.pwd,
            controlling=False,
            extensions=accepted.extensions,
            group=group,
        )
        entries = [(index, entry) for index, entry in enumerate(accepted.entries) if entry is not None]
        self.upstreams = tuple(self._add_source(index, entry) for index, entry in entries if entry.label is not None)
        ssrcs = {index: self._ssrcs(entry) for index, entry in entries if entry.slot}
        self.slots = tuple(
            self._add_sink(index, entry, ssrcs[index], cname(local.session)) for index, entry in entries if entry.slot
        )
        self._accepted, self._streams = accepted, ssrcs
        self.answer_sdp = render(accepted, local, ssrcs)

    def restart(self, offer_sdp: str) -> str:
        """Answer the peer's offer to restart ICE (RFC 8839 section 4.4.1.1): all but the way to it stays.

        Raises:
            SdpError: ``sdp-changed`` when it is not our peer's offer with new credentials; else as ``accept``.
        """
        offered = plan(parse_offer(offer_sdp), sum(entry.slot for entry in self._accepted.taken))
        if self.state in FINAL or not offered.continues(self._accepted):
            raise SdpError("sdp-changed", "not this connection with new ICE credentials")
        ufrag, pwd = self._host.credentials()
        self._host.engine.native.restart_ice(
            self.id, local_ufrag=ufrag, local_pwd=pwd, remote_ufrag=offered.ufrag, remote_pwd=offered.pwd
        )
        self._local = replace(self._local, ufrag=ufrag, pwd=pwd, version=self._local.version + 1)
        self._accepted = offered
        self.answer_sdp = render(offered, self._local, self._streams)
        return self.answer_sdp

    def _add_source(self, index: int, entry: Taken) -> Upstream:
        source = self._host.engine.new_id()
        self._host.engine.native.add_source(
            source,
            self.id,
            kind=entry.kind,
            mid=entry.section.mid if "mid" in extensions_of(entry.section).values() else None,
            ssrcs=() if entry.rids else entry.section.streams,
            rids=entry.rids,
            codecs=[(payload.pt, payload.codec, payload.repair) for payload in entry.payloads],
        )
        return Upstream(source, entry.section.mid or str(index), entry.kind, entry.label or "")

    def _add_sink(self, index: int, entry: Taken, ssrcs: tuple[int, int | None], name: str) -> Slot:
        sink = self._host.engine.new_id()
        self._host.engine.native.add_sink(
            sink,
            self.id,
            kind=entry.kind,
            mid=entry.section.mid if "mid" in extensions_of(entry.section).values() else None,
            ssrc=ssrcs[0],
            rtx_ssrc=ssrcs[1],
            cname=name,
            codecs=[(payload.codec, payload.pt, payload.repair) for payload in entry.payloads],
        )
        return Slot(sink, entry.section.mid or str(index), entry.kind)

    def _ssrcs(self, entry: Taken) -> tuple[int, int | None]:
        repairs = entry.kind == "video" and any(payload.repair is not None for payload in entry.payloads)
        return self._host.ssrc(), self._host.ssrc() if repairs else None

    def _tell(self, state: PeerState) -> None:
        if self.on_state is not None:
            self.on_state(self, state)


class LinkPeer(End):
    """The media transport of one link to a neighbouring gateway.  Streams are added and removed by SSRC.

    The child dials (controlling, DTLS client), the parent listens (ICE-lite, DTLS server).
    """

    def __init__(self, host: Host, dials: bool) -> None:
        super().__init__(host, "client" if dials else "server", wait_nominated=dials)
        self.on_state: Callable[[LinkPeer, PeerState], None] | None = None
        ufrag, pwd = host.credentials()
        self.parameters = LinkParameters(ufrag, pwd, f"sha-256 {host.fingerprint}")
        self._dials = dials
        self._detour: Detour | None = None
        self._cname = cname(host.session())
        self._carried: set[Stream] = set()
        self._spare: dict[Kind, list[Stream]] = {"audio": [], "video": []}
        self._copies: dict[int, int] = {}
        """Sink to the sink of its small copy, where there ever was one."""
        self._expected: dict[int, int] = {}

    def start(
        self,
        remote: LinkParameters,
        candidates: Sequence[tuple[str, int]] = (),
        stream: tuple[str, int] | None = None,
    ) -> Self:
        """Connect to ``remote``; a dialling link sends checks to ``candidates`` (IP literal, port).

        Args:
            stream: IP literal and TCP port that are dialled when datagrams do not get through.

        Raises:
            SdpError: The neighbour's parameters are not well formed.
        """
        fingerprint = link_parameters(remote.ufrag, remote.pwd, remote.fingerprint)
        self._host.engine.native.add_transport(
            self.id,
            local_ufrag=self.parameters.ufrag,
            local_pwd=self.parameters.pwd,
            remote_ufrag=remote.ufrag,
            remote_pwd=remote.pwd,
            controlling=self._dials,
            candidates=tuple(candidates),
            extensions=LINK_EXTENSIONS,
        )
        self.connect([fingerprint])
        if self._dials and stream is not None:
            self._detour = Detour(self._host.engine, self.id, stream, self._host.spawn, lambda: self._transport.reached)
        return self

    def carry(self, kind: Kind) -> Stream:
        """Open a stream to the neighbour.  Feed its sink with a route.

        A stream given back by ``uncarry`` is used again: the neighbour holds an SRTP context for each SSRC it
        ever heard on this transport, and holds only so many.
        """
        spare = self._spare[kind]
        if spare:
            stream = spare.pop()
        else:
            small = (self._host.ssrc(), self._host.ssrc()) if kind == "video" else None
            ssrc, repair = self._host.ssrc(), self._host.ssrc() if kind == "video" else None
            stream = Stream(kind, self._open(kind, ssrc, repair), ssrc, repair, small)
        self._carried.add(stream)
        return stream

    def copy(self, stream: Stream) -> int:
        """Return the sink of a picture's small copy, for a route and a want beside the large one's.

        Raises:
            ValueError: The transport has as many sinks as it may.
        """
        if stream.sink not in self._copies:
            assert stream.small is not None
            self._copies[stream.sink] = self._open(stream.kind, *stream.small)
        return self._copies[stream.sink]

    def uncopy(self, stream: Stream) -> None:
        """Stop the small copy of a picture, if there is one."""
        copy = self._copies.get(stream.sink)
        if copy is not None and self.state not in FINAL:
            self._host.engine.route(copy, None)

    def _open(self, kind: Kind, ssrc: int, repair: int | None) -> int:
        sink = self._host.engine.new_id()
        self._host.engine.native.add_sink(
            sink,
            self.id,
            kind=kind,
            mid=None,
            ssrc=ssrc,
            rtx_ssrc=repair,
            cname=self._cname,
            codecs=LINK_CODECS[kind],
        )
        return sink

    def uncarry(self, stream: Stream) -> None:
        """Stop a stream and keep it for the next ``carry``.  Its sequence goes on: an SRTP index is never repeated."""
        if stream in self._carried and self.state not in FINAL:
            self._host.engine.route(stream.sink, None)
            self.uncopy(stream)
            self._spare[stream.kind].append(stream)
        self._carried.discard(stream)

    def expect(self, kind: Kind, streams: Sequence[tuple[int, int | None]]) -> int:
        """Describe a track the neighbour carries to us; returns its source.  Replaces what its SSRC was before.

        Args:
            streams: (ssrc, rtx_ssrc) of each of its one or two sizes, the smallest first.
        """
        ssrc = streams[-1][0]
        before = self._expected.get(ssrc)
        if before is not None:
            self.unexpect(before)
        source = self._host.engine.new_id()
        self._host.engine.native.add_source(
            source,
            self.id,
            kind=kind,
            mid=None,
            ssrcs=streams,
            rids=(),
            codecs=[(pt, codec, repair) for codec, pt, repair in LINK_CODECS[kind]],
        )
        self._expected[ssrc] = source
        return source

    def unexpect(self, source: int) -> None:
        """Forget a stream.  A source already replaced or gone with its transport is ignored."""
        for ssrc, known in self._expected.items():
            if known == source:
                del self._expected[ssrc]
                if self.state not in FINAL:
                    self._host.engine.native.drop_source(source)
                return

    def _tell(self, state: PeerState) -> None:
        if self._detour is not None:
            self._detour.moved(state)
        if self.on_state is not None:
            self.on_state(self, state)
