"""What an auditor sees: one line per record, and only of their own subtree.

Pure.  A line says when, where, who and what; texts of directives and numbers fed back are in the records
themselves, which a line names by sequence number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from .admission import Facts
from .division import Tree
from .ids import NodeCode, Seq, UtcMs
from .records import (
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
    DutyChange,
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
    Stage,
    TimerFired,
    UnitReported,
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline.  ``kind`` is the record's type, ``about`` the id of what it belongs to."""

    seq: Seq
    at: UtcMs
    node: NodeCode
    node_name: str
    kind: str
    about: str
    by: Actor | None
    text: str


def line(seq: Seq, record: AnyRecord, tree: Tree) -> Line:
    """Return the line of ``record``, which stands at ``seq`` in the journal."""
    about, by, text = _told(record, tree)
    return Line(
        seq=seq,
        at=record.at,
        node=record.node,
        node_name=_name(record.node, tree),
        kind=str(type(record).__struct_config__.tag),
        about=about,
        by=by,
        text=text,
    )


def _told(record: AnyRecord, tree: Tree) -> tuple[str, Actor | None, str]:
    match record:
        case DirectiveIssued():
            return record.directive, record.issuer, f"{record.urgency} {record.title} ({len(record.recipients)})"
        case DirectiveRecalled():
            return record.directive, record.by, record.reason
        case DirectiveAnnotated():
            return record.directive, record.by, record.note
        case DirectiveClosed():
            return record.directive, record.by, ""
        case DirectiveExpired():
            return record.directive, None, ""
        case DirectiveSuperseded():
            return record.directive, record.by, record.successor
        case DirectiveCountersigned():
            return record.directive, record.by, ""
        case DirectiveDrafted():
            return record.directive, record.by, f"{record.request.urgency} {record.request.title}"
        case DirectiveSubmitted() | DirectiveApproved():
            return record.directive, record.by, f"{record.revision}"
        case DirectiveReturned():
            return record.directive, record.by, record.reason
        case RosterSet():
            return record.post, record.by, f"{_name(record.division, tree)}: {_duty(record)}"
        case DeliveryAdvanced():
            return record.directive, record.by, f"{_name(record.recipient, tree)}: {record.stage}"
        case DirectivesRelayed():
            first, *others = record.directives
            return first, None, " ".join((f"{_name(record.child, tree)}: {Stage.RELAYED}", *others))
        case AlarmRaised():
            where = f"{record.urgency} {record.kind}: {_name(record.place, tree)}"
            return record.alarm, record.by, f"{where} (disarmed)" if record.disarmed else where
        case SourceRegistered():
            return record.source, record.by, f"{record.kind}: {_name(record.place, tree)}"
        case SourceArmed():
            return record.source, record.by, f"{'armed' if record.armed else 'disarmed'} {record.reason}".strip()
        case SourceLooked():
            return record.source, record.by, _name(record.place, tree)
        case AlarmPictured():
            return record.alarm, None, record.picture
        case AlarmAdvanced():
            return record.alarm, record.by, f"{record.state} {record.note}".strip()
        case CircularSent():
            return record.circular, record.by, f"{record.title} ({len(record.to)})"
        case CircularAnswered():
            return record.circular, record.by, f"{_name(record.place, tree)}: {record.text}".rstrip(": ")
        case AlarmGrouped():
            return record.alarm, record.by, record.incident
        case AlarmDispatched():
            return record.alarm, record.by, ", ".join(unit.name for unit in (record.lead, *record.assist))
        case CallRaised():
            return record.alarm, record.by, f"{record.department} {record.note}".strip()
        case CallAnswered():
            return record.alarm, record.by, record.note
        case UnitReported():
            return record.alarm, record.by, f"{record.unit}: {record.state} {record.note}".strip()
        case ConferenceConvened():
            return record.conference, record.by, f"{record.title} ({len(record.sites)})"
        case ConferenceEnded():
            return record.conference, record.by, ""
        case ParticipantJoined():
            return record.conference, record.who, record.participant
        case ParticipantLeft():
            return record.conference, None, f"{record.participant} {record.reason}".strip()
        case AuditRead():
            return record.what, record.by, record.reason
        case RefusalRecorded():
            return record.target, record.by, f"{record.action}: {record.code} {record.via}".strip()
        case RecordHeld():
            return record.held, None, f"{record.kind}: {record.code} {record.via}"
        case RecordTaken():
            return record.held, None, "taken" if record.taken else "refused"
        case TimerFired():
            return record.subject, None, record.kind
        case EscalationRaised():
            return record.directive, None, f"{_name(record.superior, tree)}: {record.n} ({len(record.not_reached)})"
        case EscalationAcknowledged():
            return record.directive, record.by, f"{_name(record.superior, tree)}: {record.n} {record.note}".strip()
        case OverdueRaised():
            kinds = ", ".join(dict.fromkeys(late.kind for late in record.late))
            return record.overdue, None, f"{_name(record.superior, tree)}: {kinds} ({len(record.late)})"
        case OverdueAcknowledged():
            return record.overdue, record.by, f"{_name(record.superior, tree)}: {record.note}".rstrip(": ")
        case RedialOrdered():
            return record.directive, None, f"({len(record.places)})"
        case NoticeAnswered():
            return record.notice, None, f"{record.adapter}: {record.status} {record.detail}".strip()
        case Released():
            return record.subject, record.by, record.within or ""
        case CapReceived():
            return record.alarm or "", record.by, f"{record.sender},{record.identifier}: {record.effect}"
        case NoticeSent():
            told = f"{record.adapter} {record.outcome}".strip()
            return record.subject, None, f"{told} ({len(record.places)}, {len(record.people)})"
        case _:
            assert_never(record)


