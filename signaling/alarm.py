"""One alarm: from triggered to closed, or found false, or merged into another.

Pure.  Any tier may act on an alarm while the line between is down, so two nodes may step at once.  Each step
*asked for here* follows TRANSITIONS; each step *told by another node* is a fact.  The state shown is the
highest-ranked fact, so every node that knows the same facts shows the same state.  A confirmation outranks
"false": where two people disagree, somebody goes and looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import assert_never

from .effects import Deny, Repeat
from .errors import LocalError
from .ids import AlarmId, NodeCode, UtcMs
from .records import (
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    CallAnswered,
    CallRaised,
    UnitReported,
    UnitState,
    encode,
)

MAX_TEXT_BYTES = 1_024
MAX_PICTURES = 8
MAX_CALLS = 32
MAX_PICTURE_BYTES = 4 << 20
MAX_THUMBNAIL_BYTES = 64 << 10

AlarmRecord = (
    AlarmRaised
    | AlarmPictured
    | AlarmAdvanced
    | AlarmGrouped
    | AlarmDispatched
    | UnitReported
    | CallRaised
    | CallAnswered
)
TRANSITIONS: Mapping[AlarmState, frozenset[AlarmState]] = {
    AlarmState.TRIGGERED: frozenset({AlarmState.FALSE, AlarmState.MERGED, AlarmState.CONFIRMED}),
    AlarmState.CONFIRMED: frozenset({AlarmState.DISPATCHED}),
    AlarmState.DISPATCHED: frozenset({AlarmState.ON_SITE}),
    AlarmState.ON_SITE: frozenset({AlarmState.HANDLED}),
    AlarmState.HANDLED: frozenset({AlarmState.CLOSED}),
    AlarmState.FALSE: frozenset(),
    AlarmState.MERGED: frozenset(),
    AlarmState.CLOSED: frozenset(),
}
"""What may be asked for.  The diagram in PROTOCOL.md is drawn from this table."""

SENDABLE = frozenset({AlarmState.TRIGGERED, AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE})
"""Units may be sent while it is not handled; sending confirms, and more may follow."""

RANK: Mapping[AlarmState, int] = {
    state: rank
    for rank, state in enumerate(
        (
            AlarmState.TRIGGERED,
            AlarmState.MERGED,
            AlarmState.FALSE,
            AlarmState.CONFIRMED,
            AlarmState.DISPATCHED,
            AlarmState.ON_SITE,
            AlarmState.HANDLED,
            AlarmState.CLOSED,
        )
    )
}


@dataclass(frozen=True, slots=True)
class Alarm:
    raised: AlarmRaised
    state: AlarmState = AlarmState.TRIGGERED
    steps: tuple[AlarmAdvanced, ...] = ()
    pictures: tuple[AlarmPictured, ...] = ()
    dispatches: tuple[AlarmDispatched, ...] = ()
    reports: tuple[UnitReported, ...] = ()
    calls: tuple[CallRaised, ...] = ()
    answers: tuple[CallAnswered, ...] = ()
    grouped: AlarmGrouped | None = None
    """The last word of a person about which card it is in."""


@dataclass(frozen=True, slots=True)
class Append:
    record: AlarmRecord


Effect = Append | Repeat | Deny


def evolve(alarm: Alarm | None, record: AlarmRecord) -> Alarm:
    """Return the alarm after ``record``.

    Raises:
        LocalError: The record does not follow: the journal is damaged.
    """
    if isinstance(record, AlarmRaised):
        if alarm is not None:
            raise LocalError(f"alarm {record.alarm} raised twice")
        return Alarm(record)
    if alarm is None:
        raise LocalError(f"{type(record).__name__} before AlarmRaised")
    match record:
        case AlarmPictured():
            return replace(alarm, pictures=(*alarm.pictures, record))
        case AlarmAdvanced():
            return _stepped(alarm, record)
        case AlarmDispatched():
            return _stepped(replace(alarm, dispatches=(*alarm.dispatches, record)), step_of(alarm, record))
        case UnitReported():
            return _stepped(replace(alarm, reports=(*alarm.reports, record)), step_of(alarm, record))
        case CallRaised():
            return replace(alarm, calls=(*alarm.calls, record))
        case CallAnswered():
            return replace(alarm, answers=(*alarm.answers, record))
        case AlarmGrouped():
            said = alarm.grouped
            return replace(alarm, grouped=record if said is None or _said(record) > _said(said) else said)
        case _:
            assert_never(record)


def _stepped(alarm: Alarm, step: AlarmAdvanced | None) -> Alarm:
    if step is None or any(taken.state is step.state for taken in alarm.steps):
        return alarm
    state = max(alarm.state, step.state, key=RANK.__getitem__)
    return replace(alarm, state=state, steps=(*alarm.steps, step))


def step_of(alarm: Alarm, record: AlarmDispatched | UnitReported) -> AlarmAdvanced | None:
    """Return the step that sending units, or the word of one, is for the alarm; None if it is none.

    Whoever arrives first is on the spot; that it is handled the lead says.
    """
    if isinstance(record, AlarmDispatched):
        state = AlarmState.DISPATCHED
    elif record.state is UnitState.ON_SITE:
        state = AlarmState.ON_SITE
    elif record.state is UnitState.HANDLED and any(d.lead.unit == record.unit for d in alarm.dispatches):
        state = AlarmState.HANDLED
    else:
        return None
    return AlarmAdvanced(
        node=record.node,
        at=record.at,
        alarm=record.alarm,
        place=record.place,
        state=state,
        by=record.by,
        note=record.note,
    )


def decide(alarm: Alarm | None, record: AlarmRecord) -> tuple[Effect, ...]:
    """Return what to do about somebody here asking for ``record``."""
    effects = accept(alarm, record)
    if isinstance(record, AlarmGrouped) and alarm is not None and alarm.grouped is not None:
        return (Repeat(),) if alarm.grouped.incident == record.incident else effects
    if alarm is None or not isinstance(effects[0], Append):
        return effects
    if isinstance(record, AlarmDispatched):
        return effects if alarm.state in SENDABLE else _not_now(alarm, "units cannot be sent")
    if isinstance(record, UnitReported):
        return _unit_said(alarm, record)
    if isinstance(record, CallRaised):
        full = len(alarm.calls) >= MAX_CALLS
        return (Deny("too-many-calls", f"{record.alarm} has {MAX_CALLS} calls"),) if full else effects
    if isinstance(record, CallAnswered):
        called = any(call.call == record.call and call.to == record.to for call in alarm.calls)
        return effects if called else (Deny("unknown-call", f"{record.to} was not called to {record.alarm}"),)
    if not isinstance(record, AlarmAdvanced):
        return effects
    if record.state in TRANSITIONS[alarm.state]:
        if record.state is AlarmState.CLOSED and not record.note.strip():
            return (Deny("note-needed", "say what was done before closing it"),)
        return effects
    return _not_now(alarm, f"it cannot become {record.state}")


def _not_now(alarm: Alarm, why: str) -> tuple[Effect, ...]:
    return (Deny("alarm-state", f"{alarm.raised.alarm} is {alarm.state}: {why}"),)


def _unit_said(alarm: Alarm, record: UnitReported) -> tuple[Effect, ...]:
    """A unit was sent from its own place, and does not go back to an earlier state."""
    units = {unit.unit: unit for sent in alarm.dispatches for unit in (sent.lead, *sent.assist)}
    unit = units.get(record.unit)
    if unit is None or unit.place != record.unit_place:
        return (Deny("unknown-unit", f"{record.unit} was not sent to {record.alarm}"),)
    order = list(UnitState)
    if any(said.unit == record.unit and order.index(said.state) > order.index(record.state) for said in alarm.reports):
        return (Deny("unit-state", f"{record.unit} is further than {record.state}"),)
    return (Append(record),)


def accept(alarm: Alarm | None, record: AlarmRecord) -> tuple[Effect, ...]:
    """Return what to do about another node's word that ``record`` happened."""
    if isinstance(record, AlarmRaised):
        return _raised(alarm, record)
    if alarm is None:
        return (Deny("unknown-alarm", f"no alarm {record.alarm}"),)
    if record.place != alarm.raised.place:
        return (Deny("alarm-conflict", f"{record.alarm} is at {alarm.raised.place}"),)
    if isinstance(record, AlarmPictured):
        return _pictured(alarm, record)
    if isinstance(record, AlarmGrouped):
        return (Append(record),) if alarm.grouped is None or _said(alarm.grouped) != _said(record) else (Repeat(),)
    if isinstance(record, AlarmDispatched):
        return (Repeat(),) if any(_sent(one) == _sent(record) for one in alarm.dispatches) else (Append(record),)
    if isinstance(record, CallRaised):
        return (Repeat(),) if any(call.call == record.call for call in alarm.calls) else (Append(record),)
    if isinstance(record, CallAnswered):
        return (Repeat(),) if any(one.call == record.call for one in alarm.answers) else (Append(record),)
    if isinstance(record, UnitReported):
        said = any(one.unit == record.unit and one.state is record.state for one in alarm.reports)
        return (Repeat(),) if said else (Append(record),)
    if record.state is AlarmState.TRIGGERED or any(step.state is record.state for step in alarm.steps):
        return (Repeat(),)
    return (Append(record),)


def _sent(record: AlarmDispatched) -> tuple[UtcMs, NodeCode, str]:
    return record.at, record.node, record.lead.unit


def _said(record: AlarmGrouped) -> tuple[UtcMs, NodeCode, AlarmId]:
    return record.at, record.node, record.incident


def _raised(alarm: Alarm | None, record: AlarmRaised) -> tuple[Effect, ...]:
    if alarm is None:
        return (Append(record),)
    if encode(alarm.raised) == encode(record):
        return (Repeat(),)
    return (Deny("alarm-conflict", f"{record.alarm} is known with another content"),)


def _pictured(alarm: Alarm, record: AlarmPictured) -> tuple[Effect, ...]:
    if any(picture.picture == record.picture for picture in alarm.pictures):
        return (Repeat(),)
    if len(alarm.pictures) >= MAX_PICTURES:
        return (Deny("too-many-pictures", f"{record.alarm} has {MAX_PICTURES} pictures"),)
    return (Append(record),)
