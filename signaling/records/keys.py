"""The unique key of every record: a repeat has the same one and changes nothing."""

from __future__ import annotations

import hashlib
from typing import assert_never

import msgspec

from signaling.ids import RecordKey

from .alarms import (
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    CallAnswered,
    CallRaised,
    SourceArmed,
    SourceLooked,
    SourceRegistered,
    UnitReported,
)
from .canonical import AnyRecord
from .circulars import CircularAnswered, CircularSent
from .clocks import EscalationAcknowledged, EscalationRaised, NoticeAnswered, NoticeSent, RedialOrdered, TimerFired
from .directives import (
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
    RosterSet,
    Stage,
)
from .interchange import CapReceived, Released
from .meetings import ConferenceConvened, ConferenceEnded, ParticipantJoined, ParticipantLeft
from .overdue import OverdueAcknowledged, OverdueRaised
from .watching import AuditRead, RecordHeld, RecordTaken, RefusalRecorded


def key(record: AnyRecord) -> RecordKey:
    """Return the unique key that makes a repeat of this record change nothing."""
    return RecordKey(_key(record))


def _digest(words: str) -> str:
    """Return 16 hexadecimal digits that tell apart what was said in the same millisecond."""
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def _key(record: AnyRecord) -> str:
    match record:
        case DirectiveIssued():
            return f"directive:{record.directive}:issued"
        case DirectiveRecalled():
            return f"directive:{record.directive}:recalled"
        case DirectiveClosed():
            return f"directive:{record.directive}:closed"
        case DirectiveAnnotated():
            return f"directive:{record.directive}:annotated:{record.node}:{record.at}:{_digest(record.note)}"
        case DirectiveExpired():
            return f"directive:{record.directive}:expired:{record.node}"
        case DirectiveSuperseded():
            return f"directive:{record.directive}:superseded"
        case DirectiveCountersigned():
            return f"directive:{record.directive}:countersigned"
        case DirectiveDrafted():
            return f"draft:{record.directive}:{record.revision}:drafted"
        case DirectiveSubmitted():
            return f"draft:{record.directive}:{record.revision}:submitted:{record.at}"
        case DirectiveApproved():
            return f"draft:{record.directive}:approved"
        case DirectiveReturned():
            return f"draft:{record.directive}:{record.revision}:returned:{record.at}"
        case DeliveryAdvanced(stage=Stage.FEEDBACK):
            return f"delivery:{record.directive}:{record.recipient}:{record.stage}:{record.at}"
        case DeliveryAdvanced():
            return f"delivery:{record.directive}:{record.recipient}:{record.stage}"
        case DirectivesRelayed():
            return f"relayed:{record.node}:{record.child}:{record.at}:{record.directives[0]}"
        case RosterSet():
            change = "" if record.change is msgspec.UNSET else f":{record.change}"
            said = f"{record.starts_at}:{record.person}:{record.node}:{record.at}{change}"
            return f"roster:{record.division}:{record.post}:{said}"
        case AlarmRaised():
            return f"alarm:{record.alarm}:raised"
        case AlarmPictured():
            return f"alarm:{record.alarm}:pictured:{record.picture}"
        case AlarmAdvanced():
            return f"alarm:{record.alarm}:{record.state}"
        case CircularSent():
            return f"circular:{record.circular}:sent"
        case CircularAnswered(text=""):
            return f"circular:{record.circular}:read:{record.place}"
        case CircularAnswered():
            return f"circular:{record.circular}:answered:{record.place}:{record.at}:{_digest(record.text)}"
        case AlarmGrouped():
            return f"alarm:{record.alarm}:grouped:{record.at}:{record.node}:{record.incident}"
        case AlarmDispatched():
            return f"alarm:{record.alarm}:dispatched:{record.at}:{record.node}:{record.lead.unit}"
        case SourceRegistered():
            return f"source:{record.place}:{record.source}:registered:{record.at}"
        case SourceArmed():
            return f"source:{record.place}:{record.source}:armed:{record.at}:{record.armed}"
        case SourceLooked():
            return f"source:{record.place}:{record.source}:looked:{record.at}:{record.by.division}:{record.by.name}"
        case CallRaised():
            return f"alarm:{record.alarm}:call:{record.call}"
        case CallAnswered():
            return f"alarm:{record.alarm}:answer:{record.call}"
        case UnitReported():
            return f"alarm:{record.alarm}:unit:{record.unit}:{record.state}"
        case ConferenceConvened():
            return f"conference:{record.conference}:convened"
        case ConferenceEnded():
            return f"conference:{record.conference}:ended"
        case ParticipantJoined():
            return f"participant:{record.participant}:joined"
        case ParticipantLeft():
            return f"participant:{record.participant}:left"
        case AuditRead():
            return f"audit:{record.node}:{record.at}:{record.by.name}:{record.what}"
        case RefusalRecorded():
            return f"refusal:{record.node}:{record.at}:{record.action}:{record.target}:{record.code}:{record.via}"
        case RecordHeld():
            return f"held:{record.held}:held"
        case RecordTaken():
            return f"held:{record.held}:taken"
        case TimerFired():
            return f"timer:{record.timer}"
        case EscalationRaised():
            return f"escalation:{record.directive}:{record.superior}:{record.n}:raised"
        case EscalationAcknowledged():
            return f"escalation:{record.directive}:{record.superior}:{record.n}:acknowledged"
        case OverdueRaised():
            return f"overdue:{record.overdue}:raised"
        case OverdueAcknowledged():
            return f"overdue:{record.overdue}:acknowledged"
        case RedialOrdered():
            return f"redial:{record.notice}"
        case NoticeAnswered():
            return f"notice:{record.notice}:{record.adapter}:answered:{record.status}"
        case Released():
            return f"release:{record.subject}:{record.within or ''}"
        case CapReceived():
            return f"cap:{record.event}"
        case NoticeSent():
            return f"notice:{record.notice}:{record.adapter}"
        case _:
            assert_never(record)
