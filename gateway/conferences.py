"""The conferences of this node as others see them: views for people, rosters from links, who speaks.

Which there are is ``meetings.py``, who sits in them here is ``seats.py``, who speaks is ``floors.py``, and the
packets' way is ``switching.py``; this makes one of them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from media.engine import Engine
from media.peer import Peers
from signaling.conference import Plan, Room
from signaling.division import Tree
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode
from signaling.messages import (
    ConferenceView,
    LinkMessage,
    LinkQuality,
    LinkRosters,
    LinkSpeaker,
    LinkVoices,
    ParticipantView,
    Speaking,
)
from signaling.records import Actor
from signaling.roster import check_roster
from signaling.routing import Router

from . import telemetry
from .clock import Clock
from .floors import Floors
from .journal import Journal, Row
from .keyframes import Keyframes
from .loads import Loads
from .meetings import Meeting, Meetings
from .qualities import Qualities
from .refusals import Refusals
from .seats import Seats
from .switching import Switching
from .trunks import Port

VIEWS_S = 0.4
"""How often a changing roster is shown to the sessions."""
LEVELS_S = 0.25
"""How often it is decided who speaks while nothing happens: a challenger's time may have come."""
MAX_STRANGE = 256
"""Rosters of meetings we have not heard of yet, per neighbour: their records are on the way."""


class Conferences:
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
        loads: Loads,
    ) -> None:
        self.on_view: Callable[[ConferenceView], None] | None = None
        """Called when a conference looks different from outside."""
        self.on_speaker: Callable[[Speaking], None] | None = None
        self._node = node
        self._tree = tree
        self._router = router
        self._switching = Switching(clock, engine, peers, self._rooms, self._show, self._gone)
        self._floors = Floors(clock, self._switching, self._spoke)
        self.qualities = Qualities(engine, self._switching, lambda: loads.strain)
        self._meetings = Meetings(node, tree, journal, refusals, clock, self._moved)
        keyframes = Keyframes(node, clock, engine, self._switching)
        self._seats = Seats(node, tree, journal, clock, peers, loads, self._meetings, self._switching, keyframes)
        self._shown: dict[ConferenceId, tuple[ParticipantView, ...]] = {}
        self._unshown: set[ConferenceId] = set()
        self._showing: asyncio.TimerHandle | None = None
        engine.on_started = self._seats.started
        engine.on_levels = self._floors.levels
        engine.on_video = self._switching.video
        journal.follow(self._fold, ("conference:", "participant:"))
        self._seats.restarted()

        # Asked of the conferences, done by their parts.
        self.heard = self._floors.heard
        self.receive = self._meetings.receive
        self.convene = self._meetings.convene
        self.end = self._meetings.end
        self.may_join = self._meetings.may_join
        self.join = self._seats.join
        self.leave = self._seats.leave
        self.attach = self._seats.attach
        self.restart = self._seats.restart
        self.watch = self._seats.watch
        self.publishing = self._seats.publishing
        self.sizes = self._seats.sizes
        self.frozen = self._seats.frozen
        self.whip = self._seats.whip
        self.whep = self._seats.whep
        self.hang_up = self._seats.hang_up
        self.keyframe = self._seats.keyframe

    # ---- records --------------------------------------------------------------------------------

    def _fold(self, rows: Sequence[Row]) -> None:
        self._meetings.fold(rows)
        self._seats.fold(rows)

    def _moved(self, meeting: Meeting) -> None:
        """A conference was convened or has ended."""
        conference = meeting.record.conference
        if meeting.ended:
            self._seats.clear(conference)
            self._floors.forget(conference)
        self._changed(conference)

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

    @property
    def link_transports(self) -> dict[NodeCode, int]:
        """The engine's transport of each link that has one."""
        trunks = sorted(self._switching.trunks.items())
        return {peer: trunk.transport for peer, trunk in trunks if trunk.transport is not None}

    # ---- views ----------------------------------------------------------------------------------

    def list(self, actor: Actor) -> list[ConferenceView]:
        """Return the conferences ``actor`` may join, running ones first, then the newest."""
        known = [self._view(meeting) for meeting in self._meetings if self.may_join(actor, meeting.record.conference)]
        return sorted(known, key=lambda view: (view.ended, -view.convened_at))

    def view(self, actor: Actor, conference: ConferenceId) -> ConferenceView:
        """Return one conference.

        Raises:
            Refused: ``unknown-conference``: there is none, or none for ``actor``.
        """
        return self._view(self._meetings.seen(actor, conference))

    def _view(self, meeting: Meeting) -> ConferenceView:
        conference = meeting.record.conference
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

    # ---- links ----------------------------------------------------------------------------------

    def link_kept(self, peer: NodeCode) -> str:
        """Return the name of the media transport with ``peer`` that works; "": there is none."""
        return self._switching.link_kept(peer)

    def link_up(self, port: Port) -> None:
        self._switching.link_up(port)
        self._floors.link_up(port.peer)
        self.qualities.forget(port.peer)

    def link_down(self, port: Port) -> None:
        self._switching.link_down(port)

    def _gone(self, peer: NodeCode) -> None:
        """A neighbour is gone, media and all."""
        self._floors.link_down(peer)
        self.qualities.forget(peer)

    def link_said(self, port: Port, message: LinkMessage) -> None:
        """A neighbour said something about conferences.

        Raises:
            Refused: It may not say that.
        """
        match message:
            case LinkRosters():
                self._roster(port.peer, message)
            case LinkVoices() if self._heard_of(port.peer, message.conference):
                self._floors.link_voices(port.peer, message)
            case LinkSpeaker() if self._heard_of(port.peer, message.conference):
                self._floors.link_speaker(port.peer, message)
            case LinkVoices() | LinkSpeaker():
                telemetry.count("link_unknown_conference", peer=port.peer)
            case LinkQuality():
                self.qualities.link_said(port.peer, message)
            case _:
                self._switching.link_said(port, message)

    def _heard_of(self, peer: NodeCode, conference: ConferenceId) -> bool:
        return self._meetings.get(conference) is not None or conference in self._switching.rosters(peer)

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
        return {meeting.record.conference: self._room(meeting) for meeting in self._meetings if not meeting.ended}

    def _room(self, meeting: Meeting) -> Room:
        return Room(
            concerned=frozenset(p for p in self._switching.trunks if self._router.concerns(meeting.record, p)),
            speaker=self._floors.speaker(meeting.record.conference),
            heard=self._floors.heard(meeting.record.conference),
        )

    def _changed(self, conference: ConferenceId) -> None:
        self._unshown.add(conference)
        self._switching.unsettled()

    def _show(self, plan: Plan) -> None:
        """Decide who speaks, and note which conferences look different now."""
        self._floors.settled(plan)
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
            meeting = self._meetings.get(conference)
            assert meeting is not None
            if meeting.ended:
                self._shown.pop(conference, None)
            if self.on_view is not None:
                self.on_view(self._view(meeting))

    def _spoke(self, conference: ConferenceId) -> None:
        """Somebody else speaks."""
        if self.on_speaker is not None:
            self.on_speaker(Speaking(conference=conference, speaker=self._floors.speaker(conference)))

    # ---- the clock ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide again and again who speaks in the meetings there are, until cancelled."""
        while True:
            await asyncio.sleep(LEVELS_S)
            if any(self._switching.plan.voices.values()):
                self._switching.unsettled()

    async def close(self) -> None:
        """End every connection."""
        for participant in list(self._switching.guests):
            self.leave(participant, "going away")
        if self._showing is not None:
            self._showing.cancel()
        await self._switching.close()
