"""What happens when something about an alarm is overdue: who is told, when, and in how many lists at most.

Pure.  A timer follows from a deadline of a card (``deadlines.py``): grouped alarms have one clock, the card's, and a
clock that was stopped has none.  The node where a deadline began keeps its time.

* when it is over, the superior of the late one is told; when as much time again has passed, that one's superior
* of a unit that somebody above sent, nobody above the sender; the sender, of its own division's units
* what runs out for one superior is gathered: a timer is due at the next full GRID_MS of its level, so that a storm
  makes one list of it, and no superior gets more lists a minute from one node than there are such moments
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .deadlines import Deadline
from .division import Tree
from .ids import NodeCode, UtcMs
from .records import MAX_LATE, Late, OverdueRaised, TimerFired, TimerKind, Urgency

GRID_MS = (10_000, 60_000)
"""Of the first superior and the second.  UTC."""
LEVELS = len(GRID_MS)

KINDS = (TimerKind.RESPONSE, TimerKind.ON_SITE, TimerKind.HANDLED, TimerKind.UNIT, TimerKind.CALL)

FiredRecord = TimerFired | OverdueRaised


@dataclass(frozen=True, slots=True)
class Timer:
    """One deadline at one level: ``superior`` is told at ``due`` unless it was met."""

    deadline: Deadline
    n: int
    due: UtcMs
    superior: NodeCode
    urgency: Urgency
    exercise: bool

    @property
    def id(self) -> str:
        return f"{self.deadline.kind}:{self.deadline.alarm}:{self.deadline.what}:{self.n}"


def superiors(deadline: Deadline, tree: Tree) -> tuple[NodeCode, ...]:
    """Return who is told first, second, ...: at least one, and LEVELS at most."""
    path = tree.path_up(deadline.place)
    above = path[1:] or path
    if deadline.kind is TimerKind.UNIT and deadline.asker in path:
        above = path[1 : path.index(deadline.asker) + 1] or (deadline.asker,)
    return above[:LEVELS]


def timers(deadline: Deadline, urgency: Urgency, tree: Tree, *, exercise: bool) -> Iterator[Timer]:
    """Yield the timers of a deadline that has not been met, the first superior's first.

    Args:
        urgency: Of the card, as is ``exercise``.
    """
    limit = max(1, deadline.due - deadline.begun)
    for n, superior in enumerate(superiors(deadline, tree), 1):
        grid = GRID_MS[n - 1]
        due = -(-(deadline.due + (n - 1) * limit) // grid) * grid
        yield Timer(deadline, n, UtcMs(due), superior, urgency, exercise)


def fired(timer: Timer, here: NodeCode, at: UtcMs) -> TimerFired:
    """Return what to journal of ``timer`` itself, with the list that ``lists`` makes of it."""
    return TimerFired(
        node=here,
        at=at,
        timer=timer.id,
        kind=timer.deadline.kind,
        subject=timer.deadline.alarm,
        due=timer.due,
    )


def lists(together: Iterable[Timer], here: NodeCode, at: UtcMs) -> Iterator[OverdueRaised]:
    """Yield the lists that timers which fired together make: one for each superior, or as few as hold them.

    Args:
        at: At no other moment did ``here`` raise a list.
    """
    told: dict[tuple[NodeCode, bool], list[Timer]] = {}
    for timer in together:
        told.setdefault((timer.superior, timer.exercise), []).append(timer)
    for (superior, exercise), group in sorted(told.items()):
        group.sort(key=lambda timer: (timer.deadline.due, timer.id))
        for first in range(0, len(group), MAX_LATE):
            part = group[first : first + MAX_LATE]
            yield OverdueRaised(
                node=here,
                at=at,
                overdue=f"{here}-{superior}-{at}-{'e' if exercise else 'r'}{first // MAX_LATE}",
                superior=superior,
                late=tuple(map(_late, part)),
                urgency=min(timer.urgency for timer in part),
                exercise=exercise,
            )


def _late(timer: Timer) -> Late:
    deadline = timer.deadline
    return Late(
        kind=deadline.kind,
        alarm=deadline.alarm,
        what=deadline.what,
        place=deadline.place,
        name=deadline.name,
        since=deadline.due,
        n=timer.n,
    )
