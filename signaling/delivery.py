"""One directive at one recipient: from queued to done.

Pure.  Small on purpose: a directive to forty thousand places is forty thousand of these, and a report
touches one.  The stage only ever rises.  Reports cross a bad line, so a later stage may overtake an earlier
one; the row keeps every time it was told.

Two doors: ``decide`` for what somebody asks of this node (order is enforced: nobody signs for what was not
shown), ``accept`` for what another node says happened (a fact: never disputed, only merged).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .effects import Deny, Repeat
from .ids import NodeCode, UtcMs
from .records import DeliveryAdvanced, Stage

ORDER: tuple[Stage, ...] = tuple(Stage)
RANK: Mapping[Stage, int] = {stage: rank for rank, stage in enumerate(ORDER)}

TRANSITIONS: Mapping[Stage, Mapping[Stage, Stage]] = {
    have: {told: max(have, told, key=RANK.__getitem__) for told in ORDER[1:]} for have in ORDER
}
"""TRANSITIONS[have][told]: monotone, so that reports may come late, twice and in any order."""

NEEDS: Mapping[Stage, Stage] = {
    Stage.SIGNED: Stage.SHOWN,
    Stage.FEEDBACK: Stage.SIGNED,
    Stage.DONE: Stage.SIGNED,
}
"""What must have happened before a person may ask for a stage."""

REPEATABLE = frozenset({Stage.FEEDBACK})
"""Numbers may be fed back again; the newest count."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One row of the sign-off matrix.  ``times`` holds the first time of each stage, ``hops`` who relayed it when."""

    stage: Stage = Stage.QUEUED
    times: Mapping[Stage, UtcMs] = field(default_factory=dict)
    hops: Mapping[NodeCode, UtcMs] = field(default_factory=dict)
    signed_by: str = ""
    values: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    answers: Mapping[str, str] = field(default_factory=dict)


QUEUED = Delivery()


@dataclass(frozen=True, slots=True)
class Append:
    """Journal this, then answer with it."""

    record: DeliveryAdvanced


Effect = Append | Repeat | Deny


def reached(row: Delivery, stage: Stage) -> bool:
    """Return whether ``row`` was itself told of ``stage`` (not merely overtaken)."""
    return stage in row.times


def signed(row: Delivery) -> bool:
    """Return whether somebody has signed: a later stage proves it."""
    return RANK[row.stage] >= RANK[Stage.SIGNED]


def decide(row: Delivery, record: DeliveryAdvanced) -> tuple[Effect, ...]:
    """Return what to do about a person or a terminal here asking for ``record``."""
    needed = NEEDS.get(record.stage)
    if needed is not None and not reached(row, needed):
        return (Deny(f"not-{needed}", f"{record.recipient} has not {needed} it"),)
    return accept(row, record)


def accept(row: Delivery, record: DeliveryAdvanced) -> tuple[Append | Repeat, ...]:
    """Return what to do about another node's word that ``record`` happened."""
    return (Repeat(),) if _known(row, record) else (Append(record),)


def _known(row: Delivery, record: DeliveryAdvanced) -> bool:
    if record.stage in REPEATABLE:
        return row.times.get(record.stage, -1) >= record.at
    return reached(row, record.stage)


def evolve(row: Delivery, record: DeliveryAdvanced) -> Delivery:
    """Return the row after ``record``.  Total: any order of records and relays gives the same row."""
    stage = TRANSITIONS[row.stage][record.stage]
    match record.stage:
        case Stage.SIGNED:
            who = record.by.name if record.by and not reached(row, Stage.SIGNED) else row.signed_by
            return replace(row, stage=stage, times=_first(row, record.stage, record.at), signed_by=who)
        case Stage.FEEDBACK:
            if row.times.get(Stage.FEEDBACK, -1) >= record.at:
                return replace(row, stage=stage)
            times = {**row.times, Stage.FEEDBACK: record.at}
            values, answers = dict(record.values), dict(record.answers)
            return replace(row, stage=stage, times=times, values=values, answers=answers, note=record.note)
        case _:
            return replace(row, stage=stage, times=_first(row, record.stage, record.at))


def relay(row: Delivery, hop: NodeCode, at: UtcMs) -> Delivery:
    """Return the row after ``hop`` has said that it relayed the order, ``at`` by its clock."""
    hops = {**row.hops, hop: min(at, row.hops.get(hop, at))}
    return replace(row, stage=TRANSITIONS[row.stage][Stage.RELAYED], hops=hops, times=_first(row, Stage.RELAYED, at))


def _first(row: Delivery, stage: Stage, at: UtcMs) -> Mapping[Stage, UtcMs]:
    known = row.times.get(stage)
    return row.times if known is not None and known <= at else {**row.times, stage: at}
