"""Everything a journal may hold: facts in the past tense, their keys and their canonical bytes.

State is a fold over these.  A record travels between nodes byte for byte as it was first written,
so a hash or a signature made at one tier can be checked at every other.
"""

from __future__ import annotations

import enum
import hashlib
from typing import assert_never

import msgspec

from .attachment import Attachment
from .errors import MalformedMessage
from .forms import FieldSpec
from .ids import AlarmId, CircularId, ConferenceId, DirectiveId, NodeCode, ParticipantId, RecordKey, Sha256, UtcMs

MAX_RECORD_BYTES = 655_360
"""A directive to 40,000 places fits (15 bytes each, and its text); nothing larger is a record."""
MAX_TOGETHER = 200
"""Directives that one record says are relayed."""


class Role(enum.StrEnum):
    """What a person or a device may be.  Stable: on the wire and on the command line."""

    TERMINAL = "terminal"
    COMMANDER = "commander"
    AUDITOR = "auditor"
    DEVICE = "device"
    ADMIN = "admin"


class Urgency(enum.StrEnum):
    """特提, 特急, 加急, 平急."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Stage(enum.StrEnum):
    """How far a directive has come for one recipient, in order."""

    QUEUED = "queued"
    RELAYED = "relayed"
    DELIVERED = "delivered"
    SHOWN = "shown"
    SIGNED = "signed"
    FEEDBACK = "feedback"
    DONE = "done"


class AlarmState(enum.StrEnum):
    TRIGGERED = "triggered"
    FALSE = "false"
    MERGED = "merged"
    CONFIRMED = "confirmed"
    DISPATCHED = "dispatched"
    ON_SITE = "on_site"
    HANDLED = "handled"
    CLOSED = "closed"


class TimerKind(enum.StrEnum):
    """What a clock is for: ring again, the limit is over, tell a superior, re-dial, no second name in time."""

    REPEAT = "repeat"
    LIMIT = "limit"
    ESCALATE = "escalate"
    REDIAL = "redial"
    COUNTERSIGN = "countersign"


class Mode(enum.StrEnum):
    """Which places an entry of a scope means."""

    SELF = "self"
    SUBTREE = "subtree"
    CHILDREN = "children"
    TIER = "tier"


class Actor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who acted: a name people know, a role, and the division they act for."""

    name: str
    role: Role
    division: NodeCode


class ScopeItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``tier``: of the places meant by mode tier, 1 (province) .. 5 (village), at or below ``node``.

    ``post``: who is addressed at each place; "" is the place's terminal, whoever sits there.
    """

    node: NodeCode
    mode: Mode = Mode.SELF
    tier: int = 0
    post: str = ""


EXPIRES_MS = 72 * 3_600_000
"""How long a directive may be signed for when the issuer says nothing."""


class DirectiveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an issuer asks for.  The same ``click_id`` of the same issuer is the same directive.

    ``texts``: the same text in further languages, by name; ``files`` and ``voice`` are SHA-256 of what was uploaded;
    ``level``: response level 1 (highest) .. 4, 0 for none; ``supersedes``: the directive this one takes the place of.
    """

    click_id: str
    urgency: Urgency
    title: str
    text: str
    scope: tuple[ScopeItem, ...]
    exercise: bool = False
    expires_ms: int = EXPIRES_MS
    capacity: str = ""
    template: str = ""
    plan: str = ""
    level: int = 0
    fields: tuple[FieldSpec, ...] = ()
    texts: dict[str, str] = {}
    files: tuple[Attachment, ...] = ()
    voice: Sha256 | None = None
    supersedes: DirectiveId | None = None


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """Base of all records.  ``node`` wrote it first, at ``at`` by its own clock."""

    node: NodeCode
    at: UtcMs


