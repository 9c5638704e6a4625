"""What may be said of an alarm, and by whom.

Pure.  ``admission.py`` asks this of what comes over a link, the drivers of what is asked for here.
"""

from __future__ import annotations

import math
from typing import Protocol

from . import text
from .alarm import MAX_PICTURE_BYTES, MAX_TEXT_BYTES, MAX_THUMBNAIL_BYTES
from .attachment import is_sha256
from .division import Tree
from .errors import Refused
from .ids import AlarmId
from .permission import Action, permit
from .records import (
    AlarmAdvanced,
    AlarmDispatched,
    AlarmGrouped,
    AlarmPictured,
    AlarmRaised,
    AlarmState,
    CallAnswered,
    CallRaised,
    SourceArmed,
    SourceRegistered,
    UnitReported,
)
from .vouching import MAX_ID, MAX_NAME, MAX_NOTE, identity, vouched

MAX_UNITS = 16
"""Assisting units of one dispatch."""

ALARM_ACTIONS = {AlarmState.ON_SITE: Action.REPORT_ALARM, AlarmState.HANDLED: Action.REPORT_ALARM}
"""Those on the spot report arrival and handling; every other step is the command centre's."""

TAKEN_BACK = frozenset({AlarmState.FALSE, AlarmState.MERGED})
"""What the one who raised an alarm may say of it before anybody confirms it."""


class Known(Protocol):
    """What the node knows of alarms."""

    def raised(self, alarm: AlarmId) -> AlarmRaised | None: ...


def check_alarm(record: AlarmRaised, tree: Tree) -> None:
    """Return if the alarm is well formed and raised by somebody who may.

    Raises:
        Refused: ``bad-record``, ``bad-text`` or ``not-permitted``.
    """
    identity(record.alarm)
    text.line(record.source, "source", MAX_NAME, empty=True)
    text.line(record.kind, "kind", MAX_NAME)
    text.line(record.event, "event", MAX_ID, empty=True)
    text.body(record.text, "text", MAX_TEXT_BYTES, empty=True)
    if len(record.text.encode()) > MAX_TEXT_BYTES:
        raise Refused("bad-text", f"text: {len(record.text.encode())} bytes, limit {MAX_TEXT_BYTES}")
    _degrees(record.longitude, 180.0, "longitude")
    _degrees(record.latitude, 90.0, "latitude")
    vouched(record.by, record.node, tree)
    permit(record.by, Action.RAISE_ALARM, record.place, tree)


def check_step(record: AlarmAdvanced, tree: Tree, raised: AlarmRaised | None) -> None:
    """Return if the step is well formed and taken by somebody who may; who raised an alarm may take it back.

    Raises:
        Refused: ``bad-text`` or ``not-permitted``.
    """
    text.body(record.note, "note", MAX_NOTE, empty=True)
    vouched(record.by, record.node, tree)
    taken_back = raised is not None and raised.by == record.by and record.state in TAKEN_BACK
    action = Action.RAISE_ALARM if taken_back else ALARM_ACTIONS.get(record.state, Action.ADVANCE_ALARM)
    permit(record.by, action, record.place, tree)


def check_grouped(record: AlarmGrouped, tree: Tree, facts: Known) -> None:
    """Return if somebody who may puts the alarm beside others that the same people are told of.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``not-permitted`` or ``alarm-elsewhere``.
    """
    identity(record.incident)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ADVANCE_ALARM, record.place, tree)
    one, other = facts.raised(record.alarm), facts.raised(record.incident)
    if one is None or other is None:
        return  # shown apart, until both are known
    if tree.audience(one.place) != tree.audience(other.place) or one.exercise != other.exercise:
        raise Refused("alarm-elsewhere", f"{record.alarm} is not told to whom {record.incident} is")


