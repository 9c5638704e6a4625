"""What is durable is shown to the sessions it concerns; a new session is told what stands.

Nothing is decided here: the drivers say who may read what.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, get_args

from signaling.alarm import AlarmRecord
from signaling.directive import DraftRecord, HeaderRecord
from signaling.division import Tree
from signaling.ids import DirectiveId, NodeCode, Sha256
from signaling.messages import (
    ConferenceView,
    DeliveryChanged,
    GatewayMessage,
    NodeView,
    Ring,
    Silence,
    Speaking,
)
from signaling.permission import Action, permitted
from signaling.records import (
    Actor,
    AnyRecord,
    CircularAnswered,
    CircularSent,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveIssued,
    DirectivesRelayed,
    EscalationAcknowledged,
    EscalationRaised,
    OverdueAcknowledged,
    OverdueRaised,
    Role,
    RosterSet,
    Stage,
    TimerFired,
    TimerKind,
)

from .alarms import Alarms
from .circulars import Circulars
from .conferences import Conferences
from .directives import Directives
from .escalations import Escalations, identity
from .heartbeat import AuditorWatch
from .journal import Row
from .overdue_lists import OverdueLists
from .pace import Pace
from .presence import Presence
from .sessions import Sessions, Visitor
from .skews import Skews
from .turns import Turns
from .unguarded import UnguardedClocks

LISTED = 50
"""Directives and alarms a new session is told of; older ones are listed over HTTP."""

LISTS = 1_000
"""Open lists of one kind a new session is told of: every village may send its own for each of the three clocks."""

CARDS_S = 0.25
"""A session is told of one card at most so often, whatever the rate of its alarms."""


class Showing:
    """Speaks to every session of the node; ``sessions`` are those that are open now."""

    def __init__(
        self,
        sessions: Sessions,
        tree: Tree,
        directives: Directives,
        escalations: Escalations,
        alarms: Alarms,
        overdue: OverdueLists,
        circulars: Circulars,
        conferences: Conferences,
        presence: Presence,
        turns: Turns,
    ) -> None:
        self._sessions = sessions
        self._tree = tree
        self._directives = directives
        self._escalations = escalations
        self._alarms = alarms
        self._overdue = overdue
        self._circulars = circulars
        self._conferences = conferences
        self._presence = presence
        self.turns = turns
        self._watched: AuditorWatch | None = None
        self._skews: Skews | None = None
        self._unguarded: UnguardedClocks | None = None
        self._shown = self._table()
        self._alarm_pace = Pace(self._alarms_changed, CARDS_S)
        alarms.incidents.changed()  # nobody is to be told yet of what was
        conferences.on_view = self._conference_changed
        conferences.on_speaker = self._speaker_changed
        presence.on_change = self._place_changed

    def _table(self) -> Mapping[type[AnyRecord], Callable[[Any], None]]:
        """Return what is shown anew by type of record; what is not here changes nothing that is shown."""
        return {
            **dict.fromkeys(get_args(HeaderRecord), self._directive_changed),
            DirectiveIssued: self._issued,
            DirectiveAnnotated: self._directive_changed,
            **dict.fromkeys(get_args(DraftRecord), self._draft_changed),
            DeliveryAdvanced: self._moved,
            DirectivesRelayed: self._moved,
            RosterSet: self.turns.said,
            EscalationRaised: self._escalated,
            EscalationAcknowledged: self._escalated,
            OverdueRaised: self._overdue_said,
            OverdueAcknowledged: self._overdue_said,
            TimerFired: self._timer_fired,
            CircularSent: self._circular_changed,
            CircularAnswered: self._circular_changed,
            **dict.fromkeys(get_args(AlarmRecord), self._alarm_changed),
        }

    def on_record(self, row: Row, record: AnyRecord) -> None:
        """Show a durable record to the sessions it concerns: give this to ``Outbox.on_record``."""
        show = self._shown.get(type(record))
        if show is not None:
            show(record)

    def opening(self, visitor: Visitor) -> Iterator[GatewayMessage]:
        """Yield what stands and concerns ``visitor``, as fast as it is drawn; a terminal's orders have their turns."""
        who = visitor.who
        if who.role is Role.TERMINAL:
            self._directives.show_all(who.division, visitor)
        return self._standing(who)

    def _standing(self, who: Actor) -> Iterator[GatewayMessage]:
        yield from (view for view in self._conferences.list(who) if not view.ended)
        if who.role is Role.TERMINAL:
            yield from self._directives.copies_for(who.division)
        else:
            yield from self._for_desk(who)
        yield from self._alarms.incidents.list(who, LISTED)
        yield from self._overdue.list(who, LISTS)
        yield from self._circulars.list(who, LISTED)
        for code, terminals in self._presence.online().items():
            if self._concerned(who, code):
                yield NodeView(node=code, online=True, terminals=terminals)

    def _for_desk(self, who: Actor) -> Iterator[GatewayMessage]:
        for listed in self._directives.list(who, LISTED):
            yield self._directives.view(listed.directive, who)
        yield from self._escalations.list(who, LISTS)
        if self._watched is not None and (self._watched.beat is not None or self._watched.silent_s):
            yield _silence(self._watched)
        yield from self._skews.list() if self._skews is not None else ()
        yield from self._unguarded.list() if self._unguarded is not None else ()
        yield from self._directives.drafts(who)

    def watch(self, watched: AuditorWatch) -> None:
        """Tell consoles when the auditor falls silent, when it is heard again, and what it has found."""
        self._watched = watched

        watched.on_change = lambda: self._tell_consoles(_silence(watched), ("silence", "auditor"))

    def compare(self, skews: Skews) -> None:
        """Tell consoles which neighbours run another version."""
        self._skews = skews
        skews.on_change = lambda skew: self._tell_consoles(skew, ("skew", skew.node))

    def guard(self, unguarded: UnguardedClocks) -> None:
        """Tell consoles which children keep clocks and are not heard."""
        self._unguarded = unguarded
        unguarded.on_change = lambda view: self._tell_consoles(view, ("unguarded", view.node))

    def _tell_consoles(self, message: GatewayMessage, key: Hashable) -> None:
        for visitor in self._sessions:
            if visitor.who.role is not Role.TERMINAL:
                visitor.say(message, key)

    def on_blob(self, sha256: Sha256) -> None:
        """A picture is here: whoever sees its alarm may fetch it now.  Give this to ``Blobs.on_blob``."""
        alarm = self._alarms.alarm_of(sha256)
        if alarm is not None:
            self._alarms.incidents.touch(alarm)
            self._alarm_pace.ring()

    def _directive_changed(self, record: HeaderRecord | DirectiveAnnotated) -> None:
        key = ("directive", record.directive)
        for visitor in self._sessions:
            if visitor.who.role is Role.TERMINAL:
                if self._directives.has_recipient(record.directive, visitor.who.division):
                    self._directives.show(record.directive, visitor.who.division, visitor)
                elif (copy := self._directives.copy(record.directive, visitor.who.division)) is not None:
                    visitor.say(copy, key)
            elif self._directives.may_read(record.directive, visitor.who):
                visitor.say(self._directives.view(record.directive, visitor.who), key)
        for escalation in self._escalations.of(record.directive):
            self._escalation_changed(escalation)

    def _draft_changed(self, record: DraftRecord | DirectiveIssued) -> None:
        for visitor in self._sessions:
            if self._directives.may_read_draft(record.directive, visitor.who):
                visitor.say(self._directives.draft_view(record.directive, visitor.who), ("draft", record.directive))

    def _issued(self, record: DirectiveIssued) -> None:
        self._directive_changed(record)
        self._draft_changed(record)

    def _moved(self, record: DeliveryAdvanced | DirectivesRelayed) -> None:
        if len(self._sessions):
            for directive, recipient in self._directives.moved(record):
                self._delivery_changed(directive, recipient)
        if isinstance(record, DeliveryAdvanced) and record.stage is Stage.SIGNED:
            for escalation in self._escalations.of(record.directive, record.recipient):
                self._escalation_changed(escalation)

    def _delivery_changed(self, directive: DirectiveId, recipient: NodeCode) -> None:
        def row() -> DeliveryChanged:
            return self._directives.row_view(directive, recipient)

        for visitor in self._sessions:
            who = visitor.who
            if who.role is Role.TERMINAL:
                if who.division == recipient:
                    self._directives.show(directive, recipient, visitor)
            elif permitted(who, Action.READ_DIRECTIVE, recipient, self._tree):
                visitor.show_row(row, ("delivery", directive, recipient))

    def _timer_fired(self, record: TimerFired) -> None:
        """Terminals whose people have not signed ring again, whatever they have shown."""
        if record.kind is not TimerKind.REPEAT:
            return
        directive, n = DirectiveId(record.subject), int(record.timer.rpartition(":")[2])
        still = frozenset(self._directives.unsigned(directive))
        for visitor in self._sessions:
            if visitor.who.role is Role.TERMINAL and visitor.who.division in still:
                visitor.say(Ring(directive=directive, n=n), ("ring", directive))

    def _escalated(self, record: EscalationRaised | EscalationAcknowledged) -> None:
        self._escalation_changed(identity(record))

    def _escalation_changed(self, escalation: str) -> None:
        for visitor in self._sessions:
            if visitor.who.role is not Role.TERMINAL and self._escalations.may_read(escalation, visitor.who):
                visitor.say(self._escalations.view(escalation, visitor.who), ("escalation", escalation))

    def _alarm_changed(self, record: AnyRecord) -> None:
        self._alarm_pace.ring()

    def _alarms_changed(self) -> None:
        """Show every card that changed once, however many alarms came."""
        incidents = self._alarms.incidents
        leads, gone = incidents.changed()
        for alarm in itertools.chain(leads, gone):
            readers = [visitor for visitor in self._sessions if incidents.may_read(alarm, visitor.who)]
            view = incidents.card_of(alarm) if readers else None
            for visitor in readers:
                assert view is not None
                visitor.say(view, ("alarm", alarm))
        for overdue in self._overdue.of(leads):
            self._overdue_changed(overdue)

    def _overdue_said(self, record: OverdueRaised | OverdueAcknowledged) -> None:
        self._overdue_changed(record.overdue)

    def _overdue_changed(self, overdue: str) -> None:
        for visitor in self._sessions:
            if self._overdue.may_read(overdue, visitor.who):
                visitor.say(self._overdue.view(overdue, visitor.who), ("overdue", overdue))

    def _circular_changed(self, record: CircularSent | CircularAnswered) -> None:
        circular = record.circular
        for visitor in self._sessions:
            if self._circulars.may_read(circular, visitor.who):
                visitor.say(self._circulars.view(circular, visitor.who), ("circular", circular))

    def _conference_changed(self, view: ConferenceView) -> None:
        for visitor in self._sessions:
            if self._conferences.may_join(visitor.who, view.conference):
                visitor.say(view, ("conference", view.conference))

    def _speaker_changed(self, speaking: Speaking) -> None:
        for visitor in self._sessions:
            if self._conferences.may_join(visitor.who, speaking.conference):
                visitor.say(speaking, ("speaking", speaking.conference))

    def _place_changed(self, view: NodeView) -> None:
        for visitor in self._sessions:
            if self._concerned(visitor.who, view.node):
                visitor.show_row(lambda: view, ("node", view.node))

    def _concerned(self, who: Actor, place: NodeCode) -> bool:
        """Return whether ``place`` is below ``who``'s division, or on the line above it."""
        return self._tree.is_within(place, who.division) or self._tree.is_within(who.division, place)


def _silence(watched: AuditorWatch) -> Silence:
    missed, faults = (watched.beat.missed, watched.beat.faults) if watched.beat is not None else (0, 0)
    return Silence(of="auditor", seconds=round(watched.silent_s), missed=missed, faults=faults)
