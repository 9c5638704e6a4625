"""Who sits in the conferences at this node: sessions, WHIP publishers and WHEP viewers come, turn things on and go.

Where their packets go is ``switching.py``; which conferences there are, and for whom, is ``meetings.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from media.peer import PeerLimit, Peers, PeerState
from signaling import text
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import ConferenceId, Monotonic, NodeCode, ParticipantId, UtcMs
from signaling.messages import Joined, ParticipantView, Publishing, Sizes, TrackView
from signaling.permission import Action, permit, permitted
from signaling.records import Actor, ParticipantJoined, ParticipantLeft, Role
from signaling.roster import MAX_ID, MAX_NAME
from signaling.seating import AUDIO, CONTENT, HIDDEN, Seat
from signaling.wants import rung

from .clock import Clock
from .journal import Journal, Row
from .keyframes import Keyframes
from .loads import Loads
from .meetings import Meetings
from .switching import Guest, Listener, Switching, tracks_of

log = logging.getLogger(__name__)

MAX_PEOPLE = 1_000
"""Participants of one conference, on all sides: its rosters must fit into a link's longest message."""
MAX_SEATS = 2_000
RETURN_S = 120.0
"""Who was in a meeting comes back within this, also to a node that is too busy for newcomers."""
MAX_SEATS_OF_ONE = 64
"""Connections of one person or device: a stolen token cannot fill the node."""


