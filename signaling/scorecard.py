"""How well the 1-3-5 clocks are kept: counts and percentages over many cards.

Pure.  A clock that still runs in time counts for nothing yet; one that ran out counts as missed, stopped or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from .handling import GOLDEN_MS, VERDICTS, Clock, Due, Handling
from .ids import UtcMs
from .records import AlarmState


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Of one clock.  ``percent`` is ``met`` of those decided, 0..100 with one decimal; None while none is."""

    met: int
    missed: int
    running: int
    percent: float | None


class Scorecard(msgspec.Struct, frozen=True, kw_only=True):
    """``alarms`` in ``cards``; ``states`` of cards; ``golden``: handled within ten minutes."""

    alarms: int
    cards: int
    open: int
    states: dict[AlarmState, int]
    clocks: dict[str, Score]
    golden: Score


@dataclass(slots=True)
class _Tally:
    met: int = 0
    missed: int = 0
    running: int = 0

    def add(self, clock: Due, now: UtcMs) -> None:
        if clock.missed(now):
            self.missed += 1
        elif clock.met_at is None:
            self.running += 1
        else:
            self.met += 1

    def score(self) -> Score:
        decided = self.met + self.missed
        percent = round(100 * self.met / decided, 1) if decided else None
        return Score(met=self.met, missed=self.missed, running=self.running, percent=percent)


@dataclass(slots=True)
class _Sums:
    alarms: int = 0
    states: Counter[AlarmState] = field(default_factory=Counter)
    clocks: dict[Clock, _Tally] = field(default_factory=lambda: {clock: _Tally() for clock in Clock})
    golden: _Tally = field(default_factory=_Tally)


def scorecard(cards: Iterable[tuple[Handling, int]], now: UtcMs) -> Scorecard:
    """Return the figures of ``cards``: where each stands, and its number of alarms."""
    sums = _Sums()
    for stands, count in cards:
        sums.alarms += count
        sums.states[stands.state] += 1
        for clock in stands.clocks():
            sums.clocks[clock.clock].add(clock, now)
            if clock.clock is Clock.HANDLED:
                sums.golden.add(Due(clock.clock, UtcMs(stands.opened.at + GOLDEN_MS), clock.met_at), now)
    return Scorecard(
        alarms=sums.alarms,
        cards=sums.states.total(),
        open=sum(count for state, count in sums.states.items() if state not in VERDICTS),
        states=dict(sums.states),
        clocks={clock.value: tally.score() for clock, tally in sums.clocks.items()},
        golden=sums.golden.score(),
    )
