"""Runs the conferences of this node: who convenes, joins, publishes, watches and is seen.

The rules are ``signaling/conference.py`` and ``signaling/floor.py``, the packets' way is
``switching.py``; here are the records, the rights and the views.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec

from media.engine import Engine
from media.peer import PeerLimit, Peers, PeerState
from signaling import text
from signaling.admission import Facts, admit, check_conference
from signaling.conference import AUDIO, CONTENT, Plan, Room, Seat
from signaling.division import Tree
from signaling.errors import Refused
from signaling.floor import UNKNOWN_DBOV
from signaling.ids import ConferenceId, NodeCode, ParticipantId, Seq
from signaling.messages import (
    ConferenceView,
    Joined,
    LinkLevels,
    LinkMessage,
    LinkRosters,
    ParticipantView,
    Publishing,
    Speaking,
    TrackView,
)
from signaling.permission import Action, permit, permitted
from signaling.records import (
    Actor,
    ConferenceConvened,
    ConferenceEnded,
    ParticipantJoined,
    ParticipantLeft,
    Role,
    ScopeItem,
)
from signaling.roster import MAX_ID, MAX_NAME, check_roster
from signaling.routing import Router

from .clicks import conference_of
from .clock import Clock
from .floors import Floors
from .journal import Journal, Row
from .keyframes import Keyframes
from .refusals import Refusals
from .switching import Guest, Listener, Switching, tracks_of
from .tentative import Tentative
from .trunks import Port

log = logging.getLogger(__name__)

VIEWS_S = 0.4
"""How often a changing roster is shown to the sessions."""
LEVELS_S = 0.25
"""How often it is decided who speaks, and neighbours are told how loud it is here."""
MAX_PEOPLE = 1_000
"""Participants of one conference, on all sides: its rosters must fit into a link's longest message."""
MAX_STRANGE = 256
"""Rosters of meetings we have not heard of yet, per neighbour: their records are on the way."""
MAX_SEATS = 2_000
MAX_SEATS_OF_ONE = 64
"""Connections of one person or device: a stolen token cannot fill the node."""
MAY_JOIN_REMEMBERED = 65_536


@dataclass(frozen=True, slots=True)
class Meeting:
    """A conference this node knows."""

    record: ConferenceConvened
    ended: bool = False


