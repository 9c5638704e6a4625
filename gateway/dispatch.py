"""Things come in here: records and messages from links, messages from sessions.

Two tables say who handles what.  Nothing is decided here: drivers and the policy decide, and this
module only knows their names.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from media.peer import SdpError
from signaling.division import Tree
from signaling.errors import LocalError, Refused
from signaling.ids import NodeCode, Seq
from signaling.messages import (
    VERSION,
    ClientMessage,
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
    Publishing,
    Receipt,
    Restart,
    Restarted,
    Sizes,
    Watch,
    Welcome,
)
from signaling.records import (
    Actor,
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
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
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveIssued,
    DirectiveRecalled,
    DirectivesRelayed,
    DirectiveSuperseded,
    EscalationAcknowledged,
    EscalationRaised,
    OverdueAcknowledged,
    OverdueRaised,
    RefusalRecorded,
    Role,
    RosterSet,
    UnitReported,
)

from .alarms import Alarms
from .audit import Audit
from .auth import Auth
from .circulars import Circulars
from .clock import Clock
from .conferences import Conferences
from .directives import Directives
from .escalations import Escalations
from .overdue_lists import OverdueLists
from .presence import Presence
from .refusals import Refusals
from .resuming import Resuming
from .rosters import Rosters
from .sessions import Sessions, Visitor
from .showing import Showing
from .traffic import Port
from .transfers import Transfers
from .turns import Turns

log = logging.getLogger(__name__)

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
    OverdueRaised: "overdue",
    OverdueAcknowledged: "overdue",
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
        overdue: OverdueLists,
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
        self._conferences = conferences
        self._presence = presence
        self._transfers = transfers
        self._receivers: Mapping[str, Callable[[Any, NodeCode], None]] = {
            "directives": directives.receive,
            "rosters": rosters.receive,
            "escalations": escalations.receive,
            "alarms": alarms.receive,
            "overdue": overdue.receive,
            "circulars": circulars.receive,
            "conferences": conferences.receive,
            "audit": audit.receive,
        }
        self._listeners: Mapping[str, Callable[[Any, Any], None]] = {
            "conferences": conferences.link_said,
            "presence": presence.link_said,
            "transfers": transfers.link_said,
        }
        turns = Turns(self.sessions, tree, rosters, directives, clock)
        self.showing = Showing(
            self.sessions, tree, directives, escalations, alarms, overdue, circulars, conferences, presence, turns
        )

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
        return itertools.chain((self._welcome(visitor),), self.showing.opening(visitor))

    def departed(self, visitor: Visitor, *, lost: bool = False) -> None:
        if visitor.who.role is Role.TERMINAL:
            self._presence.closed(visitor.who.division)
        if not self._resuming.closed(visitor, lost=lost) and visitor.participant is not None:
            self._conferences.leave(visitor.participant, "session closed")

    def _welcome(self, visitor: Visitor) -> Welcome:
        who = visitor.who
        return Welcome(
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
