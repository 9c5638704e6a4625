"""What follows when time runs out: timers, superiors told, people called outside."""

from __future__ import annotations

import enum

from signaling.ids import DirectiveId, NodeCode, UtcMs

from .base import Actor, Record, Urgency


class TimerKind(enum.StrEnum):
    """What a clock is for.

    Of a directive: ring again, the limit is over, tell a superior, re-dial, no second name in time.  Of an alarm: the
    1-3-5 clocks, a unit that was sent is not there, a department that was called does not answer.
    """

    REPEAT = "repeat"
    LIMIT = "limit"
    ESCALATE = "escalate"
    REDIAL = "redial"
    COUNTERSIGN = "countersign"
    RESPONSE = "response"
    ON_SITE = "on_site"
    HANDLED = "handled"
    UNIT = "unit"
    CALL = "call"


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
