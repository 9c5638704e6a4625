"""What the gateway says to a terminal or console of alarms."""

from __future__ import annotations

import msgspec

from signaling.ids import AlarmId, NodeCode, Sha256, UtcMs
from signaling.records import Actor, AlarmState, UnitState, Urgency

from .base import Message


class ClockView(msgspec.Struct, frozen=True, kw_only=True):
    """One of the 1-3-5 clocks: ``response`` within 1 minute, ``on_site`` within 3, ``handled`` within 5."""

    clock: str
    due: UtcMs
    met_at: UtcMs | None = None
    """When it was stopped; None while it runs."""


class DispatchView(msgspec.Struct, frozen=True, kw_only=True):
    """One unit that was sent.  ``times``: when it said each of its states."""

    unit: str
    name: str
    place: NodeCode
    place_name: str
    lead: bool
    called_at: UtcMs
    deadline: UtcMs
    """By then it should be on the spot."""
    state: UnitState | None = None
    """None until it has answered."""
    times: dict[UnitState, UtcMs] = {}
    note: str = ""


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """A department above that was called, and what it answered; overdue when ``deadline`` is over and it has not."""

    call: str
    to: NodeCode
    to_name: str
    department: str
    by: Actor
    raised_at: UtcMs
    deadline: UtcMs
    note: str
    answered_at: UtcMs | None = None
    answered_by: Actor | None = None
    answer: str = ""


class AlarmView(Message, frozen=True, tag="alarm", kw_only=True):
    """A card of one alarm or many; sent again whole when anything on it changes.  Pictures are fetched by hash.

    ``urgency`` is the highest of its alarms, ``text`` the newest.  Ring when ``urgency`` rises to P0 or P1, and when
    ``reopened`` grows.
    """

    alarm: AlarmId
    source: str
    place: NodeCode
    place_name: str
    kind: str
    urgency: Urgency
    text: str
    longitude: float | None
    latitude: float | None
    state: AlarmState
    raised_at: UtcMs
    exercise: bool
    picture: Sha256 | None = None
    thumbnail: Sha256 | None = None
    card: AlarmId
    """The alarm whose card this one is on; "" for one of a disarmed source.  If another, take its own card away."""
    count: int = 1
    """Alarms on the card."""
    sources: int = 1
    newest_at: UtcMs
    reopened: int = 0
    """How often alarms came after all before were settled."""
    clocks: tuple[ClockView, ...] = ()
    dispatches: tuple[DispatchView, ...] = ()
    calls: tuple[CallView, ...] = ()
    outcome: str = ""
    """What was done, in the words of who closed it or found it false."""
    outcome_by: Actor | None = None