class Seats:
    """Everybody whose connection ends here.  ``fold`` is to be given every row about participants, in order."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        clock: Clock,
        peers: Peers,
        loads: Loads,
        meetings: Meetings,
        switching: Switching,
        keyframes: Keyframes,
    ) -> None:
        self._node = node
        self._tree = tree
        self._journal = journal
        self._clock = clock
        self._peers = peers
        self._loads = loads
        self._left: dict[tuple[Actor, ConferenceId], Monotonic] = {}
        """When who was here left last: they may come back to a busy node."""
        self._meetings = meetings
        self._switching = switching
        self._keyframes = keyframes
        self._attending: dict[ParticipantId, tuple[Actor, ConferenceId]] = {}
        """Joined and not left, by the journal."""

    def fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case ParticipantJoined() as record:
                    self._attending[record.participant] = record.who, record.conference
                case ParticipantLeft() as record:
                    who = self._attending.pop(record.participant, None)
                    if who is not None:
                        self._remember(who, record.at)
                case _:
                    pass

    def restarted(self) -> None:
        """Record that whoever was here when the node ended is gone.  They all come back at once, before others."""
        for participant, who in self._attending.items():
            self._record_left(participant, who[1], "node restarted")
            self._remember(who, self._clock.at())

    # ---- terminals and consoles -----------------------------------------------------------------

    def join(
        self, actor: Actor, conference: ConferenceId, sdp: str, name: str, request: int, listener: Listener
    ) -> Joined:
        """Seat a session.  The answer is ready at once; media follows when the connection is up.

        Raises:
            Refused: ``unknown-conference``, ``conference-ended``, ``bad-text``, ``media-full``, ``node-busy``.
            SdpError: The offer cannot be used.
        """
        guest = self._sit(actor, conference, sdp, name, listener=listener)
        self._switching.settle()
        guest.told = self._switching.slots(guest)
        return Joined(
            request=request,
            conference=conference,
            participant=guest.id,
            sdp=guest.peer.answer_sdp,
            slots=guest.told,
        )

    def leave(self, participant: ParticipantId, reason: str = "left") -> None:
        """Unseat a participant.  Leaving twice is leaving."""
        guest = self._switching.leave(participant)
        if guest is None:
            return
        self._record_left(participant, guest.seat.conference, reason)
        self._remember((guest.who, guest.seat.conference), self._clock.at())
        log.info("participant left", extra={"participant": participant, "reason": reason})

    def _remember(self, who: tuple[Actor, ConferenceId], at: UtcMs) -> None:
        """Note that somebody left at ``at``, perhaps before this node was started anew."""
        ago_s = max(0, self._clock.at() - at) / 1_000
        if ago_s > RETURN_S:
            return
        self._left.pop(who, None)
        self._left[who] = Monotonic(self._clock.now() - ago_s)
        if len(self._left) > MAX_SEATS:
            del self._left[next(iter(self._left))]

    def _record_left(self, participant: ParticipantId, conference: ConferenceId, reason: str) -> None:
        self._journal.append(
            ParticipantLeft(
                node=self._node, at=self._clock.at(), conference=conference, participant=participant, reason=reason
            )
        )

    def attach(self, participant: ParticipantId, listener: Listener) -> bool:
        """Another session goes on in this seat, and is told its slots; False when the seat is gone."""
        guest = self._switching.guests.get(participant)
        if guest is None:
            return False
        guest.listener, guest.told = listener, ()
        self._switching.unsettled()
        return True

    def restart(self, participant: ParticipantId, sdp: str) -> str:
        """Answer an offer of new ICE credentials; everything else of the seat stays.

        Raises:
            Refused: ``not-joined``.
            SdpError: It is not the seat's connection.
        """
        return self._guest(participant).peer.restart(sdp)

    def watch(self, participant: ParticipantId, slot: int, target: ParticipantId | None) -> None:
        """Pin ``target`` into a video slot, or give the slot back.

        Raises:
            Refused: ``not-joined``, ``unknown-slot`` or ``unknown-participant``.
        """
        guest = self._guest(participant)
        if not 0 <= slot < guest.seat.pictures:
            raise Refused("unknown-slot", f"slot {slot} of {guest.seat.pictures}")
        pins = {index: pinned for index, pinned in guest.seat.pins.items() if index != slot}
        if target is not None:
            self._present(guest.seat.conference, target)
            pins[slot] = target
        self._switching.reseat(guest, replace(guest.seat, pins=pins))

    def publishing(self, participant: ParticipantId, said: Publishing) -> None:
        """Camera, microphone or content was switched.

        Raises:
            Refused: ``not-joined``.
        """
        guest = self._guest(participant)
        on = {AUDIO: said.audio, CONTENT: said.content}
        tracks = tuple(
            msgspec.structs.replace(track, muted=not on.get(track.label, said.video))
            for track in guest.seat.view.tracks
        )
        self._retrack(guest, tracks)

    def sizes(self, participant: ParticipantId, said: Sizes) -> None:
        """The page says how high each picture is on its screen.

        Raises:
            Refused: ``not-joined`` or ``unknown-slot``.
        """
        guest = self._guest(participant)
        for size in said.slots:
            if size.slot >= guest.seat.pictures:
                raise Refused("unknown-slot", f"slot {size.slot} of {guest.seat.pictures}")
        heights = {size.slot: HIDDEN if size.height == HIDDEN else rung(size.height) for size in said.slots}
        if heights != guest.seat.heights:
            self._switching.reseat(guest, replace(guest.seat, heights=heights))

    def frozen(self, participant: ParticipantId, ms: int) -> None:
        """A picture stood still on the page for so many milliseconds.

        Raises:
            Refused: ``not-joined``.
        """
        self._guest(participant).frozen_ms += ms

    # ---- WHIP and WHEP --------------------------------------------------------------------------

    def whip(self, actor: Actor, conference: ConferenceId, sdp: str, name: str = "") -> tuple[str, str]:
        """Seat a publisher; returns (resource id, answer).

        Raises:
            Refused: As ``join``, and ``not-permitted``.
            SdpError: The offer cannot be used.
        """
        permit(actor, Action.PUBLISH, actor.division, self._tree)
        guest = self._sit(actor, conference, sdp, name)
        return guest.id, guest.peer.answer_sdp

    def whep(
        self, actor: Actor, conference: ConferenceId, participant: ParticipantId | None, sdp: str
    ) -> tuple[str, str]:
        """Seat a viewer of ``participant``, or of whoever speaks; returns (resource id, answer).

        Raises:
            Refused: As ``join``, and ``unknown-participant``.
            SdpError: The offer cannot be used.
        """
        self._meetings.seen(actor, conference)
        if participant is not None:
            self._present(conference, participant)
        guest = self._sit(actor, conference, sdp, "", only=participant)
        return guest.id, guest.peer.answer_sdp

    def hang_up(self, resource: str, actor: Actor) -> None:
        """End what ``whip`` or ``whep`` began.

        Raises:
            Refused: ``unknown-resource``: there is none, or it is not the actor's.
        """
        guest = self._switching.guests.get(ParticipantId(resource))
        if guest is None or guest.listener is not None or (guest.who != actor and actor.role is not Role.ADMIN):
            raise Refused("unknown-resource", f"no connection {resource[:MAX_ID]!r} of yours")
        self.leave(guest.id, "hung up")

    # ---- snapshots ------------------------------------------------------------------------------

    async def keyframe(self, actor: Actor, conference: ConferenceId, participant: ParticipantId) -> tuple[str, bytes]:
        """Return (codec, newest whole keyframe) of a participant's picture, wherever it is.

        Raises:
            Refused: ``unknown-…``, ``not-permitted``, or ``no-picture`` within 4 s.
        """
        self._meetings.seen(actor, conference)
        view = self._present(conference, participant)
        permit(actor, Action.SNAPSHOT, view.division, self._tree)
        return await self._keyframes.newest(conference, participant)

    # ---- seats ----------------------------------------------------------------------------------

    def _sit(
        self,
        actor: Actor,
        conference: ConferenceId,
        sdp: str,
        name: str,
        *,
        listener: Listener | None = None,
        only: ParticipantId | None = None,
    ) -> Guest:
        if self._meetings.seen(actor, conference).ended:
            raise Refused("conference-ended", "the meeting is over")
        self._make_sure_of_room(actor, conference)
        shown = text.line(name or actor.name, "name", MAX_NAME)
        try:
            peer = self._peers.accept(sdp, conference)
        except PeerLimit as error:
            raise Refused("media-full", str(error)) from None
        participant = ParticipantId(self._clock.new_id("p"))
        may_publish = permitted(actor, Action.PUBLISH, actor.division, self._tree)
        tracks = tracks_of(participant, peer.upstreams if may_publish else ())
        view = ParticipantView(
            participant=participant,
            node=self._node,
            division=actor.division,
            name=shown,
            tracks=tuple(tracks.values()),
        )
        seat = Seat(
            conference=conference,
            view=view,
            pictures=sum(slot.kind != AUDIO for slot in peer.slots),
            voices=sum(slot.kind == AUDIO for slot in peer.slots),
            only=only,
        )
        guest = Guest(seat, actor, peer, listener, {source: track.track for source, track in tracks.items()})
        self._welcome(guest)
        return guest

    def _make_sure_of_room(self, actor: Actor, conference: ConferenceId) -> None:
        guests = self._switching.guests.values()
        left = self._left.get((actor, conference))
        if left is None or self._clock.now() - left > RETURN_S:
            self._loads.check()
        if len(guests) >= MAX_SEATS:
            raise Refused("media-full", f"{MAX_SEATS} connections")
        if len(self._switching.plan.present.get(conference, ())) >= MAX_PEOPLE:
            raise Refused("conference-full", f"{MAX_PEOPLE} participants")
        if sum(guest.who == actor for guest in guests) >= MAX_SEATS_OF_ONE:
            raise Refused("media-full", f"{MAX_SEATS_OF_ONE} connections of one person")

    def _welcome(self, guest: Guest) -> None:
        guest.peer.on_state = lambda _, state: self._connection(guest.id, state)
        self._switching.sit(guest)
        self._journal.append(
            ParticipantJoined(
                node=self._node,
                at=self._clock.at(),
                conference=guest.seat.conference,
                participant=guest.id,
                who=guest.who,
            )
        )
        log.info("participant joined", extra={"participant": guest.id, "conference": guest.seat.conference})

    def _connection(self, participant: ParticipantId, state: PeerState) -> None:
        if state in (PeerState.CLOSED, PeerState.FAILED):
            self.leave(participant, f"connection {state}")

    def clear(self, conference: ConferenceId) -> None:
        """Send everybody home: the conference is over."""
        for guest in [g for g in self._switching.guests.values() if g.seat.conference == conference]:
            self.leave(guest.id, "conference ended")

    def _guest(self, participant: ParticipantId) -> Guest:
        guest = self._switching.guests.get(participant)
        if guest is None:
            raise Refused("not-joined", "not in a conference")
        return guest

    def _present(self, conference: ConferenceId, participant: ParticipantId) -> ParticipantView:
        for view in self._switching.plan.present.get(conference, ()):
            if view.participant == participant:
                return view
        guest = self._switching.guests.get(participant)
        if guest is None or guest.seat.conference != conference:
            raise Refused("unknown-participant", f"nobody {participant[:MAX_ID]!r} is in this conference")
        return guest.seat.view

    def _retrack(self, guest: Guest, tracks: tuple[TrackView, ...]) -> None:
        if tracks != guest.seat.view.tracks:
            view = msgspec.structs.replace(guest.seat.view, tracks=tracks)
            self._switching.reseat(guest, replace(guest.seat, view=view))

    # ---- the engine's news ----------------------------------------------------------------------

    def started(self, source: int, codec: str) -> None:
        """The first packet of a source came: its codec is known now."""
        owner = self._switching.owner(source)
        if owner is not None:
            guest, track = owner
            self._retrack(
                guest,
                tuple(
                    msgspec.structs.replace(view, codec=codec) if view.track == track else view
                    for view in guest.seat.view.tracks
                ),
            )