def check_picture(record: AlarmPictured) -> None:
    """Return if hashes and sizes are possible.

    Raises:
        Refused: ``bad-record``.
    """
    for name, sha256, size, limit in (
        ("picture", record.picture, record.picture_bytes, MAX_PICTURE_BYTES),
        ("thumbnail", record.thumbnail, record.thumbnail_bytes, MAX_THUMBNAIL_BYTES),
    ):
        if not is_sha256(sha256):
            raise Refused("bad-record", f"{name}: not 64 lower-case hexadecimal digits")
        if not 0 < size <= limit:
            raise Refused("bad-record", f"{name}: {size} bytes, not in 1..{limit}")


def check_dispatched(record: AlarmDispatched, tree: Tree) -> None:
    """Return if somebody who may sends units whose places are told of the alarm.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``not-permitted`` or ``unit-elsewhere``.
    """
    vouched(record.by, record.node, tree)
    permit(record.by, Action.ADVANCE_ALARM, record.place, tree)
    text.body(record.note, "note", MAX_NOTE, empty=True)
    units = (record.lead, *record.assist)
    if len(units) > 1 + MAX_UNITS or len({unit.unit for unit in units}) != len(units):
        raise Refused("bad-record", f"{len(units)} units, or one named twice")
    if record.deadline <= record.at:
        raise Refused("bad-record", "deadline: not after at")
    for unit in units:
        identity(unit.unit)
        text.line(unit.name, "unit", MAX_NAME)
        if unit.place not in tree.audience(record.place):
            raise Refused("unit-elsewhere", f"{unit.place[:20]} is not told of alarms at {record.place}")


def check_call(record: CallRaised, tree: Tree) -> None:
    """Return if somebody of the alarm's place, or above it, calls a tier above the caller's own.

    Raises:
        Refused: ``bad-record``, ``bad-text``, ``not-permitted`` or ``not-above``.
    """
    identity(record.call)
    text.line(record.department, "department", MAX_NAME, empty=True)
    text.body(record.note, "note", MAX_NOTE)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.REPORT_ALARM, record.place, tree)
    if record.to == record.by.division or not tree.is_within(record.by.division, record.to):
        raise Refused("not-above", f"{record.to[:20]} is not above {record.by.division}")
    if record.deadline <= record.at:
        raise Refused("bad-record", "deadline: not after at")


def check_call_answer(record: CallAnswered, tree: Tree) -> None:
    """Return if somebody of the division that was called, or above it, answers.

    Raises:
        Refused: ``bad-record``, ``bad-text`` or ``not-permitted``.
    """
    identity(record.call)
    text.body(record.note, "note", MAX_NOTE)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.REPORT_ALARM, record.to, tree)


def check_source(record: SourceRegistered) -> None:
    """Return if a collection point is well formed.

    Raises:
        Refused: ``bad-record`` or ``bad-text``.
    """
    text.line(record.source, "source", MAX_NAME)
    text.line(record.kind, "kind", MAX_NAME, empty=True)
    _degrees(record.longitude, 180.0, "longitude")
    _degrees(record.latitude, 90.0, "latitude")


def check_armed(record: SourceArmed) -> None:
    """Return if the reason can be shown.

    Raises:
        Refused: ``bad-text``.
    """
    text.body(record.reason, "reason", MAX_NOTE, empty=True)


def check_unit_report(record: UnitReported, tree: Tree) -> None:
    """Return if the word of a unit is well formed and said by somebody of its place.

    Raises:
        Refused: ``bad-record``, ``bad-text`` or ``not-permitted``.
    """
    identity(record.unit)
    text.body(record.note, "note", MAX_NOTE, empty=True)
    vouched(record.by, record.node, tree)
    permit(record.by, Action.REPORT_ALARM, record.unit_place, tree)


def _degrees(value: float | None, limit: float, field: str) -> None:
    if value is not None and not (math.isfinite(value) and abs(value) <= limit):
        raise Refused("bad-record", f"{field}: not within {limit} degrees")