class Conferences(Facts):
    """All conferences of this node.  Construct before anything is appended; run ``run`` in a task group."""

    def __init__(
        self,
        node: NodeCode,
        tree: Tree,
        journal: Journal,
        router: Router,
        refusals: Refusals,
        clock: Clock,
        engine: Engine,
        peers: Peers,
    ) -> None:
        self.on_view: Callable[[ConferenceView], None] | None = None
        """Called when a conference looks different from outside."""
        self.on_speaker: Callable[[Speaking], None] | None = None
        self._node = node
        self._tree = tree
        self._journal = journal
        self._router = router
        self._refusals = refusals
        self._clock = clock
        self._engine = engine
        self._peers = peers
        self._meetings: dict[ConferenceId, Meeting] = {}
        self._coming: dict[ConferenceId, ConferenceConvened] = {}
        """Received and not yet durable."""
        self._calling: Tentative[ConferenceId, tuple[ConferenceConvened, asyncio.Future[Seq]]] = Tentative()
        self._switching = Switching(clock, engine, peers, self._rooms, self._show)
        self._floors = Floors(clock, self._switching)
        self._keyframes = Keyframes(node, clock, engine, self._switching)
        self._shown: dict[ConferenceId, tuple[ParticipantView, ...]] = {}
        self._unshown: set[ConferenceId] = set()
        self._showing: asyncio.TimerHandle | None = None
        self._attending: dict[ParticipantId, ConferenceId] = {}
        """Joined and not left, by the journal."""
        self._may_join = lru_cache(MAY_JOIN_REMEMBERED)(self._invited)
        engine.on_started = self._started
        engine.on_levels = self._floors.levels
        journal.follow(self._fold, ("conference:", "participant:"))
        for participant, conference in self._attending.items():
            self._record_left(participant, conference, "node restarted")

    # ---- records --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            match row.record:
                case ConferenceConvened() as record:
                    self._coming.pop(record.conference, None)
                    self._meetings.setdefault(record.conference, Meeting(record))
                    self._changed(record.conference)
                case ConferenceEnded() as record if (known := self._meetings.get(record.conference)) is not None:
                    self._meetings[record.conference] = replace(known, ended=True)
                    self._end(record.conference)
                    self._floors.forget(record.conference)
                    self._changed(record.conference)
                case ParticipantJoined() as record:
                    self._attending[record.participant] = record.conference
                case ParticipantLeft() as record:
                    self._attending.pop(record.participant, None)
                case _:
                    pass

    def receive(self, record: ConferenceConvened | ConferenceEnded, via: NodeCode) -> None:
        """Take a record from a neighbour; a refused one is journalled as such."""
        try:
            admit(record, via, self._node, self._tree, self)
        except Refused as error:
            self._refusals.record(None, type(record).__name__, record.conference, error, via=via)
            return
        if isinstance(record, ConferenceConvened) and record.conference not in self._meetings:
            self._coming[record.conference] = record
        self._journal.append(record, via=via)

    def convened(self, conference: ConferenceId) -> ConferenceConvened | None:
        meeting = self._meetings.get(conference)
        return self._coming.get(conference) if meeting is None else meeting.record

    # ---- counts ---------------------------------------------------------------------------------

    @property
    def participants(self) -> int:
        """How many connections of participants end here."""
        return len(self._switching.guests)

    @property
    def carried(self) -> dict[str, int]:
        """Tracks on all links now, by direction: in and out."""
        trunks = self._switching.trunks.values()
        return {"in": sum(len(t.sources) for t in trunks), "out": sum(len(t.sinks) for t in trunks)}

    # ---- commands -------------------------------------------------------------------------------

    async def convene(
        self, actor: Actor, title: str, scope: Sequence[ScopeItem], exercise: bool = False, click_id: str = ""
    ) -> tuple[ConferenceConvened, bool]:
        """Call a meeting; return it once it is durable, and whether this call made it.

        Args:
            click_id: The press of a button this comes from: the same one again is the same meeting.  Empty: none.

        Raises:
            Refused: ``not-permitted``, ``bad-text`` or a scope that cannot be.
        """
        conference = conference_of(self._node, actor, click_id) if click_id else None
        if conference is not None and (known := await self._called(conference)) is not None:
            return known, False
        record = ConferenceConvened(
            node=self._node,
            at=self._clock.at(),
            conference=conference or ConferenceId(self._clock.new_id("c")),
            title=title,
            by=actor,
            scope=tuple(scope),
            sites=self._tree.expand(scope),
            exercise=exercise,
        )
        try:
            check_conference(record, self._tree)
        except Refused as error:
            self._refuse(actor, Action.CONVENE, "", error)
            raise
        durable = self._journal.append(record)
        self._calling.hold(record.conference, (record, durable), durable)
        await durable
        log.info("conference convened", extra={"conference": record.conference, "sites": len(record.sites)})
        return record, True

    async def _called(self, conference: ConferenceId) -> ConferenceConvened | None:
        """Return the meeting if it was called before, as soon as it is durable."""
        if (calling := self._calling.get(conference)) is not None:
            await asyncio.shield(calling[1])
            return calling[0]
        meeting = self._meetings.get(conference)
        return None if meeting is None else meeting.record

    async def end(self, actor: Actor, conference: ConferenceId) -> None:
        """End a meeting that was convened here.  Ending it again changes nothing.

        Raises:
            Refused: ``unknown-conference``, ``not-permitted`` or ``not-here``.
        """
        meeting = self._seen(actor, conference)
        try:
            permit(actor, Action.END_CONFERENCE, meeting.record.by.division, self._tree)
        except Refused as error:
            self._refuse(actor, Action.END_CONFERENCE, conference, error)
            raise
        if meeting.record.node != self._node:
            raise Refused("not-here", f"it was convened at {meeting.record.node}")
        if not meeting.ended:
            await self._journal.append(
                ConferenceEnded(node=self._node, at=self._clock.at(), conference=conference, by=actor)
            )

    def _refuse(self, actor: Actor, action: Action, target: str, error: Refused) -> None:
        """Write down what somebody may not; mistakes are only theirs to know."""
        if error.code == "not-permitted":
            self._refusals.record(actor, action, target, error)

    # ---- views ----------------------------------------------------------------------------------

    def may_join(self, actor: Actor, conference: ConferenceId) -> bool:
        return conference in self._meetings and self._may_join(actor.role, actor.division, conference)

    def _invited(self, role: Role, division: NodeCode, conference: ConferenceId) -> bool:
        """Return what never changes: whether such people are at a site of the conference."""
        record = self._meetings[conference].record
        anybody = Actor("", role, division)
        return any(permitted(anybody, Action.JOIN, site, self._tree) for site in (record.node, *record.sites))

    def list(self, actor: Actor) -> list[ConferenceView]:
        """Return the conferences ``actor`` may join, running ones first, then the newest."""
        known = [self._view(c) for c in self._meetings if self.may_join(actor, c)]
        return sorted(known, key=lambda view: (view.ended, -view.convened_at))

    def view(self, actor: Actor, conference: ConferenceId) -> ConferenceView:
        """Return one conference.

        Raises:
            Refused: ``unknown-conference``: there is none, or none for ``actor``.
        """
        self._seen(actor, conference)
        return self._view(conference)

    def _seen(self, actor: Actor, conference: ConferenceId) -> Meeting:
        meeting = self._meetings.get(conference)
        if meeting is None or not self.may_join(actor, conference):
            raise Refused("unknown-conference", f"no conference {conference[:MAX_ID]!r} for you")
        return meeting

    def _view(self, conference: ConferenceId) -> ConferenceView:
        meeting = self._meetings[conference]
        return ConferenceView(
            conference=conference,
            title=meeting.record.title,
            home=meeting.record.node,
            convened_at=meeting.record.at,
            ended=meeting.ended,
            exercise=meeting.record.exercise,
            participants=self._switching.plan.present.get(conference, ()),
            speaker=self._floors.speaker(conference),
        )

    # ---- terminals and consoles -----------------------------------------------------------------

    def join(
        self, actor: Actor, conference: ConferenceId, sdp: str, name: str, request: int, listener: Listener
    ) -> Joined:
        """Seat a session.  The answer is ready at once; media follows when the connection is up.

        Raises:
            Refused: ``unknown-conference``, ``conference-ended``, ``bad-text``, ``media-full``.
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
        log.info("participant left", extra={"participant": participant, "reason": reason})

    def _record_left(self, participant: ParticipantId, conference: ConferenceId, reason: str) -> None:
        self._journal.append(
            ParticipantLeft(
                node=self._node, at=self._clock.at(), conference=conference, participant=participant, reason=reason
            )
        )

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
        self._seen(actor, conference)
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
        self._seen(actor, conference)
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
        if self._seen(actor, conference).ended:
            raise Refused("conference-ended", "the meeting is over")
        self._make_sure_of_room(actor, conference)
        shown = text.line(name or actor.name, "name", MAX_NAME)
        try:
            peer = self._peers.accept(sdp)
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

    def _end(self, conference: ConferenceId) -> None:
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

    def _started(self, source: int, codec: str) -> None:
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

    # ---- links ----------------------------------------------------------------------------------

    def link_up(self, port: Port) -> None:
        self._switching.link_up(port)

    def link_down(self, port: Port) -> None:
        self._switching.link_down(port)

    def link_said(self, port: Port, message: LinkMessage) -> None:
        """A neighbour said something about conferences.

        Raises:
            Refused: It may not say that.
        """
        match message:
            case LinkRosters():
                self._roster(port.peer, message)
            case LinkLevels():
                self._floors.link_levels(port.peer, message)
            case _:
                self._switching.link_said(port, message)

    def _roster(self, peer: NodeCode, said: LinkRosters) -> None:
        check_roster(said, peer, self._node, self._tree)
        known = self._switching.rosters(peer)
        meeting = self._meetings.get(said.conference)
        if meeting is None and said.conference not in known and len(known) >= MAX_STRANGE + len(self._meetings):
            raise Refused("bad-roster", "too many unknown conferences")
        if meeting is not None and not self._router.concerns(meeting.record, peer):
            raise Refused("bad-roster", f"{peer} has no part in {said.conference}")
        self._switching.roster(peer, said.conference, said.participants)

    # ---- settling and showing -------------------------------------------------------------------

    def _rooms(self) -> dict[ConferenceId, Room]:
        return {conference: self._room(meeting) for conference, meeting in self._meetings.items() if not meeting.ended}

    def _room(self, meeting: Meeting) -> Room:
        return Room(
            concerned=frozenset(p for p in self._switching.trunks if self._router.concerns(meeting.record, p)),
            speaker=self._floors.speaker(meeting.record.conference),
            loudness=self._floors.loudness(meeting.record.conference),
            unknown=UNKNOWN_DBOV,
        )

    def _changed(self, conference: ConferenceId) -> None:
        self._unshown.add(conference)
        self._switching.unsettled()

    def _show(self, plan: Plan) -> None:
        """Note which conferences look different now."""
        for conference, present in plan.present.items():
            if self._shown.get(conference) != present:
                self._shown[conference] = present
                self._unshown.add(conference)
        if self._unshown and self._showing is None:
            self._show_now()

    def _show_now(self) -> None:
        """Show what changed, then nothing for a while."""
        self._showing = None
        changed, self._unshown = self._unshown, set()
        if not changed:
            return
        self._showing = asyncio.get_running_loop().call_later(VIEWS_S, self._show_now)
        for conference in changed:
            if self._meetings[conference].ended:
                self._shown.pop(conference, None)
            if self.on_view is not None:
                self.on_view(self._view(conference))

    # ---- the clock ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide who speaks and tell the neighbours how loud it is here, until cancelled."""
        while True:
            await asyncio.sleep(LEVELS_S)
            for conference, meeting in list(self._meetings.items()):
                if not meeting.ended and self._switching.plan.present.get(conference):
                    self._listen(conference)

    def _listen(self, conference: ConferenceId) -> None:
        speaker = self._floors.speaker(conference)
        if self._floors.settle(conference) != speaker and self.on_speaker is not None:
            self.on_speaker(Speaking(conference=conference, speaker=self._floors.speaker(conference)))

    async def close(self) -> None:
        """End every connection."""
        for participant in list(self._switching.guests):
            self.leave(participant, "going away")
        if self._showing is not None:
            self._showing.cancel()
        await self._switching.close()