class DirectiveIssued(Record, frozen=True, tag="directive_issued", kw_only=True):
    directive: DirectiveId
    click_id: str
    issuer: Actor
    urgency: Urgency
    title: str
    text: str
    scope: tuple[ScopeItem, ...]
    recipients: tuple[NodeCode, ...]
    exercise: bool
    expires_at: UtcMs
    signature: str = ""
    """Base64url Ed25519 by the issuing node over ``signed_bytes``."""
    number: str = ""
    """Of the document: 衡山应急令〔2026〕0001号.  Told by the issuing node, never used twice."""
    capacity: str = ""
    """The body in whose name it is issued (发令单位)."""
    template: str = ""
    plan: str = ""
    level: int = 0
    """Response level Ⅰ (1) .. Ⅳ (4); 0: none."""
    fields: tuple[FieldSpec, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    texts: dict[str, str] = {}
    """The text in further languages, by their names."""
    voice: Sha256 | None = None
    """The attachment in which somebody reads the text."""
    posts: dict[NodeCode, str] = {}
    """The post addressed at a recipient, where one is: the person on duty in it signs."""
    supersedes: DirectiveId | None = None
    approved_by: Actor | None = None
    """Who approved the draft; None: issued without."""
    countersign_by: UtcMs | None = None
    """Issued first: by when somebody else must have countersigned it."""


class DirectiveRecalled(Record, frozen=True, tag="directive_recalled", kw_only=True):
    directive: DirectiveId
    by: Actor
    reason: str
    signature: str = ""


class DirectiveClosed(Record, frozen=True, tag="directive_closed", kw_only=True):
    """Every recipient is done, or the issuer ended it (``by``)."""

    directive: DirectiveId
    by: Actor | None = None
    signature: str = ""


class DirectiveAnnotated(Record, frozen=True, tag="directive_annotated", kw_only=True):
    """转办批示: a tier that the order passes adds ``note`` for the recipients below ``by``.  Signed by that node."""

    directive: DirectiveId
    by: Actor
    note: str
    signature: str = ""


class DirectiveExpired(Record, frozen=True, tag="directive_expired", kw_only=True):
    """``expires_at`` has passed here.  Local: every node says so for itself, by its own clock."""

    directive: DirectiveId


class DirectiveSuperseded(Record, frozen=True, tag="directive_superseded", kw_only=True):
    """Another directive has taken the place of this one; nobody need sign for it any more."""

    directive: DirectiveId
    successor: DirectiveId
    by: Actor
    signature: str = ""


class DirectiveCountersigned(Record, frozen=True, tag="directive_countersigned", kw_only=True):
    """Somebody else stands behind what was issued first."""

    directive: DirectiveId
    by: Actor
    signature: str = ""


class DirectiveDrafted(Record, frozen=True, tag="directive_drafted", kw_only=True):
    """A directive as its author would issue it.  Drafts and what is said of them stay at the node they are made at.

    ``revision`` counts the author's versions from 1; the last one stands.
    """

    directive: DirectiveId
    by: Actor
    request: DirectiveRequest
    revision: int


class DirectiveSubmitted(Record, frozen=True, tag="directive_submitted", kw_only=True):
    """The author asks somebody else to approve."""

    directive: DirectiveId
    by: Actor
    revision: int


class DirectiveApproved(Record, frozen=True, tag="directive_approved", kw_only=True):
    """``by`` approved this very revision; it is issued in the same breath."""

    directive: DirectiveId
    by: Actor
    revision: int


class DirectiveReturned(Record, frozen=True, tag="directive_returned", kw_only=True):
    """Back to the author, to be changed; or taken back by the author."""

    directive: DirectiveId
    by: Actor
    revision: int
    reason: str


class DeliveryAdvanced(Record, frozen=True, tag="delivery_advanced", kw_only=True):
    directive: DirectiveId
    recipient: NodeCode
    stage: Stage
    by: Actor | None = None
    """Who signed or fed back; None for what a machine saw."""
    values: dict[str, int] = {}
    """Numbers fed back (应转, 已转, ...)."""
    note: str = ""
    answers: dict[str, str] = {}
    """Words fed back: what was chosen or written in the fields that hold no number."""


class RosterSet(Record, frozen=True, tag="roster_set", kw_only=True):
    """``person`` is on duty in ``post`` (带班领导, 值班长, ...) of ``division``, ``starts_at`` <= now < ``ends_at``.

    What was said later holds where two overlap; an empty ``person`` takes back what was said.
    """

    division: NodeCode
    post: str
    person: str
    starts_at: UtcMs
    ends_at: UtcMs
    by: Actor


class DirectivesRelayed(Record, frozen=True, tag="directives_relayed", kw_only=True):
    """``child`` holds these directives: ``node`` has relayed them for every recipient at or beyond it.

    They were issued at one node, to which this travels; each is said once by each hop.
    """

    child: NodeCode
    directives: tuple[DirectiveId, ...]
    """1 to MAX_TOGETHER of them."""


class AlarmWord(Record, frozen=True, kw_only=True):
    """Base of all that is said of an alarm: who is told of ``place`` is told of it."""

    alarm: AlarmId
    place: NodeCode


class AlarmRaised(AlarmWord, frozen=True, tag="alarm_raised", kw_only=True):
    by: Actor
    source: str
    kind: str
    urgency: Urgency
    text: str
    longitude: float | None
    latitude: float | None
    """GCJ-02 degrees."""
    exercise: bool
    event: str = ""
    """The source's own name for what happened: the same source saying it again raises nothing new."""
    disarmed: bool = False
    """Its source was disarmed: it is written down where it was raised, makes no card, and goes nowhere."""


class SourceRegistered(Record, frozen=True, tag="source_registered", kw_only=True):
    """A collection point of this node.  Local: its alarms travel, the registry does not."""

    place: NodeCode
    source: str
    kind: str
    longitude: float | None
    latitude: float | None
    by: Actor


class SourceArmed(Record, frozen=True, tag="source_armed", kw_only=True):
    """布防 or 撤防.  Local, as the registry is."""

    place: NodeCode
    source: str
    armed: bool
    by: Actor
    reason: str = ""


class AlarmPictured(AlarmWord, frozen=True, tag="alarm_pictured", kw_only=True):
    picture: Sha256
    picture_bytes: int
    thumbnail: Sha256
    thumbnail_bytes: int


class AlarmAdvanced(AlarmWord, frozen=True, tag="alarm_advanced", kw_only=True):
    state: AlarmState
    by: Actor
    note: str = ""
    alone: bool = False
    """Said of this alarm only, and not of the others on its card."""


class CircularSent(Record, frozen=True, tag="circular_sent", kw_only=True):
    """通报 or 协查: one place tells others beside it.  ``asks``: an answer is hoped for."""

    circular: CircularId
    click_id: str
    by: Actor
    to: tuple[NodeCode, ...]
    title: str
    text: str
    asks: bool
    exercise: bool
    signature: str = ""


class CircularAnswered(Record, frozen=True, tag="circular_answered", kw_only=True):
    """``place`` has read the circular; ``text`` is what it answers, if anything."""

    circular: CircularId
    place: NodeCode
    by: Actor
    text: str = ""


class UnitState(enum.StrEnum):
    """How far a unit that was sent has come: 已接警, 出动, 到场, 处置完, 返回."""

    ACKNOWLEDGED = "acknowledged"
    OUT = "out"
    ON_SITE = "on_site"
    HANDLED = "handled"
    RETURNED = "returned"


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A department or team that can be sent, and the place it belongs to."""

    unit: str
    name: str
    place: NodeCode


class AlarmDispatched(AlarmWord, frozen=True, tag="alarm_dispatched", kw_only=True):
    """Units are sent: one leads (主办), others assist (协办); they should be there by ``deadline``."""

    lead: Unit
    assist: tuple[Unit, ...] = ()
    by: Actor
    deadline: UtcMs
    note: str = ""


class UnitReported(AlarmWord, frozen=True, tag="unit_reported", kw_only=True):
    """A unit that was sent says how far it is."""

    unit: str
    unit_place: NodeCode
    state: UnitState
    by: Actor
    note: str = ""


class CallRaised(AlarmWord, frozen=True, tag="call_raised", kw_only=True):
    """A lower tier calls a department above about an alarm (吹哨): it should answer by ``deadline``."""

    call: str
    to: NodeCode
    department: str
    by: Actor
    deadline: UtcMs
    note: str = ""


class CallAnswered(AlarmWord, frozen=True, tag="call_answered", kw_only=True):
    """The department that was called says what it does."""

    call: str
    to: NodeCode
    by: Actor
    note: str


class AlarmGrouped(AlarmWord, frozen=True, tag="alarm_grouped", kw_only=True):
    """A person put ``alarm`` into the card that ``incident`` is in; with ``incident`` = ``alarm``, apart from all."""

    incident: AlarmId
    by: Actor


class ConferenceConvened(Record, frozen=True, tag="conference_convened", kw_only=True):
    conference: ConferenceId
    title: str
    by: Actor
    scope: tuple[ScopeItem, ...]
    sites: tuple[NodeCode, ...]
    """The scope expanded when the meeting was convened."""
    exercise: bool


class ConferenceEnded(Record, frozen=True, tag="conference_ended", kw_only=True):
    conference: ConferenceId
    by: Actor


class ParticipantJoined(Record, frozen=True, tag="participant_joined", kw_only=True):
    """Local to the node it happened at: attendance."""

    conference: ConferenceId
    participant: ParticipantId
    who: Actor


class ParticipantLeft(Record, frozen=True, tag="participant_left", kw_only=True):
    conference: ConferenceId
    participant: ParticipantId
    reason: str


class AuditRead(Record, frozen=True, tag="audit_read", kw_only=True):
    """An auditor looked.  Those who are audited see this."""

    by: Actor
    what: str
    reason: str


class RefusalRecorded(Record, frozen=True, tag="refusal_recorded", kw_only=True):
    """Somebody tried what they may not; ``via`` is the neighbour or session it came by."""

    by: Actor | None
    action: str
    target: str
    code: str
    via: str


class TimerFired(Record, frozen=True, tag="timer_fired", kw_only=True):
    """A clock ran out while it still meant something.  Local; written together with what follows from it."""

    timer: str
    """Derived from what it is of: kind, subject, place and number.  Said once ever."""
    kind: TimerKind
    subject: str
    """Id of the directive or the alarm."""
    due: UtcMs


class EscalationRaised(Record, frozen=True, tag="escalation_raised", kw_only=True):
    """未叫醒名单: the issuing node tells a superior who had not signed at the ``n``-th limit."""

    directive: DirectiveId
    superior: NodeCode
    n: int
    not_reached: tuple[NodeCode, ...]
    urgency: Urgency
    title: str
    exercise: bool
    signature: str = ""


class EscalationAcknowledged(Record, frozen=True, tag="escalation_acknowledged", kw_only=True):
    """Somebody of the superior, or above, has taken the list in hand."""

    directive: DirectiveId
    superior: NodeCode
    n: int
    origin: NodeCode
    """The node that raised it."""
    by: Actor
    note: str = ""


class RedialOrdered(Record, frozen=True, tag="redial_ordered", kw_only=True):
    """Whoever is to be called at ``places`` shall be, by the ways this node has.  Local; ``NoticeSent`` follows."""

    notice: str
    directive: DirectiveId
    places: tuple[NodeCode, ...]


class NoticeSent(Record, frozen=True, tag="notice_sent", kw_only=True):
    """What came of telling somebody outside.  Local.  ``people`` are references: numbers are in no record."""

    notice: str
    kind: str
    subject: str
    """Id of the directive or the alarm."""
    adapter: str
    """By which way; "" when none was asked, as for an exercise."""
    outcome: str
    """``sent``, or the code of what went wrong."""
    places: tuple[NodeCode, ...]
    people: tuple[str, ...]


class NoticeAnswered(Record, frozen=True, tag="notice_answered", kw_only=True):
    """What the far side says became of a notice.  Local.  ``status`` is its own word, as is ``detail``."""

    notice: str
    adapter: str
    status: str
    detail: str = ""


class Released(Record, frozen=True, tag="released", kw_only=True):
    """Somebody let a directive or an alarm out to the public.  Local; what later becomes of it goes out too."""

    subject: str
    """Id of the directive or the alarm."""
    within: NodeCode | None
    """Only for the places at or below this one; None: for all."""
    by: Actor


class CapReceived(Record, frozen=True, tag="cap_received", kw_only=True):
    """A CAP message of somebody else's came in by ``by``, and what came of it.  Local; said once for each message."""

    by: Actor
    sender: str
    identifier: str
    msg_type: str
    event: str
    """The message's name as alarms carry it."""
    about: tuple[str, ...]
    """The names of the messages it refers to."""
    exercise: bool
    effect: str
    """raised, replaced, withdrawn, acknowledged, noted (nothing here to act on) or ignored (a test or a draft)."""
    alarm: AlarmId | None = None
    note: str = ""


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
    | TimerFired
    | EscalationRaised
    | EscalationAcknowledged
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
)
"""What the issuing node signs: nobody on the way down can change or invent it."""


def signed_bytes(record: SignedRecord) -> bytes:
    """Return what the issuing node signs: the record with an empty signature."""
    return encode(msgspec.structs.replace(record, signature=""))


def chain(previous: bytes, data: bytes) -> bytes:
    """Return the 32-byte chain hash of a record's bytes after ``previous`` (32 bytes; zeros for the first)."""
    return hashlib.sha256(previous + data).digest()


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
            said = f"{record.starts_at}:{record.person}:{record.node}:{record.at}"
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
        case TimerFired():
            return f"timer:{record.timer}"
        case EscalationRaised():
            return f"escalation:{record.directive}:{record.superior}:{record.n}:raised"
        case EscalationAcknowledged():
            return f"escalation:{record.directive}:{record.superior}:{record.n}:acknowledged"
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
