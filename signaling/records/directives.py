"""What is said of a directive from its draft to its last recipient, and who is on duty to sign."""

from __future__ import annotations

import enum

import msgspec

from signaling.attachment import Attachment
from signaling.forms import FieldSpec
from signaling.ids import DirectiveId, NodeCode, Sha256, UtcMs

from .base import Actor, Record, ScopeItem, Urgency

EXPIRES_MS = 72 * 3_600_000
"""How long a directive may be signed for when the issuer says nothing."""
MAX_TOGETHER = 200
"""Directives that one record says are relayed."""


class Stage(enum.StrEnum):
    """How far a directive has come for one recipient, in order."""

    QUEUED = "queued"
    RELAYED = "relayed"
    DELIVERED = "delivered"
    SHOWN = "shown"
    SIGNED = "signed"
    FEEDBACK = "feedback"
    DONE = "done"


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


class DirectivesRelayed(Record, frozen=True, tag="directives_relayed", kw_only=True):
    """``child`` holds these directives: ``node`` has relayed them for every recipient at or beyond it.

    They were issued at one node, to which this travels; each is said once by each hop.
    """

    child: NodeCode
    directives: tuple[DirectiveId, ...]
    """1 to MAX_TOGETHER of them."""


class DutyChange(enum.StrEnum):
    """How a line of a roster changes who is on duty; a line that says neither relieves whoever is."""

    JOINS = "joins"
    LEAVES = "leaves"


class RosterSet(Record, frozen=True, tag="roster_set", kw_only=True):
    """``person`` is on duty in ``post`` (带班领导, 值班长, ...) of ``division``, ``starts_at`` <= now < ``ends_at``.

    What was said later holds where two overlap: it relieves whoever has the post, an empty ``person`` leaves nobody.
    With a ``change`` the others stay on duty: ``person`` joins them, or leaves.
    """

    division: NodeCode
    post: str
    person: str
    starts_at: UtcMs
    ends_at: UtcMs
    by: Actor
    change: DutyChange | msgspec.UnsetType = msgspec.UNSET
