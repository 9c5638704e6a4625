"""Everything about an alarm that runs out, and when: for whoever keeps the time.

Pure.  A deadline is named by what it is about, so that it can be said once ever; it is gone when it was met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .alarm import Alarm
from .handling import Handling
from .ids import AlarmId, NodeCode, UtcMs
from .records import AlarmDispatched, AlarmRaised, TimerKind, Unit, UnitState, Urgency

THERE = frozenset({UnitState.ON_SITE, UnitState.HANDLED, UnitState.RETURNED})


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """``kind``: response, on_site or handled (a clock), unit (to be on the spot) or call (to be answered)."""

    due: UtcMs
    kind: TimerKind
    subject: str
    """The alarm a clock began with, the unit or the call."""
    alarm: AlarmId
    """The alarm a clock began with, the unit was sent to or the call is about."""
    what: str
    """Tells apart the deadlines of one kind and alarm: ``unit@ms`` or the call's id; "" of a clock."""
    place: NodeCode
    """Who should do it."""
    name: str
    """Of the unit or the department, "" of a clock."""
    begun: UtcMs
    owner: NodeCode
    """The node where it began, which keeps the time."""
    asker: NodeCode
    """In whose name units were sent or a department called; of a clock the place itself."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is still to be met of one card."""

    lead: AlarmRaised
    urgency: Urgency
    due: tuple[Deadline, ...]


def deadlines(stands: Handling, alarms: Iterable[Alarm]) -> tuple[Deadline, ...]:
    """Return what of a card has not been met, in order.

    Args:
        stands: Where the card stands.
        alarms: Those of its alarms of which more is known than that they were raised.
    """
    return tuple(sorted({*_clocks(stands), *(one for alarm in alarms for one in (*_calls(alarm), *_units(alarm)))}))


def _clocks(stands: Handling) -> Iterator[Deadline]:
    opened = stands.opened
    for clock in stands.clocks():
        if clock.met_at is None:
            yield Deadline(
                due=clock.due,
                kind=TimerKind(clock.clock.value),
                subject=opened.alarm,
                alarm=opened.alarm,
                what="",
                place=opened.place,
                name="",
                begun=opened.at,
                owner=opened.node,
                asker=opened.place,
            )


def _calls(alarm: Alarm) -> Iterator[Deadline]:
    answered = {answer.call for answer in alarm.answers}
    for call in alarm.calls:
        if call.call not in answered:
            yield Deadline(
                due=call.deadline,
                kind=TimerKind.CALL,
                subject=call.call,
                alarm=call.alarm,
                what=call.call,
                place=call.to,
                name=call.department,
                begun=call.at,
                owner=call.node,
                asker=call.by.division,
            )


def _units(alarm: Alarm) -> Iterator[Deadline]:
    """Of a unit that was sent again the last time counts."""
    there = {report.unit for report in alarm.reports if report.state in THERE}
    last: dict[str, tuple[AlarmDispatched, Unit]] = {}
    for sent in sorted(alarm.dispatches, key=lambda sent: (sent.at, sent.node)):
        last |= {unit.unit: (sent, unit) for unit in (sent.lead, *sent.assist)}
    for sent, unit in last.values():
        if unit.unit not in there:
            yield Deadline(
                due=sent.deadline,
                kind=TimerKind.UNIT,
                subject=unit.unit,
                alarm=sent.alarm,
                what=f"{unit.unit}@{sent.deadline}",
                place=unit.place,
                name=unit.name,
                begun=sent.at,
                owner=sent.node,
                asker=sent.by.division,
            )
