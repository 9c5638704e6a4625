"""How far people have come with a card of alarms, and by when they should have: the 1-3-5 clocks.

Pure: derived from records alone, so a restart or another node sees the same clocks.  A verdict (false, closed,
merged) settles what was raised until then.  Whatever is raised later opens the card again, and the clocks start
anew; only a source that was found false may go on for QUIET_MS before somebody is asked to look again.  A verdict
about one alarm alone (it was merged into another, its source took it back) settles no other.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from .alarm import RANK
from .ids import AlarmId, UtcMs
from .records import AlarmAdvanced, AlarmRaised, AlarmState

QUIET_MS = 600_000
GOLDEN_MS = 600_000
"""The golden ten minutes: by then an alarm should be handled at the latest."""

VERDICTS = frozenset({AlarmState.FALSE, AlarmState.MERGED, AlarmState.CLOSED})


class Clock(enum.StrEnum):
    """1 minute to respond, 3 to be on the spot, 5 to have it handled."""

    RESPONSE = "response"
    ON_SITE = "on_site"
    HANDLED = "handled"


LIMIT_MS: Mapping[Clock, int] = {Clock.RESPONSE: 60_000, Clock.ON_SITE: 180_000, Clock.HANDLED: 300_000}

STOPPED_BY: Mapping[Clock, frozenset[AlarmState]] = {
    Clock.RESPONSE: frozenset(AlarmState) - {AlarmState.TRIGGERED},
    Clock.ON_SITE: frozenset({AlarmState.ON_SITE, AlarmState.HANDLED, AlarmState.CLOSED}),
    Clock.HANDLED: frozenset({AlarmState.HANDLED, AlarmState.CLOSED}),
}
"""A step stops a clock that an earlier one should have stopped: who has handled it was there."""


@dataclass(frozen=True, slots=True)
class Due:
    """One clock: when it runs out, and when it was stopped (None while it runs)."""

    clock: Clock
    due: UtcMs
    met_at: UtcMs | None

    def missed(self, now: UtcMs) -> bool:
        return (now if self.met_at is None else self.met_at) > self.due


@dataclass(frozen=True, slots=True)
class Handling:
    """Where a card stands.  ``opened`` is the first alarm of those not settled yet (of the last ones, when all are)."""

    state: AlarmState
    opened: AlarmRaised
    reopened: int
    target: AlarmId
    """The alarm the next step is about."""
    steps: tuple[AlarmAdvanced, ...]
    """Since it was opened, oldest first."""

    def clocks(self) -> tuple[Due, ...]:
        """Return the clocks that apply: a false alarm needs nobody on the spot."""
        kinds = (Clock.RESPONSE,) if self.state in (AlarmState.FALSE, AlarmState.MERGED) else tuple(Clock)
        return tuple(Due(kind, UtcMs(self.opened.at + LIMIT_MS[kind]), self._stopped(kind)) for kind in kinds)

    def _stopped(self, clock: Clock) -> UtcMs | None:
        return min((step.at for step in self.steps if step.state in STOPPED_BY[clock]), default=None)


def handling(
    lead: AlarmRaised, members: Callable[[], Sequence[AlarmRaised]], steps: Iterable[AlarmAdvanced]
) -> Handling:
    """Return where a card stands.

    Args:
        lead: Its first alarm.
        members: Gives all its alarms, oldest first; asked only when somebody has given a verdict.
        steps: Everything people did about any of them.
    """
    taken = sorted(steps, key=lambda step: (step.at, RANK[step.state], step.node))
    opened, reopened, left = lead, 0, None
    if aside := _set_aside(taken):
        left = [raised for raised in members() if raised.alarm not in aside]
        if not left:
            best = _best(taken)
            return Handling(best.state, opened, reopened, best.alarm, tuple(taken))
        opened = left[0]
    while True:
        mine = taken if left is None else [step for step in taken if step.alarm in {raised.alarm for raised in left}]
        if not mine:
            return Handling(AlarmState.TRIGGERED, opened, reopened, opened.alarm, ())
        later = _unsettled(members() if left is None else left, mine) if _judged(mine) else []
        names = {raised.alarm for raised in later}
        if later and _best([step for step in mine if step.alarm not in names]).state in VERDICTS:
            opened, reopened, left = later[0], reopened + 1, later
            continue
        best = _best(mine)
        return Handling(best.state, opened, reopened, best.alarm, tuple(mine))


def _set_aside(steps: Sequence[AlarmAdvanced]) -> set[AlarmId]:
    """Return the alarms that a verdict about them alone settles: merged into another, or taken back."""
    alone = {step.alarm for step in steps if step.alone or step.state is AlarmState.MERGED}
    return {alarm for alarm in alone if _best(step for step in steps if step.alarm == alarm).state in VERDICTS}


def _best(steps: Iterable[AlarmAdvanced]) -> AlarmAdvanced:
    return max(steps, key=lambda step: RANK[step.state])


def _judged(steps: Iterable[AlarmAdvanced]) -> list[AlarmAdvanced]:
    """Return the steps that give the strongest verdict there is, if any."""
    verdicts = [step for step in steps if step.state in VERDICTS]
    return [step for step in verdicts if step.state is _best(verdicts).state]


def _unsettled(raised: Sequence[AlarmRaised], steps: Iterable[AlarmAdvanced]) -> list[AlarmRaised]:
    """Return the alarms that the verdict among ``steps`` does not cover."""
    said = min(_judged(steps), key=lambda step: step.at)
    until = said.at
    quiet_until = until + QUIET_MS if said.state is AlarmState.FALSE else until
    known = {(one.place, one.source) for one in raised if one.at <= until or one.alarm == said.alarm}

    def covered(one: AlarmRaised) -> bool:
        return one.alarm == said.alarm or one.at <= (quiet_until if (one.place, one.source) in known else until)

    return [one for one in raised if not covered(one)]
