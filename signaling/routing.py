"""Which records must cross to which neighbour.

Pure.  A node's journal is read in order, once for all neighbours; ``Router.note`` remembers the little that later
records are routed by (who issued a directive, who was invited), ``Router.concerned`` answers.

* directives go down every link with a recipient beyond it; receipts go up to the issuing node
* what a tier adds to a directive goes down to its recipients there, and up to the issuing node
* alarms flood the place's line up to the root and the places of its township
* circulars go to the places told, answers back to the place that told them
* a roster goes up and down the line of the division it is for
* conferences flood to every invited site
* who has not signed is told to the superior it names; that somebody took it in hand, to both ends
* what is overdue of an alarm is told to the superior and to those who are late; who took it in hand, to both ends
* what an auditor read is told to those below; a refusal is told one tier up, and one more
  when it is about that tier; attendance stays at home
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from .division import Tree
from .ids import CircularId, ConferenceId, DirectiveId, NodeCode
from .records import (
    AlarmRaised,
    AlarmWord,
    AnyRecord,
    AuditRead,
    CapReceived,
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
    NoticeAnswered,
    NoticeSent,
    OverdueAcknowledged,
    OverdueRaised,
    ParticipantJoined,
    ParticipantLeft,
    RecordHeld,
    RecordTaken,
    RedialOrdered,
    RefusalRecorded,
    Released,
    RosterSet,
    SourceArmed,
    SourceLooked,
    SourceRegistered,
    TimerFired,
)


@dataclass(frozen=True, slots=True)
class Course:
    """Where a directive or a conference came from, and the neighbours of this node it concerns."""

    origin: NodeCode
    neighbours: frozenset[NodeCode]


NOBODY: frozenset[NodeCode] = frozenset()
NOWHERE = Course(NodeCode(""), NOBODY)


class Router:
    """The routing rules as seen from one node."""

    def __init__(self, here: NodeCode, tree: Tree) -> None:
        self._here = here
        self._tree = tree
        self._parent = tree.parent(here)
        self._above = NOBODY if self._parent is None else frozenset({self._parent})
        self._directives: dict[DirectiveId, Course] = {}
        self._conferences: dict[ConferenceId, Course] = {}
        self._circulars: dict[CircularId, Course] = {}
        self._alarms: dict[NodeCode, frozenset[NodeCode]] = {}
        """Where alarms at a place go; filled as they come."""
        self._shared: dict[Course, Course] = {}

    def note(self, record: AnyRecord) -> None:
        """Remember what later records are routed by.  A repeat changes nothing."""
        match record:
            case DirectiveIssued() if record.directive not in self._directives:
                down = self._toward(*record.recipients) - self._above
                self._directives[record.directive] = self._share(Course(record.node, down))
            case CircularSent() if record.circular not in self._circulars:
                told = self._toward(*record.to)
                self._circulars[record.circular] = self._share(Course(record.node, told))
            case ConferenceConvened() if record.conference not in self._conferences:
                around = self._toward(*record.sites, record.node)
                self._conferences[record.conference] = self._share(Course(record.node, around))
            case _:
                pass

    def _share(self, course: Course) -> Course:
        """Return the one copy of ``course``: a hundred thousand directives take few courses."""
        return self._shared.setdefault(course, course)

    def origin(self, directive: DirectiveId) -> NodeCode | None:
        """Return the node that issued ``directive``, or None if it was never noted."""
        course = self._directives.get(directive)
        return course.origin if course else None

    def concerns(self, record: AnyRecord, neighbour: NodeCode) -> bool:
        """Return whether ``record`` must cross to ``neighbour``, a parent or child of this node."""
        return neighbour in self.concerned(record)

    def onward(self, record: AnyRecord, via: NodeCode | None) -> frozenset[NodeCode]:
        """Return the neighbours that ``record``, which came by ``via`` (None: born here), goes on to."""
        found = self.concerned(record)
        return found - {via} if via is not None and via in found else found

    def concerned(self, record: AnyRecord) -> frozenset[NodeCode]:
        """Return the neighbours of this node, parent and children, that ``record`` must cross to or came from."""
        match record:
            case AlarmRaised(disarmed=True) | SourceRegistered() | SourceArmed() | SourceLooked():
                return NOBODY
            case (
                DirectiveIssued()
                | DirectiveRecalled()
                | DirectiveClosed()
                | DirectiveSuperseded()
                | DirectiveCountersigned()
            ):
                return self._directives.get(record.directive, NOWHERE).neighbours
            case DirectiveAnnotated():
                passes = self._directives.get(record.directive, NOWHERE).neighbours
                down = {n for n in passes if self._tree.is_within(n, record.by.division)}
                return self._up(record.directive) | down
            case DeliveryAdvanced():
                return self._up(record.directive)
            case DirectivesRelayed():
                return self._up(record.directives[0])  # all were issued at one node
            case AlarmWord():
                return self._hearers(record.place)
            case CircularSent():
                return self._circulars.get(record.circular, NOWHERE).neighbours
            case CircularAnswered():
                circular = self._circulars.get(record.circular)
                return NOBODY if circular is None else self._toward(circular.origin)
            case ConferenceConvened() | ConferenceEnded():
                return self._conferences.get(record.conference, NOWHERE).neighbours
            case AuditRead():
                children = self._tree.children(self._here)
                return frozenset(c for c in children if self._tree.is_within(c, record.by.division))
            case EscalationRaised():
                return self._toward(record.superior)
            case EscalationAcknowledged():
                return self._toward(record.superior, record.origin)
            case OverdueRaised():
                return self._toward(record.superior, *(late.place for late in record.late))
            case OverdueAcknowledged():
                return self._toward(record.superior, record.origin)
            case RefusalRecorded():
                return self._above if self._here in (record.node, record.via) else NOBODY
            case RosterSet():
                line = self._tree.path_up(record.division)
                return self._above.intersection(line) | {c for c in line if self._tree.parent(c) == self._here}
            case DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned():
                return NOBODY
            case (
                DirectiveExpired()
                | ParticipantJoined()
                | ParticipantLeft()
                | TimerFired()
                | RedialOrdered()
                | NoticeSent()
                | NoticeAnswered()
                | Released()
                | CapReceived()
                | RecordHeld()
                | RecordTaken()
            ):
                return NOBODY
            case _:
                assert_never(record)

    def _up(self, directive: DirectiveId) -> frozenset[NodeCode]:
        """Return the parent, if the way to where ``directive`` was issued is over it."""
        origin = self.origin(directive)
        if origin is None or origin == self._here or not self._tree.is_within(self._here, origin):
            return NOBODY
        return self._above

    def _toward(self, *places: NodeCode) -> frozenset[NodeCode]:
        hops = (self._tree.next_hop(self._here, place) for place in places)
        return frozenset(hop for hop in hops if hop is not None)

    def _hearers(self, place: NodeCode) -> frozenset[NodeCode]:
        """Return the ways to all who are told of an alarm at ``place``."""
        known = self._alarms.get(place)
        if known is None:
            known = self._toward(*self._tree.audience(place))
            if place in self._tree:
                self._alarms[place] = known
        return known
