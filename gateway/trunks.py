"""The media of one link: a transport beside the WebSocket, and which tracks go each way on it.

The child offers as soon as the link is up and again whenever the transport is lost; everything on a
transport ends with it, so after a new one both sides say anew what they carry.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import msgspec

from media.answer import Kind
from media.engine import Coming
from media.peer import LinkParameters, LinkPeer, PeerLimit, PeerState, SdpError, Stream
from signaling.errors import Refused
from signaling.ids import NodeCode, TrackId
from signaling.link import backoff_s
from signaling.messages import CarriedTrack, LinkCarry, LinkMediaAnswer, LinkMediaOffer, LinkMessage

from . import telemetry
from .clock import Clock

log = logging.getLogger(__name__)

HELD_S = 15.0
"""So long media goes on without the link's WebSocket: a child dials again within 0.5 to 1.5 s, but the line is bad."""
MAX_CARRIED = 60
"""Tracks one link carries each way, voices first; with a small copy of each no more than ``media.max_sinks``."""


class Port(Protocol):
    """The live link this transport belongs to."""

    @property
    def peer(self) -> NodeCode: ...
    @property
    def dialled(self) -> bool: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def resumes(self) -> bool: ...
    @property
    def parted(self) -> bool: ...
    def say(self, message: LinkMessage, key: Hashable = None) -> None: ...


class LinkMedia(Protocol):
    """What we use of ``media.peer.Peers``."""

    @property
    def candidates(self) -> tuple[tuple[str, int], ...]: ...
    def link_dial(self) -> LinkPeer: ...
    def link_listen(self, remote: LinkParameters) -> LinkPeer: ...


@dataclass(frozen=True, slots=True)
class Carry:
    """How a track is to be carried."""

    kind: str
    priority: int
    """The lower goes first when there are too many."""
    coming: Coming
    """Less than "flows": a line is too narrow."""
    small: bool
    """Its small copy is to be carried too."""


