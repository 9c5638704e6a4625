"""Everything about an alarm that runs out, and when: for whoever keeps the time.

Pure.  A deadline is named by what it is about, so that it can be said once ever; it is gone when it was met.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .alarm import Alarm
from .handling import Handling
from .ids import AlarmId, UtcMs
from .records import UnitState

THERE = frozenset({UnitState.ON_SITE, UnitState.HANDLED, UnitState.RETURNED})


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """``kind``: response, on_site or handled (a clock), unit (to be on the spot) or call (to be answered)."""

    due: UtcMs
    kind: str
    subject: str
    """The alarm a clock began with, the unit or the call."""


def deadlines(lead: AlarmId, stands: Handling, alarms: Iterable[Alarm]) -> tuple[Deadline, ...]:
    """Return what of a card has not been met, in order.

    Args:
        lead: Names the card.
        stands: Where it stands.
        alarms: Those of its alarms of which more is known than that they were raised.
    """
    found = {Deadline(clock.due, clock.clock.value, lead) for clock in stands.clocks() if clock.met_at is None}
    for alarm in alarms:
        answered = {answer.call for answer in alarm.answers}
        found |= {Deadline(call.deadline, "call", call.call) for call in alarm.calls if call.call not in answered}
        there = {report.unit for report in alarm.reports if report.state in THERE}
        for sent in alarm.dispatches:
            units = {unit.unit for unit in (sent.lead, *sent.assist)} - there
            found |= {Deadline(sent.deadline, "unit", unit) for unit in units}
    return tuple(sorted(found))
