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
from .records import AlarmAdvanced, AlarmGrouped, AlarmPictured, AlarmRaised, AlarmState, encode

MAX_TEXT_BYTES = 1_024
MAX_PICTURES = 8
MAX_PICTURE_BYTES = 4 << 20
MAX_THUMBNAIL_BYTES = 64 << 10

AlarmRecord = AlarmRaised | AlarmPictured | AlarmAdvanced | AlarmGrouped

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
            state = max(alarm.state, record.state, key=RANK.__getitem__)
            return replace(alarm, state=state, steps=(*alarm.steps, record))
        case AlarmGrouped():
            said = alarm.grouped
            return replace(alarm, grouped=record if said is None or _said(record) > _said(said) else said)
        case _:
            assert_never(record)


def decide(alarm: Alarm | None, record: AlarmRecord) -> tuple[Effect, ...]:
    """Return what to do about somebody here asking for ``record``."""
    effects = accept(alarm, record)
    if isinstance(record, AlarmGrouped) and alarm is not None and alarm.grouped is not None:
        return (Repeat(),) if alarm.grouped.incident == record.incident else effects
    if alarm is None or not isinstance(record, AlarmAdvanced) or not isinstance(effects[0], Append):
        return effects
    if record.state in TRANSITIONS[alarm.state]:
        return effects
    return (Deny("alarm-state", f"{record.alarm} is {alarm.state}: it cannot become {record.state}"),)


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
    if record.state is AlarmState.TRIGGERED or any(step.state is record.state for step in alarm.steps):
        return (Repeat(),)
    return (Append(record),)


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