class Trunk:
    """The media transport of one live link and the streams on it."""

    def __init__(
        self,
        port: Port,
        media: LinkMedia,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        changed: Callable[[], None],
        lost: Callable[[Trunk], None],
    ) -> None:
        """``changed`` is called when sources or sinks came or went; ``lost`` when one adrift is to be given up."""
        self.port = port
        self.sinks: dict[TrackId, int] = {}
        self.smalls: dict[TrackId, int] = {}
        """Sinks of small copies."""
        self.sources: dict[TrackId, int] = {}
        self.opened: set[int] = set()
        """All sinks of the transport.  One that carries nothing now may again; the engine keeps what it knows of it."""
        self.coming: Mapping[TrackId, Coming] = {}
        """How the pictures come that the peer does not send whole now, because a line is too narrow."""
        self._media = media
        self._clock = clock
        self._spawn = spawn
        self._changed = changed
        self._lost = lost
        self._peer: LinkPeer | None = None
        self._name = ""
        self._held: asyncio.TimerHandle | None = None
        self._started = False
        self._closed = False
        self._attempt = 0
        self._retry: asyncio.TimerHandle | None = None
        self._announced: tuple[CarriedTrack, ...] = ()
        self._expected: dict[TrackId, CarriedTrack] = {}
        self._carried: dict[TrackId, CarriedTrack] = {}
        self._streams: dict[TrackId, Stream] = {}
        if port.dialled:
            self._offer()

    @property
    def state(self) -> str:
        """connecting, connected, silent, closed, failed or none: for status pages."""
        return "none" if self._peer is None else str(self._peer.state)

    @property
    def transport(self) -> int | None:
        """The engine's transport; None while there is none."""
        return None if self._peer is None else self._peer.id

    @property
    def kept(self) -> str:
        """The transport's name while it works, by which both ends know it; else ""."""
        return self._name if self._started and self.state == PeerState.CONNECTED else ""

    @property
    def adrift(self) -> bool:
        """Whether there is nobody to say anything to."""
        return self._held is not None

    def drift(self) -> None:
        """The link's WebSocket is gone: what flows goes on for HELD_S, unless media dies as well."""
        loop = asyncio.get_running_loop()
        self._held = self._held or loop.call_later(HELD_S, self._lost, self)

    def take_up(self, port: Port) -> None:
        """The link is there again over ``port``; what was said last may not have come through."""
        if self._held is not None:
            self._held.cancel()
            self._held = None
        self.port = port
        self._say_carried()

    def close(self) -> None:
        self._closed = True
        for timer in (self._retry, self._held):
            if timer is not None:
                timer.cancel()
        self._drop()

    # ---- the transport --------------------------------------------------------------------------

    def offered(self, offer: LinkMediaOffer) -> None:
        """The child wants a transport; it replaces the one before.

        Raises:
            Refused: We are the child, or the parameters are not well formed.
        """
        if self.port.dialled:
            raise Refused("wrong-direction", "the child offers media")
        self._drop()
        try:
            peer = self._media.link_listen(LinkParameters(offer.ufrag, offer.pwd, offer.fingerprint))
        except (SdpError, PeerLimit) as error:
            raise Refused("media-refused", str(error)) from None
        self._take(peer, offer.ufrag)
        ours = peer.parameters
        self.port.say(
            LinkMediaAnswer(
                ufrag=ours.ufrag, pwd=ours.pwd, fingerprint=ours.fingerprint, candidates=self._media.candidates
            ),
            "media",
        )
        self._start()

    def answered(self, answer: LinkMediaAnswer) -> None:
        """The parent answered our offer.

        Raises:
            Refused: Nothing was offered, or the parameters are not well formed.
        """
        if self._peer is None or self._started or not self.port.dialled:
            raise Refused("unexpected-message", "no media was offered")
        candidates = [(host or self.port.host, port) for host, port in answer.candidates[:16]]
        try:
            self._peer.start(
                LinkParameters(answer.ufrag, answer.pwd, answer.fingerprint),
                candidates,
                (self.port.host, self.port.port),
            )
        except (SdpError, ValueError) as error:
            self._drop()
            raise Refused("media-refused", str(error)) from None
        self._start()

    def _offer(self) -> None:
        try:
            peer = self._media.link_dial()
        except PeerLimit:
            self._try_later()
            return
        ours = peer.parameters
        self._take(peer, ours.ufrag)
        self.port.say(LinkMediaOffer(ufrag=ours.ufrag, pwd=ours.pwd, fingerprint=ours.fingerprint), "media")

    def _take(self, peer: LinkPeer, name: str) -> None:
        self._peer, self._name = peer, name
        peer.on_state = self._moved

    def _start(self) -> None:
        self._started = True
        self._expect()
        self._changed()

    def _moved(self, peer: LinkPeer, state: PeerState) -> None:
        if peer is not self._peer:
            return
        log.info("link media", extra={"peer": self.port.peer, "state": str(state), "reason": peer.failure})
        if state is PeerState.CONNECTED:
            self._attempt = 0
        elif self.adrift:
            self._lost(self)
            return
        if state in (PeerState.CLOSED, PeerState.FAILED):
            telemetry.count("link_media_lost", reason=peer.failure or "closed")
            self._drop()
            self._changed()
            if self.port.dialled and not self._closed:
                self._try_later()

    def _try_later(self) -> None:
        wait_s = backoff_s(self._attempt, self._clock.random())
        self._retry = asyncio.get_running_loop().call_later(wait_s, self._again)

    def _again(self) -> None:
        self._retry = None
        self._attempt += 1
        if self._peer is None and not self._closed:
            self._offer()

    def _drop(self) -> None:
        """Forget the transport and every stream on it."""
        peer, self._peer = self._peer, None
        self._started = False
        self._announced = ()
        self.coming = {}
        self.sinks.clear()
        self.smalls.clear()
        self.opened.clear()
        self.sources.clear()
        self._carried.clear()
        self._streams.clear()
        self._expected.clear()
        if peer is not None:
            peer.on_state = None
            self._spawn(peer.close())

    # ---- the streams ----------------------------------------------------------------------------

    def carry(self, wanted: Mapping[TrackId, Carry]) -> None:
        """Carry exactly ``wanted``, and tell the peer if that is news; while it cannot be told, nothing more."""
        if self._peer is None or not self._started:
            return
        order = sorted(wanted, key=lambda track: (wanted[track].kind != "audio", wanted[track].priority, track))
        if len(wanted) > MAX_CARRIED:
            telemetry.count("link_carry_full", len(wanted) - MAX_CARRIED)
        before = dict(self._carried)
        chosen = [track for track in order[:MAX_CARRIED] if not self.adrift or track in before]
        for track in before.keys() - set(chosen):
            del self._carried[track], self.sinks[track]
            self.smalls.pop(track, None)
            self._peer.uncarry(self._streams.pop(track))
        for track in chosen:
            self._carried[track] = self._carrying(track, wanted[track])
            self._copy(track, wanted[track].small)
        if self._carried != before:
            self._say_carried()

    def _say_carried(self) -> None:
        self.port.say(LinkCarry(tracks=tuple(self._carried.values())), "carry")

    def _carrying(self, track: TrackId, want: Carry) -> CarriedTrack:
        known = self._carried.get(track)
        if known is not None:
            return _told(known, want.coming)
        assert self._peer is not None
        stream = self._streams[track] = self._peer.carry(cast(Kind, want.kind))
        self.sinks[track] = stream.sink
        self.opened.add(stream.sink)
        small_ssrc, small_rtx_ssrc = stream.small or (None, None)
        carried = CarriedTrack(
            track=track,
            kind=want.kind,
            ssrc=stream.ssrc,
            rtx_ssrc=stream.rtx_ssrc,
            small_ssrc=small_ssrc,
            small_rtx_ssrc=small_rtx_ssrc,
        )
        return _told(carried, want.coming)

    def _copy(self, track: TrackId, wanted: bool) -> None:
        """Open or pause the small copy of a track that is carried."""
        assert self._peer is not None
        stream = self._streams[track]
        if wanted and track not in self.smalls and stream.small is not None:
            try:
                self.smalls[track] = self._peer.copy(stream)
            except ValueError as error:
                telemetry.count("link_copy_refused")
                log.debug("small copy refused", extra={"track": track, "error": str(error)})
                return
            self.opened.add(self.smalls[track])
        elif not wanted and self.smalls.pop(track, None) is not None:
            self._peer.uncopy(stream)

    def carries(self, said: LinkCarry) -> None:
        """The peer carries exactly these to us.

        Raises:
            Refused: More than a link may carry, one twice, or a kind that does not exist.
        """
        ids = {track.track for track in said.tracks}
        ssrcs = [ssrc for track in said.tracks for ssrc in (track.ssrc, track.small_ssrc) if ssrc is not None]
        kinds = {track.kind for track in said.tracks}
        twice = len(ids) < len(said.tracks) or len(set(ssrcs)) < len(ssrcs)
        if len(said.tracks) > MAX_CARRIED or twice or not kinds <= {"audio", "video"}:
            raise Refused("bad-carry", f"{len(said.tracks)} tracks")
        self._announced = tuple(_told(track, "flows") for track in said.tracks)
        coming: dict[TrackId, Coming] = {track.track: "thumbnails" for track in said.tracks if track.thumbnails}
        self.coming = coming | {track.track: "paused" for track in said.tracks if track.paused}
        self._expect()
        self._changed()

    def _expect(self) -> None:
        if self._peer is None or not self._started:
            return
        announced = {track.track: track for track in self._announced}
        for track, known in list(self._expected.items()):
            if announced.get(track) != known:
                del self._expected[track]
                self._peer.unexpect(self.sources.pop(track))
        for track, said in announced.items():
            if track not in self._expected:
                try:
                    self.sources[track] = self._peer.expect(cast(Kind, said.kind), _pairs(said))
                except ValueError as error:
                    raise Refused("bad-carry", str(error)) from None
                self._expected[track] = said


def _pairs(said: CarriedTrack) -> list[tuple[int, int | None]]:
    """Return the streams on which a track comes, that of the small copy first."""
    large = (said.ssrc, said.rtx_ssrc)
    if said.small_ssrc is None or said.kind == "audio":
        return [large]
    return [(said.small_ssrc, said.small_rtx_ssrc), large]


def _told(track: CarriedTrack, coming: Coming) -> CarriedTrack:
    return msgspec.structs.replace(track, paused=coming == "paused", thumbnails=coming == "thumbnails")
