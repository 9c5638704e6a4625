"""The union of all records, their canonical bytes, and what is signed and chained."""

from __future__ import annotations

import hashlib

import msgspec

from signaling.errors import MalformedMessage

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
)
from .interchange import CapReceived, Released
from .meetings import ConferenceConvened, ConferenceEnded, ParticipantJoined, ParticipantLeft
from .overdue import OverdueAcknowledged, OverdueRaised
from .watching import AuditRead, RecordHeld, RecordTaken, RefusalRecorded

MAX_RECORD_BYTES = 655_360
"""A directive to 40,000 places fits (15 bytes each, and its text); nothing larger is a record."""

AnyRecord = (
    DirectiveIssued
    | DirectiveRecalled
    | DirectiveClosed
    | DirectiveAnnotated
    | DirectiveExpired
    | DirectiveSuperseded
    | DirectiveCountersigned
    | DirectiveDrafted
    | DirectiveSubmitted
    | DirectiveApproved
    | DirectiveReturned
    | DeliveryAdvanced
    | DirectivesRelayed
    | RosterSet
    | AlarmRaised
    | AlarmPictured
    | AlarmAdvanced
    | CircularSent
    | CircularAnswered
    | AlarmGrouped
    | SourceRegistered
    | SourceArmed
    | SourceLooked
    | AlarmDispatched
    | UnitReported
    | CallRaised
    | CallAnswered
    | ConferenceConvened
    | ConferenceEnded
    | ParticipantJoined
    | ParticipantLeft
    | AuditRead
    | RefusalRecorded
    | RecordHeld
    | RecordTaken
    | TimerFired
    | EscalationRaised
    | EscalationAcknowledged
    | OverdueRaised
    | OverdueAcknowledged
    | RedialOrdered
    | NoticeSent
    | NoticeAnswered
    | Released
    | CapReceived
)
_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)


def encode(record: AnyRecord) -> bytes:
    """Return the canonical bytes of ``record``: JSON, UTF-8, keys in a fixed order."""
    return _ENCODER.encode(record)


def decode(data: bytes) -> AnyRecord:
    """Return the record in ``data``.

    Raises:
        MalformedMessage: Not a record of this version, or longer than MAX_RECORD_BYTES.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise MalformedMessage(f"record: {len(data)} bytes, limit {MAX_RECORD_BYTES}")
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"record: {error}") from None


SignedRecord = (
    DirectiveIssued
    | DirectiveRecalled
    | DirectiveClosed
    | DirectiveAnnotated
    | DirectiveSuperseded
    | DirectiveCountersigned
    | CircularSent
    | EscalationRaised
    | OverdueRaised
)
"""What the issuing node signs: nobody on the way down can change or invent it."""


def signed_bytes(record: SignedRecord) -> bytes:
    """Return what the issuing node signs: the record with an empty signature."""
    return encode(msgspec.structs.replace(record, signature=""))


def chain(previous: bytes, data: bytes) -> bytes:
    """Return the 32-byte chain hash of a record's bytes after ``previous`` (32 bytes; zeros for the first)."""
    return hashlib.sha256(previous + data).digest()
