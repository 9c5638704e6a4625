"""Things come in here: records and messages from links, messages from sessions; and live views go out.

Two tables say who handles what.  Nothing is decided here: drivers and the policy decide, and this
module only knows their names.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from media.peer import SdpError
from signaling.directive import DraftRecord, HeaderRecord
from signaling.division import Tree
from signaling.errors import LocalError, Refused
from signaling.ids import CircularId, DirectiveId, NodeCode, Seq, Sha256
from signaling.messages import (
    VERSION,
    ClientMessage,
    ConferenceView,
    DeliveryChanged,
    Done,
    Frozen,
    GatewayMessage,
    Join,
    Leave,
    LinkBlobChunk,
    LinkBlobWant,
    LinkCarry,
    LinkMediaAnswer,
    LinkMediaOffer,
    LinkMessage,
    LinkPresence,
    LinkQuality,
    LinkRosters,
    LinkSpeaker,
    LinkVoices,
    LinkWant,
    Message,
    NodeView,
    Publishing,
    Receipt,
    Restart,
    Restarted,
    Ring,
    Silence,
    Sizes,
    Speaking,
    Watch,
    Welcome,
)
from signaling.permission import Action, permitted
from signaling.records import (
    Actor,
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AlarmWord,
    AnyRecord,
    AuditRead,
    CallAnswered,
    CallRaised,
    CircularAnswered,
    CircularSent,
    ConferenceConvened,
    ConferenceEnded,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveReturned,
    DirectivesRelayed,
    DirectiveSubmitted,
    DirectiveSuperseded,
    EscalationAcknowledged,
    EscalationRaised,
    RefusalRecorded,
    Role,
    RosterSet,
    Stage,
    TimerFired,
    TimerKind,
    UnitReported,
)

from .alarms import Alarms
from .audit import Audit
from .auth import Auth
from .circulars import Circulars
from .clock import Clock
from .conferences import Conferences
from .directives import Directives
from .escalations import Escalations, identity
from .heartbeat import AuditorWatch
from .journal import Row
from .links import Port
from .pace import Pace
from .presence import Presence
from .refusals import Refusals
from .resuming import Resuming
from .rosters import Rosters
from .sessions import Sessions, Visitor
from .transfers import Transfers

log = logging.getLogger(__name__)

LISTED = 50
"""Directives and alarms a new session is told of; older ones are listed over HTTP."""

CARDS_S = 0.25
"""A session is told of one card at most so often, whatever the rate of its alarms."""

LINK_MESSAGES: Mapping[type[Message], str] = {
    LinkRosters: "conferences",
    LinkVoices: "conferences",
    LinkSpeaker: "conferences",
    LinkQuality: "conferences",
    LinkWant: "conferences",
    LinkCarry: "conferences",
    LinkMediaOffer: "conferences",
    LinkMediaAnswer: "conferences",
    LinkPresence: "presence",
    LinkBlobWant: "transfers",
    LinkBlobChunk: "transfers",
}
"""Which part of the node a neighbour's message is for."""

RECORDS: Mapping[type, str] = {
    RosterSet: "rosters",
    DirectiveIssued: "directives",
    DirectiveRecalled: "directives",
    EscalationRaised: "escalations",
    EscalationAcknowledged: "escalations",
    DirectiveClosed: "directives",
    DirectiveAnnotated: "directives",
    DirectiveSuperseded: "directives",
    DirectiveCountersigned: "directives",
    DeliveryAdvanced: "directives",
    DirectivesRelayed: "directives",
    AlarmRaised: "alarms",
    AlarmPictured: "alarms",
    AlarmAdvanced: "alarms",
    CircularSent: "circulars",
    CircularAnswered: "circulars",
    AlarmGrouped: "alarms",
    AlarmDispatched: "alarms",
    UnitReported: "alarms",
    CallRaised: "alarms",
    CallAnswered: "alarms",
    ConferenceConvened: "conferences",
    ConferenceEnded: "conferences",
    AuditRead: "audit",
    RefusalRecorded: "audit",
}
"""Which driver receives a neighbour's record; a type that is not here never crosses a link."""


