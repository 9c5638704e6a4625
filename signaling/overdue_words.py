"""What may be said of what is overdue, and by whom.

Pure.  ``admission.py`` asks this of what comes over a link, the driver of what is asked for here.
"""

from __future__ import annotations

from typing import Protocol

from . import text
from .division import Tree
from .errors import Refused
from .ids import AlarmId
from .overdue import KINDS, LEVELS
from .permission import Action, permit
from .records import MAX_LATE, AlarmRaised, Late, OverdueAcknowledged, OverdueRaised, TimerKind
from .vouching import MAX_ID, MAX_NAME, MAX_NOTE, identity, vouched

MAX_WHAT = MAX_ID + 16


class Known(Protocol):
    """What the node knows of alarms."""

    def raised(self, alarm: AlarmId) -> AlarmRaised | None: ...


def check_overdue(record: OverdueRaised, tree: Tree, facts: Known) -> None:
    """Return if the list is well formed, and told by the node that keeps the time of all that is on it.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``not-permitted`` or ``unknown-alarm``.
    """
    identity(record.overdue)
    if not record.overdue.startswith(f"{record.node}-"):
        raise Refused("bad-record", f"overdue: {record.overdue} is no list of {record.node[:20]}")
    if not 0 < len(record.late) <= MAX_LATE:
        raise Refused("bad-record", f"late: {len(record.late)}, not in 1..{MAX_LATE}")
    if len({(one.kind, one.alarm, one.what) for one in record.late}) != len(record.late):
        raise Refused("bad-record", "late: one named twice")
    for one in record.late:
        _check_late(one, record, tree, facts)


def _check_late(late: Late, record: OverdueRaised, tree: Tree, facts: Known) -> None:
    identity(late.alarm)
    text.line(late.what, "what", MAX_WHAT, empty=True)
    text.line(late.name, "name", MAX_NAME, empty=True)
    if late.kind not in KINDS or not 1 <= late.n <= LEVELS:
        raise Refused("bad-record", f"{late.kind}, {late.n}: of no alarm, or n not in 1..{LEVELS}")
    raised = facts.raised(late.alarm)
    if raised is None:
        raise Refused("unknown-alarm", f"no alarm {late.alarm[:MAX_ID]}")
    if raised.exercise != record.exercise:
        raise Refused("bad-record", f"exercise: {late.alarm} is not of the same kind")
    clock = late.kind not in (TimerKind.UNIT, TimerKind.CALL)
    if clock and (raised.node != record.node or raised.place != late.place):
        raise Refused("not-permitted", f"{record.node[:20]} does not keep the clocks of {late.alarm}")
    told = tree.audience(raised.place)
    if record.node not in told or late.place not in told or not tree.is_within(late.place, record.superior):
        raise Refused("not-permitted", f"{late.place[:20]} is not told of {late.alarm}, or not below the superior")


def check_overdue_word(record: OverdueAcknowledged, raised: OverdueRaised | None, tree: Tree) -> None:
    """Return if the list was taken in hand by somebody of the superior, or above it.

    Raises:
        Refused: ``unknown-overdue``, ``bad-text`` or ``not-permitted``.
    """
    if raised is None or (raised.node, raised.superior) != (record.origin, record.superior):
        raise Refused("unknown-overdue", f"no such list {record.overdue[:MAX_ID]}")
    text.body(record.note, "note", MAX_NOTE, empty=True)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ACKNOWLEDGE, record.superior, tree)
