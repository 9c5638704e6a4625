"""What the gateway says to a terminal or console of what is overdue."""

from __future__ import annotations

import msgspec

from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.records import Actor, TimerKind, Urgency

from .base import Message


class LateView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that should have been done by ``since``: a 1-3-5 clock, a unit on its way, or a call to be answered."""

    kind: TimerKind
    alarm: AlarmId
    alarm_kind: str
    """Of the alarm; "" where it is not known."""
    alarm_place_name: str
    place: NodeCode
    """Who is late."""
    place_name: str
    name: str
    """Of the unit or the department; "" of a clock."""
    since: UtcMs
    n: int
    """1: its first limit is over; 2: its second."""
    ended: bool = False
    """It was done since, or means nothing any more."""
    ended_at: UtcMs | None = None


class OverdueView(Message, frozen=True, tag="overdue", kw_only=True):
    """超时: what ran out for one superior, to it and to whoever is late; sent again whole when anything on it changes.

    Ring when it is new, open, and nobody has taken it in hand.  Who is late and not the superior sees its own rows.
    """

    overdue: str
    superior: NodeCode
    superior_name: str
    raised_at: UtcMs
    urgency: Urgency
    exercise: bool
    open: bool
    """Something on it is still to be done."""
    total: int
    rows: tuple[LateView, ...]
    """The first 100 of ``total``, those still to be done before the others."""
    acknowledged_by: Actor | None = None
    acknowledged_at: UtcMs | None = None
    note: str = ""
