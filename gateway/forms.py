"""What HTTP requests say: typed bodies.  Unknown fields are refused, for a misspelt ``exercise`` is an order."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from signaling.ids import NodeCode, UtcMs
from signaling.messages import Text
from signaling.records import AlarmState, DirectiveRequest, DutyChange, ScopeItem, UnitState, Urgency

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Press = Annotated[str, msgspec.Meta(max_length=64)]
"""Drawn by a page for one press of a button; empty: a repeat is another one."""
Note = Annotated[str, msgspec.Meta(max_length=500)]
Scope = Annotated[tuple[ScopeItem, ...], msgspec.Meta(min_length=1, max_length=500)]
Amount = Annotated[int, msgspec.Meta(ge=-(10**9), le=10**9)]
Values = Annotated[dict[Annotated[str, msgspec.Meta(min_length=1, max_length=40)], Amount], msgspec.Meta(max_length=32)]

Answers = Annotated[
    dict[Annotated[str, msgspec.Meta(min_length=1, max_length=40)], Annotated[str, msgspec.Meta(max_length=200)]],
    msgspec.Meta(max_length=32),
]
Revision = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class Form(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all request bodies."""


class SignInForm(Form, frozen=True, kw_only=True):
    """Either ``code`` (from a sign-in link), or ``name`` and ``password``."""

    code: Code | None = None
    name: Name | None = None
    password: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None


class ConveneForm(Form, frozen=True, kw_only=True):
    """``click_id``: the press of a button this comes from; the same one again is the same meeting."""

    title: Title
    scope: Scope
    exercise: bool = False
    click_id: Press = ""


class SignForm(Form, frozen=True, kw_only=True):
    """``name``: the person who signs; default: the token's."""

    name: Annotated[str, msgspec.Meta(max_length=64)] = ""


class FeedbackForm(Form, frozen=True, kw_only=True):
    values: Values = {}
    note: Note = ""
    answers: Answers = {}


class DoneForm(Form, frozen=True, kw_only=True):
    note: Note = ""


class RecallForm(Form, frozen=True, kw_only=True):
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class AlarmRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a source reports.  ``place`` defaults to the actor's division, the position to the place's.

    ``datum`` says of which kind the position is: phones give WGS 84.  ``event`` is the source's own name for what
    happened: the same one again is the same alarm.
    """

    kind: str
    text: str = ""
    urgency: Urgency = Urgency.P1
    source: str = ""
    place: NodeCode | None = None
    longitude: float | None = None
    latitude: float | None = None
    datum: Literal["gcj02", "wgs84"] = "gcj02"
    exercise: bool = False
    event: str = ""


class AnnotateForm(Form, frozen=True, kw_only=True):
    """What a tier adds for the places below it."""

    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class AnswerForm(Form, frozen=True, kw_only=True):
    """What a place answers a circular; empty: it has read it."""

    text: Note = ""


class EditForm(Form, frozen=True, kw_only=True):
    """``revision``: the one that was read; another one since then refuses the edit."""

    revision: Revision
    request: DirectiveRequest


class RevisionForm(Form, frozen=True, kw_only=True):
    """``revision``: the one that was read, and no other."""

    revision: Revision


class ReturnForm(Form, frozen=True, kw_only=True):
    revision: Revision
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class RosterForm(Form, frozen=True, kw_only=True):
    """``person`` has ``post`` of ``division`` from ``starts_at`` until ``ends_at``; "" takes back who had.

    ``change``: ``person`` joins those who have it, or leaves them; without it ``person`` relieves them.
    """

    division: NodeCode
    post: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    person: Annotated[str, msgspec.Meta(max_length=60)]
    starts_at: UtcMs
    ends_at: UtcMs
    change: DutyChange | msgspec.UnsetType = msgspec.UNSET


class PhoneForm(Form, frozen=True, kw_only=True):
    """The number under which ``person`` of ``division`` is called when nobody signs; "" forgets it."""

    division: NodeCode
    person: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    phone: Annotated[str, msgspec.Meta(max_length=21)]


class AdvanceForm(Form, frozen=True, kw_only=True):
    state: AlarmState
    note: Note = ""


class DispatchForm(Form, frozen=True, kw_only=True):
    """Units by their id; ``within_ms``: by then they should be on the spot."""

    lead: Code
    assist: Annotated[tuple[Code, ...], msgspec.Meta(max_length=16)] = ()
    within_ms: Annotated[int, msgspec.Meta(ge=10_000, le=86_400_000)] = 180_000
    note: Note = ""


class CallForm(Form, frozen=True, kw_only=True):
    """``to``: a division above the caller's; ``department``: whom there it is for."""

    to: NodeCode
    department: Annotated[str, msgspec.Meta(max_length=60)] = ""
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class CallAnswerForm(Form, frozen=True, kw_only=True):
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class SourceForm(Form, frozen=True, kw_only=True):
    place: Code
    source: Name


class ArmForm(Form, frozen=True, kw_only=True):
    place: Code
    source: Name
    armed: bool
    reason: Note = ""


class UnitForm(Form, frozen=True, kw_only=True):
    state: UnitState
    note: Note = ""


class GroupForm(Form, frozen=True, kw_only=True):
    """``incident``: an alarm on the card to put this one on; itself: a card of its own."""

    incident: Code


class SnapshotForm(Form, frozen=True, kw_only=True):
    """A picture of a participant becomes an alarm.  ``event``: the same one again is the same alarm."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    kind: Text = "snapshot"
    urgency: Urgency = Urgency.P2
    exercise: bool = False
    event: Press = ""


class EmptyForm(Form, frozen=True, kw_only=True):
    """Nothing."""