def concerns(record: AnyRecord, division: NodeCode, tree: Tree, facts: Facts) -> bool:
    """Return whether ``record`` is an auditor's of ``division`` to read: made in it, or about a place in it."""
    return any(tree.is_within(place, division) for place in (record.node, *_places(record, tree, facts)))


def _places(record: AnyRecord, tree: Tree, facts: Facts) -> Iterable[NodeCode]:
    match record:
        case DirectiveIssued():
            return record.recipients
        case (
            DirectiveRecalled()
            | DirectiveClosed()
            | DirectiveExpired()
            | DirectiveSuperseded()
            | DirectiveCountersigned()
        ):
            issued = facts.issued(record.directive)
            return issued.recipients if issued else ()
        case (
            DirectiveAnnotated() | DirectiveDrafted() | DirectiveSubmitted() | DirectiveApproved() | DirectiveReturned()
        ):
            return (record.by.division,)
        case RosterSet():
            return (record.division,)
        case DeliveryAdvanced():
            return (record.recipient,)
        case DirectivesRelayed():
            orders = (facts.issued(directive) for directive in record.directives)
            return (r for order in orders if order for r in order.recipients if tree.is_within(r, record.child))
        case AlarmWord():
            return (record.place,)
        case SourceRegistered() | SourceArmed() | SourceLooked():
            return (record.place,)
        case CircularSent():
            return (record.by.division, *record.to)
        case CircularAnswered():
            return (record.place,)
        case ConferenceConvened():
            return record.sites
        case ConferenceEnded() | ParticipantLeft():
            convened = facts.convened(record.conference)
            return convened.sites if convened else ()
        case ParticipantJoined():
            return (record.who.division,)
        case AuditRead():
            return (record.by.division,)
        case RefusalRecorded():
            return (record.by.division,) if record.by else ()
        case TimerFired():
            return ()
        case EscalationRaised():
            return (record.superior, *record.not_reached)
        case EscalationAcknowledged():
            return (record.superior,)
        case OverdueRaised():
            return (record.superior, *(late.place for late in record.late))
        case OverdueAcknowledged():
            return (record.superior,)
        case RedialOrdered() | NoticeSent():
            return record.places
        case Released() | CapReceived():
            return (record.by.division,)
        case NoticeAnswered() | RecordHeld() | RecordTaken():
            return ()
        case _:
            assert_never(record)


def _duty(record: RosterSet) -> str:
    """Return the name; after a + who joins those on duty, after a - who leaves them, - alone where nobody is left."""
    match record.change:
        case DutyChange.JOINS:
            return f"+{record.person}"
        case DutyChange.LEAVES:
            return f"-{record.person}"
        case _:
            return record.person or "-"


def _name(code: NodeCode, tree: Tree) -> str:
    return tree.name(code) if code in tree else code
