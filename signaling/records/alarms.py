"""What is said of an alarm, of the units sent to it, and of the sources alarms come from."""

from __future__ import annotations

import enum

import msgspec

from signaling.ids import AlarmId, NodeCode, Sha256, UtcMs

from .base import Actor, Record, Urgency


class AlarmState(enum.StrEnum):
    TRIGGERED = "triggered"
    FALSE = "false"
    MERGED = "merged"
    CONFIRMED = "confirmed"
    DISPATCHED = "dispatched"
    ON_SITE = "on_site"
    HANDLED = "handled"
    CLOSED = "closed"


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


class AlarmGrouped(AlarmWord, frozen=True, tag="alarm_grouped", kw_only=True):
    """A person put ``alarm`` into the card that ``incident`` is in; with ``incident`` = ``alarm``, apart from all."""

    incident: AlarmId
    by: Actor


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


class SourceRegistered(Record, frozen=True, tag="source_registered", kw_only=True):
    """A collection point of this node.  Local: its alarms travel, the registry does not."""

    place: NodeCode
    source: str
    kind: str
    longitude: float | None
    latitude: float | None
    by: Actor
    camera: bool = False
    """Whether a camera looks at it.  Where that stands and how one logs in there is in no record."""


class SourceArmed(Record, frozen=True, tag="source_armed", kw_only=True):
    """布防 or 撤防.  Local, as the registry is."""

    place: NodeCode
    source: str
    armed: bool
    by: Actor
    reason: str = ""


class SourceLooked(Record, frozen=True, tag="source_looked", kw_only=True):
    """Somebody had a picture taken of what is at a collection point.  Local, as the registry is."""

    place: NodeCode
    source: str
    by: Actor
