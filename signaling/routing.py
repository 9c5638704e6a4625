"""Which records must cross to which neighbour.

Pure.  A node's journal is read in order, once per neighbour; ``Router.note`` remembers the little that later
records are routed by (who issued a directive, who was invited), ``Router.concerns`` answers.

* directives go down every link with a recipient beyond it; receipts go up to the issuing node
* what a tier adds to a directive goes down to its recipients there, and up to the issuing node
* alarms flood the place's line up to the root and the places of its township
* circulars go to the places told, answers back to the place that told them
* a roster goes up and down the line of the division it is for
* conferences flood to every invited site
* who has not signed is told to the superior it names; that somebody took it in hand, to both ends
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
    ParticipantJoined,
    ParticipantLeft,
    RedialOrdered,
    RefusalRecorded,
    Released,
    RosterSet,
    SourceArmed,
    SourceRegistered,
    TimerFired,
)


@dataclass(frozen=True, slots=True)
class Course:
    """Where a directive or a conference came from, and the neighbours of this node it concerns."""

    origin: NodeCode
    neighbours: frozenset[NodeCode]


class Router:
    """The routing rules as seen from one node."""

    def __init__(self, here: NodeCode, tree: Tree) -> None:
        self._here = here
        self._tree = tree
        self._parent = tree.parent(here)
        self._directives: dict[DirectiveId, Course] = {}
        self._conferences: dict[ConferenceId, Course] = {}
        self._circulars: dict[CircularId, Course] = {}
        self._shared: dict[Course, Course] = {}

    def note(self, record: AnyRecord) -> None:
        """Remember what later records are routed by.  A repeat changes nothing."""
        match record:
            case DirectiveIssued() if record.directive not in self._directives:
                hops = {self._tree.next_hop(self._here, r) for r in record.recipients}
                down = frozenset(h for h in hops if h is not None and h != self._parent)
                self._directives[record.directive] = self._share(Course(record.node, down))
            case CircularSent() if record.circular not in self._circulars:
                toward = {self._tree.next_hop(self._here, place) for place in record.to}
                told = frozenset(h for h in toward if h is not None)
                self._circulars[record.circular] = self._share(Course(record.node, told))
            case ConferenceConvened() if record.conference not in self._conferences:
                hops = {self._tree.next_hop(self._here, s) for s in (*record.sites, record.node)}
                around = frozenset(h for h in hops if h is not None)
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
        match record:
            case AlarmRaised(disarmed=True) | SourceRegistered() | SourceArmed():
                return False
            case (
                DirectiveIssued()
                | DirectiveRecalled()
                | DirectiveClosed()
                | DirectiveSuperseded()
                | DirectiveCountersigned()
            ):
                directive = self._directives.get(record.directive)
                return directive is not None and neighbour in directive.neighbours
            case DirectiveAnnotated():
                down = self._tree.is_within(neighbour, record.by.division)
                known = self._directives.get(record.directive)
                passes = known is not None and neighbour in known.neighbours
                return (down and passes) or self._goes_up(record.directive, neighbour)
            case DeliveryAdvanced():
                return self._goes_up(record.directive, neighbour)
            case DirectivesRelayed():
                return self._goes_up(record.directives[0], neighbour)  # all were issued at one node
            case AlarmWord():
                return any(self._beyond(place, neighbour) for place in self._tree.audience(record.place))
            case CircularSent():
                circular = self._circulars.get(record.circular)
                return circular is not None and neighbour in circular.neighbours
            case CircularAnswered():
                circular = self._circulars.get(record.circular)
                return circular is not None and neighbour == self._tree.next_hop(self._here, circular.origin)
            case ConferenceConvened() | ConferenceEnded():
                conference = self._conferences.get(record.conference)
                return conference is not None and neighbour in conference.neighbours
            case AuditRead():
                return neighbour != self._parent and self._tree.is_within(neighbour, record.by.division)
            case EscalationRaised():
                return self._beyond(record.superior, neighbour)
            case EscalationAcknowledged():
                return any(self._beyond(place, neighbour) for place in (record.superior, record.origin))
            case RefusalRecorded():
                return neighbour == self._parent and self._here in (record.node, record.via)
            case RosterSet():
                return neighbour in self._tree.path_up(record.division)
            case DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned():
                return False
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
            ):
                return False
            case _:
                assert_never(record)

    def _goes_up(self, directive: DirectiveId, neighbour: NodeCode) -> bool:
        origin = self.origin(directive)
        if origin is None or origin == self._here or neighbour != self._parent:
            return False
        return self._tree.is_within(self._here, origin)

    def _beyond(self, place: NodeCode, neighbour: NodeCode) -> bool:
        return self._tree.next_hop(self._here, place) == neighbour