class Dispatch:
    """Knows every driver of the node, and is known by none of them."""

    def __init__(
        self,
        node: NodeCode,
        name: str,
        tree: Tree,
        clock: Clock,
        auth: Auth,
        refusals: Refusals,
        directives: Directives,
        escalations: Escalations,
        alarms: Alarms,
        circulars: Circulars,
        rosters: Rosters,
        audit: Audit,
        conferences: Conferences,
        presence: Presence,
        transfers: Transfers,
    ) -> None:
        self.sessions = Sessions(self, clock)
        self._resuming = Resuming(lambda participant: conferences.leave(participant, "session lost"))
        self._node = node
        self._name = name
        self._tree = tree
        self._clock = clock
        self._auth = auth
        self._refusals = refusals
        self._directives = directives
        self._escalations = escalations
        self._watched: AuditorWatch | None = None
        self._alarms = alarms
        self._circulars = circulars
        self._conferences = conferences
        self._presence = presence
        self._transfers = transfers
        self._receivers: Mapping[str, Callable[[Any, NodeCode], None]] = {
            "directives": directives.receive,
            "rosters": rosters.receive,
            "escalations": escalations.receive,
            "alarms": alarms.receive,
            "circulars": circulars.receive,
            "conferences": conferences.receive,
            "audit": audit.receive,
        }
        self._listeners: Mapping[str, Callable[[Any, Any], None]] = {
            "conferences": conferences.link_said,
            "presence": presence.link_said,
            "transfers": transfers.link_said,
        }
        self._alarm_pace = Pace(self._alarms_changed, CARDS_S)
        alarms.incidents.changed()  # nobody is to be told yet of what was
        conferences.on_view = self._conference_changed
        conferences.on_speaker = self._speaker_changed
        presence.on_change = self._place_changed

    def watch(self, watched: AuditorWatch) -> None:
        """Tell consoles when the auditor falls silent, and when it is heard again."""
        self._watched = watched

        def changed() -> None:
            for visitor in self.sessions:
                if visitor.who.role is not Role.TERMINAL:
                    visitor.say(Silence(of="auditor", seconds=round(watched.silent_s)), ("silence", "auditor"))

        watched.on_change = changed

    # ---- links ----------------------------------------------------------------------------------

    def link_kept(self, peer: NodeCode) -> str:
        return self._conferences.link_kept(peer)

    def link_up(self, port: Port) -> None:
        for part in (self._conferences, self._presence, self._transfers):
            part.link_up(port)

    def link_down(self, port: Port) -> None:
        for part in (self._conferences, self._presence, self._transfers):
            part.link_down(port)

    def link_said(self, port: Port, message: LinkMessage) -> None:
        owner = LINK_MESSAGES.get(type(message))
        if owner is None:
            raise Refused("unexpected-message", type(message).__name__)
        self._listeners[owner](port, message)

    def link_record(self, record: AnyRecord, via: NodeCode) -> None:
        owner = RECORDS.get(type(record))
        if owner is None:
            error = Refused("wrong-direction", f"{type(record).__name__} never crosses a link")
            self._refusals.record(None, type(record).__name__, "", error, via=via)
            return
        self._receivers[owner](record, via)

    def link_acknowledged(self, peer: NodeCode, seq: Seq) -> None:
        self._directives.acknowledged(peer, seq)

    def link_idle(self, port: Port) -> LinkBlobChunk | None:
        return self._transfers.idle(port)

    # ---- sessions come and go -------------------------------------------------------------------

    def sign_in(self, token: str) -> tuple[Actor, float]:
        """Return who bears ``token`` and for how many seconds yet.

        Raises:
            Refused: With a ``token-...`` code.
        """
        who = self._auth.verify(token)
        return who, max(0.0, (self._auth.expires_at(token) - self._clock.at()) / 1000)

    def arrived(self, visitor: Visitor, resume: str = "") -> Iterator[GatewayMessage]:
        """Return what ``visitor`` is told first; drawn as fast as it reads.  ``resume``: whose seat it goes on in."""
        if resume:
            participant = self._resuming.take(resume, visitor.who)
            if participant is not None and self._conferences.attach(participant, visitor):
                visitor.participant = participant
        self._resuming.opened(visitor)
        if visitor.who.role is Role.TERMINAL:
            self._presence.opened(visitor.who.division)
        return self._opening(visitor)

    def departed(self, visitor: Visitor, *, lost: bool = False) -> None:
        if visitor.who.role is Role.TERMINAL:
            self._presence.closed(visitor.who.division)
        if not self._resuming.closed(visitor, lost=lost) and visitor.participant is not None:
            self._conferences.leave(visitor.participant, "session closed")

    def _opening(self, visitor: Visitor) -> Iterator[GatewayMessage]:
        who = visitor.who
        yield Welcome(
            version=VERSION,
            node=self._node,
            node_name=self._name,
            tier=self._tree.tier(self._node),
            who=who,
            division_name=self._tree.name(who.division) if who.division in self._tree else who.division,
            session=visitor.session,
            now=self._clock.at(),
            resume=visitor.resume,
            participant=visitor.participant,
        )
        yield from (view for view in self._conferences.list(who) if not view.ended)
        if who.role is Role.TERMINAL:
            yield from self._directives.open_for(who.division)
            yield from self._directives.copies_for(who.division)
        else:
            for listed in self._directives.list(who, LISTED):
                yield self._directives.view(listed.directive, who)
            yield from self._escalations.list(who, LISTED)
            if self._watched is not None and self._watched.silent_s:
                yield Silence(of="auditor", seconds=round(self._watched.silent_s))
            yield from self._directives.drafts(who)
        yield from self._alarms.incidents.list(who, LISTED)
        yield from self._circulars.list(who, LISTED)
        for code, terminals in self._presence.online().items():
            if self._concerned(who, code):
                yield NodeView(node=code, online=True, terminals=terminals)

    # ---- sessions say ---------------------------------------------------------------------------

    async def serve(self, visitor: Visitor, message: ClientMessage) -> GatewayMessage | None:
        """Carry out what a session asks.

        Raises:
            RemoteError: It cannot be; the code says why.
        """
        match message:
            case Join():
                return self._join(visitor, message)
            case Restart():
                return self._restart(visitor, message)
            case Leave(request=request):
                self._leave(visitor)
                return Done(request=request)
            case Watch(request=request, slot=slot, participant=participant):
                if visitor.participant is None:
                    raise Refused("not-joined", "not in a conference")
                self._conferences.watch(visitor.participant, slot, participant)
                return Done(request=request)
            case Publishing():
                if visitor.participant is None:
                    raise Refused("not-joined", "not in a conference")
                self._conferences.publishing(visitor.participant, message)
                return None
            case Sizes():
                if visitor.participant is None:
                    raise Refused("not-joined", "not in a conference")
                self._conferences.sizes(visitor.participant, message)
                return None
            case Frozen(ms=ms):
                if visitor.participant is None:
                    raise Refused("not-joined", "not in a conference")
                self._conferences.frozen(visitor.participant, ms)
                return None
            case Receipt(directive=directive, stage=stage):
                await self._directives.receipt(visitor.who, directive, stage)
                return None
            case _:
                raise LocalError(f"{type(message).__name__} reached the desk")

    def _join(self, visitor: Visitor, join: Join) -> GatewayMessage:
        self._leave(visitor)
        try:
            joined = self._conferences.join(visitor.who, join.conference, join.sdp, join.name, join.request, visitor)
        except SdpError as error:
            raise Refused(error.code, str(error)) from None
        visitor.participant = joined.participant
        return joined

    def _restart(self, visitor: Visitor, restart: Restart) -> GatewayMessage:
        if visitor.participant is None:
            raise Refused("not-joined", "not in a conference")
        try:
            sdp = self._conferences.restart(visitor.participant, restart.sdp)
        except SdpError as error:
            raise Refused(error.code, str(error)) from None
        return Restarted(request=restart.request, sdp=sdp)

    def _leave(self, visitor: Visitor) -> None:
        participant, visitor.participant = visitor.participant, None
        if participant is not None:
            self._conferences.leave(participant)

    # ---- what is durable goes out ---------------------------------------------------------------

    def on_record(self, row: Row, record: AnyRecord) -> None:
        """Show a durable record to the sessions it concerns: give this to ``Outbox.on_record``."""
        match record:
            case DirectiveIssued():
                self._directive_changed(record)
                self._draft_changed(record)
            case DirectiveAnnotated() | DirectiveRecalled() | DirectiveClosed() | DirectiveExpired():
                self._directive_changed(record)
            case DirectiveSuperseded() | DirectiveCountersigned():
                self._directive_changed(record)
            case DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned():
                self._draft_changed(record)
            case DeliveryAdvanced() | DirectivesRelayed():
                for changed in self._directives.moved(record):
                    self._delivery_changed(changed)
                if isinstance(record, DeliveryAdvanced) and record.stage is Stage.SIGNED:
                    for escalation in self._escalations.of(record.directive, record.recipient):
                        self._escalation_changed(escalation)
            case RosterSet():
                self._roster_changed(record)
            case EscalationRaised() | EscalationAcknowledged():
                self._escalation_changed(identity(record))
            case TimerFired(kind=TimerKind.REPEAT):
                self._ring(DirectiveId(record.subject), int(record.timer.rpartition(":")[2]))
            case CircularSent() | CircularAnswered():
                self._circular_changed(record.circular)
            case AlarmWord():
                self._alarm_pace.ring()
            case _:
                pass

    def on_blob(self, sha256: Sha256) -> None:
        """A picture is here: whoever sees its alarm may fetch it now.  Give this to ``Blobs.on_blob``."""
        alarm = self._alarms.alarm_of(sha256)
        if alarm is not None:
            self._alarms.incidents.touch(alarm)
            self._alarm_pace.ring()

    def _directive_changed(self, record: HeaderRecord | DirectiveAnnotated) -> None:
        key = ("directive", record.directive)
        for visitor in self.sessions:
            if visitor.who.role is Role.TERMINAL:
                if self._directives.has_recipient(record.directive, visitor.who.division):
                    visitor.say(self._directives.mine(record.directive, visitor.who.division), key)
                elif (copy := self._directives.copy(record.directive, visitor.who.division)) is not None:
                    visitor.say(copy, key)
            elif self._directives.may_read(record.directive, visitor.who):
                visitor.say(self._directives.view(record.directive, visitor.who), key)
        for escalation in self._escalations.of(record.directive):
            self._escalation_changed(escalation)

    def _roster_changed(self, record: RosterSet) -> None:
        """Somebody else may sign now: tell the terminals of that place."""
        for visitor in self.sessions:
            if visitor.who.role is Role.TERMINAL and visitor.who.division == record.division:
                for view in self._directives.open_for(record.division):
                    if view.mine is not None and view.mine.post == record.post:
                        visitor.say(view, ("directive", view.directive))

    def _draft_changed(self, record: DraftRecord | DirectiveIssued) -> None:
        for visitor in self.sessions:
            if self._directives.may_read_draft(record.directive, visitor.who):
                visitor.say(self._directives.draft_view(record.directive, visitor.who), ("draft", record.directive))

    def _delivery_changed(self, changed: DeliveryChanged) -> None:
        directive, recipient = changed.directive, changed.recipient.node
        for visitor in self.sessions:
            who = visitor.who
            if who.role is Role.TERMINAL:
                if who.division == recipient:
                    visitor.say(self._directives.mine(directive, recipient), ("directive", directive))
            elif permitted(who, Action.READ_DIRECTIVE, recipient, self._tree):
                visitor.say(changed, ("delivery", directive, recipient))

    def _ring(self, directive: DirectiveId, n: int) -> None:
        """Terminals whose people have not signed ring again, whatever they have shown."""
        still = frozenset(self._directives.unsigned(directive))
        for visitor in self.sessions:
            if visitor.who.role is Role.TERMINAL and visitor.who.division in still:
                visitor.say(Ring(directive=directive, n=n), ("ring", directive))

    def _escalation_changed(self, escalation: str) -> None:
        for visitor in self.sessions:
            if visitor.who.role is not Role.TERMINAL and self._escalations.may_read(escalation, visitor.who):
                visitor.say(self._escalations.view(escalation, visitor.who), ("escalation", escalation))

    def _alarms_changed(self) -> None:
        """Show every card that changed once, however many alarms came."""
        incidents = self._alarms.incidents
        for alarm in itertools.chain(*incidents.changed()):
            readers = [visitor for visitor in self.sessions if incidents.may_read(alarm, visitor.who)]
            view = incidents.card_of(alarm) if readers else None
            for visitor in readers:
                assert view is not None
                visitor.say(view, ("alarm", alarm))

    def _circular_changed(self, circular: CircularId) -> None:
        for visitor in self.sessions:
            if self._circulars.may_read(circular, visitor.who):
                visitor.say(self._circulars.view(circular, visitor.who), ("circular", circular))

    def _conference_changed(self, view: ConferenceView) -> None:
        for visitor in self.sessions:
            if self._conferences.may_join(visitor.who, view.conference):
                visitor.say(view, ("conference", view.conference))

    def _speaker_changed(self, speaking: Speaking) -> None:
        for visitor in self.sessions:
            if self._conferences.may_join(visitor.who, speaking.conference):
                visitor.say(speaking, ("speaking", speaking.conference))

    def _place_changed(self, view: NodeView) -> None:
        for visitor in self.sessions:
            if self._concerned(visitor.who, view.node):
                visitor.say(view, ("node", view.node))

    def _concerned(self, who: Actor, place: NodeCode) -> bool:
        """Return whether ``place`` is below ``who``'s division, or on the line above it."""
        return self._tree.is_within(place, who.division) or self._tree.is_within(who.division, place)
