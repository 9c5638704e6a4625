"""What the gateway says to a terminal or console of directives, circulars and duty."""

from __future__ import annotations

import msgspec

from signaling.attachment import Attachment
from signaling.forms import FieldSpec
from signaling.ids import CircularId, DirectiveId, NodeCode, Sha256, UtcMs
from signaling.records import Actor, DirectiveRequest, Stage, Urgency

from .base import Message


class RecipientView(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the sign-off matrix.  Times are None until reached."""

    node: NodeCode
    name: str
    stage: Stage
    relayed_at: UtcMs | None = None
    delivered_at: UtcMs | None = None
    shown_at: UtcMs | None = None
    signed_at: UtcMs | None = None
    signed_by: str = ""
    feedback_at: UtcMs | None = None
    done_at: UtcMs | None = None
    values: dict[str, int] = {}
    note: str = ""
    answers: dict[str, str] = {}
    post: str = ""
    """The post addressed here; "" is the terminal."""
    on_duty: str = ""
    """Who is on duty in that post now, as the roster has it: may sign."""
    also_on_duty: tuple[str, ...] = ()
    """The others on duty in it: any of them may sign, and one signature is enough."""


class AnnotationView(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier between added for the places below it (转办批示)."""

    division: NodeCode
    division_name: str
    by: str
    at: UtcMs
    note: str


class DirectiveView(Message, frozen=True, tag="directive", kw_only=True):
    """To a terminal: ring and show (``mine`` below ``shown``) or list it.  To a console: header and matrix."""

    directive: DirectiveId
    urgency: Urgency
    title: str
    text: str
    issuer: Actor
    issuer_name: str
    issued_at: UtcMs
    expires_at: UtcMs
    exercise: bool
    state: str
    """issued, recalled, superseded, expired or closed."""
    sign_by: UtcMs
    """After this an unsigned recipient is overdue."""
    recipients: tuple[RecipientView, ...] = ()
    total: int = 0
    counts: dict[Stage, int] = {}
    """Recipients now at each stage; stages nobody is at are left out."""
    sums: dict[str, int] = {}
    """The numbers fed back, added up."""
    mine: RecipientView | None = None
    annotations: tuple[AnnotationView, ...] = ()
    copied: bool = False
    """A copy for the tiers between issuer and recipients: to be known of, not to be signed for."""
    choices: dict[str, dict[str, int]] = {}
    """Field to choice to how many recipients chose it."""
    number: str = ""
    capacity: str = ""
    plan: str = ""
    level: int = 0
    fields: tuple[FieldSpec, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    texts: dict[str, str] = {}
    voice: Sha256 | None = None
    approved_by: str = ""
    countersign_by: UtcMs | None = None
    """By when somebody else must still countersign."""
    countersigned_by: str = ""
    supersedes: DirectiveId | None = None
    supersedes_number: str = ""
    successor: DirectiveId | None = None
    successor_number: str = ""


class DraftView(Message, frozen=True, tag="draft", kw_only=True):
    """A directive that is not issued yet, to its author and those who may approve it; sent again on every change.

    ``state`` is draft, pending, or issued: then it is a directive and this the last word of the draft.
    """

    directive: DirectiveId
    state: str
    revision: int
    by: Actor
    drafted_at: UtcMs
    submitted_at: UtcMs | None
    returned_by: str
    returned_reason: str
    recipients: int
    request: DirectiveRequest
    before: DirectiveRequest | None = None
    """What was returned to the author last, if it has been changed since."""


class DeliveryChanged(Message, frozen=True, tag="delivery", kw_only=True):
    """One row of a matrix moved."""

    directive: DirectiveId
    recipient: RecipientView


class Ring(Message, frozen=True, tag="ring", kw_only=True):
    """To a terminal: it is shown and nobody has signed, so ring again, for the ``n``-th time."""

    directive: DirectiveId
    n: int


class CircularAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A told place has read a circular (``text`` is empty), or answers it."""

    place: NodeCode
    place_name: str
    by: str
    at: UtcMs
    text: str


class CircularView(Message, frozen=True, tag="circular", kw_only=True):
    """A lateral circular (通报, or 协查 when it ``asks``): read it or answer it; nobody signs."""

    circular: CircularId
    title: str
    text: str
    asks: bool
    exercise: bool
    by: Actor
    by_name: str
    sent_at: UtcMs
    to: tuple[NodeCode, ...]
    unread: int
    """Places told that have not read it."""
    answers: tuple[CircularAnswer, ...] = ()


class DutyNow(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty in ``post`` of ``division`` now; nobody that the roster names where ``people`` is empty."""

    division: NodeCode
    post: str
    people: tuple[str, ...]


class DutyChanged(Message, frozen=True, tag="duty", kw_only=True):
    """To a console: a roster was changed, or a shift began or ended.  What is shown of these rosters is outdated."""

    posts: tuple[DutyNow, ...]


class DutyLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a duty roster.  ``now``: this person is on duty now.  ``change``: joins, leaves, "" relieves."""

    division: NodeCode
    post: str
    person: str
    starts_at: UtcMs
    ends_at: UtcMs
    by: str
    now: bool
    change: str = ""


class DutyShift(msgspec.Struct, frozen=True, kw_only=True):
    """Who has ``post`` from ``starts_at`` until ``ends_at``, perhaps with others; "" where nobody has."""

    post: str
    person: str
    starts_at: UtcMs
    ends_at: UtcMs


class DutyPost(msgspec.Struct, frozen=True, kw_only=True):
    """One post of a place: who has it now and until when, and when too few have it in the time that was asked for.

    ``others`` have it now too; ``need``: so many must at all times.
    """

    post: str
    person: str
    until: UtcMs
    gaps: tuple[DutyShift, ...]
    others: tuple[DutyShift, ...] = ()
    need: int = 1


class DutyPlace(msgspec.Struct, frozen=True, kw_only=True):
    """The posts of a place; ``may_set``: the reader may put people on duty there."""

    division: NodeCode
    may_set: bool
    posts: tuple[DutyPost, ...]


class MissingView(msgspec.Struct, frozen=True, kw_only=True):
    """One place of a list of those not reached.  ``stage`` is None where the directive itself is not known."""

    node: NodeCode
    name: str
    stage: Stage | None = None
    reached_at: UtcMs | None = None
    """Signed meanwhile: strike it out."""
    reached_by: str = ""


class EscalationView(Message, frozen=True, tag="escalation", kw_only=True):
    """未叫醒名单: who had not signed at the ``n``-th limit; sent again whole when anything on it changes."""

    escalation: str
    directive: DirectiveId
    urgency: Urgency
    title: str
    exercise: bool
    superior: NodeCode
    superior_name: str
    n: int
    raised_at: UtcMs
    open: bool
    """The directive still runs."""
    total: int
    rows: tuple[MissingView, ...]
    """The first 500 of ``total``."""
    acknowledged_by: Actor | None = None
    acknowledged_at: UtcMs | None = None
    note: str = ""
