"""超时: who was told that clocks of alarms ran out, and who took that in hand."""

from __future__ import annotations

import msgspec

from signaling.ids import AlarmId, NodeCode, UtcMs

from .base import Actor, Record, Urgency
from .clocks import TimerKind

MAX_LATE = 500
"""Entries of one list; of more, several lists are made."""


class Late(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that should have been done by ``since`` and was not, when its ``n``-th limit was over."""

    kind: TimerKind
    alarm: AlarmId
    """The alarm a 1-3-5 clock began with, a unit was sent to or a department was called about."""
    what: str = ""
    """Of a unit its id and its deadline, ``unit@ms``; of a call its id; of a clock nothing."""
    place: NodeCode
    """Who is late: the alarm's place, the unit's, or the division that was called."""
    name: str = ""
    """Of the unit or the department."""
    since: UtcMs
    n: int


class OverdueRaised(Record, frozen=True, tag="overdue_raised", kw_only=True):
    """The node whose clocks these are tells ``superior`` of all that ran out together for it."""

    overdue: str
    """Names the list."""
    superior: NodeCode
    late: tuple[Late, ...]
    """1 to MAX_LATE of them."""
    urgency: Urgency
    exercise: bool
    signature: str = ""


class OverdueAcknowledged(Record, frozen=True, tag="overdue_acknowledged", kw_only=True):
    """Somebody of the superior, or above, has taken the list in hand."""

    overdue: str
    superior: NodeCode
    origin: NodeCode
    """The node that raised it."""
    by: Actor
    note: str = ""
