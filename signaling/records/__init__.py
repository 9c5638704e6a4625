"""Everything a journal may hold: facts in the past tense, their keys and their canonical bytes.

State is a fold over these.  A record travels between nodes byte for byte as it was first written,
so a hash or a signature made at one tier can be checked at every other.
"""

from .alarms import (
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    AlarmWord,
    CallAnswered,
    CallRaised,
    SourceArmed,
    SourceLooked,
    SourceRegistered,
    Unit,
    UnitReported,
    UnitState,
)
from .base import Actor, Mode, Record, Role, ScopeItem, Urgency
from .canonical import MAX_RECORD_BYTES, AnyRecord, SignedRecord, chain, decode, encode, signed_bytes
from .circulars import CircularAnswered, CircularSent
from .clocks import (
    EscalationAcknowledged,
    EscalationRaised,
    NoticeAnswered,
    NoticeSent,
    RedialOrdered,
    TimerFired,
    TimerKind,
)
from .directives import (
    EXPIRES_MS,
    MAX_TOGETHER,
    DeliveryAdvanced,
    DirectiveAnnotated,
    DirectiveApproved,
    DirectiveClosed,
    DirectiveCountersigned,
    DirectiveDrafted,
    DirectiveExpired,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveRequest,
    DirectiveReturned,
    DirectivesRelayed,
    DirectiveSubmitted,
    DirectiveSuperseded,
    DutyChange,
    RosterSet,
    Stage,
)
from .interchange import CapReceived, Released
from .keys import key
from .meetings import ConferenceConvened, ConferenceEnded, ParticipantJoined, ParticipantLeft
from .overdue import MAX_LATE, Late, OverdueAcknowledged, OverdueRaised
from .watching import AuditRead, RecordHeld, RecordTaken, RefusalRecorded
