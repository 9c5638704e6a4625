"""The auditor of alarms: its cards and clocks are the gateway's, found by another road; every planted mistake shows."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.auditor import Auditor
from gateway.incidents import Incidents
from gateway.recompute import Ledger
from gateway.recompute_cards import Cards
from signaling import overdue, records
from signaling.handling import VERDICTS
from signaling.ids import AlarmId, UtcMs
from signaling.records import (
    AlarmGrouped,
    AlarmState,
    AnyRecord,
    CallAnswered,
    CallRaised,
    OverdueRaised,
    TimerFired,
    TimerKind,
    Urgency,
)
from tests.gateway.test_overdue import passes, raise_at
from tests.support.clock import START, FakeClock
from tests.support.facts import raised, step
from tests.support.ledger import DIVISIONS, ledger
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, OTHER_VILLAGE, SIBLING, TOWNSHIP, TREE, VILLAGE, commander, device, terminal

MINUTE = 60_000
AT = UtcMs(START - START % MINUTE)


# ---- the same cards by another road ----------------------------------------------------------------


def happenings(draw: random.Random, count: int) -> list[Any]:
    """Alarms in any order, grouped, stepped and taken back, so that cards join, part and open again."""
    found: list[Any] = []
    names: list[Any] = []
    for number in range(count):
        at = UtcMs(AT + draw.randrange(40) * 15_000)
        what = draw.choice(("raise", "raise", "raise", "step", "step", "alone", "group"))
        if what == "raise" or not names:
            place = draw.choice((VILLAGE, SIBLING, OTHER_VILLAGE, COUNTY))
            kind, source = draw.choice(("fire", "flood", "other")), draw.choice("甲乙丙")
            one = raised(
                node=COUNTY, by=device(COUNTY), at=at, alarm=AlarmId(f"a-{number}"), place=place, kind=kind,
                source=source, exercise=draw.random() < 0.1, disarmed=draw.random() < 0.05,
            )  # fmt: skip
            names.append(one)
            found.append(one)
            continue
        of = draw.choice(names)
        common = {"node": COUNTY, "alarm": of.alarm, "place": of.place, "by": commander()}
        if what == "group":
            found.append(AlarmGrouped(at=at, incident=draw.choice(names).alarm, **common))
        else:
            state = draw.choice(list(AlarmState)[1:])
            found.append(step(state, at=at, alone=what == "alone", **common))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_both_see_the_same_cards_standing_the_same(seed: int) -> None:
    draw = random.Random(seed)
    theirs, ours = Incidents(TREE), Cards(DIVISIONS)
    for record in happenings(draw, 40):
        theirs.fold(record)
        said = msgspec.json.decode(records.encode(record))
        {"alarm_raised": ours.raised, "alarm_grouped": ours.moved}.get(said["type"], ours.stepped)(said)
        for name in ours.alarms:
            card = ours.card(name)
            stands = ours.standing(card)
            standing = theirs.standing(AlarmId(name))
            assert (card[0].name, stands.state in [v.value for v in VERDICTS]) == (
                theirs.lead(AlarmId(name)),
                standing is None,
            ), seed
            if standing is not None and (running := [one for one in standing.due if one.kind is TimerKind.HANDLED]):
                assert running[0].alarm == stands.opened.name, seed


# ---- planted mistakes ------------------------------------------------------------------------------

ALARM = raised(node=COUNTY, by=device(COUNTY), at=AT, place=VILLAGE)
CALL = CallRaised(
    node=COUNTY, at=UtcMs(AT + 1), alarm=ALARM.alarm, place=VILLAGE, call="w-1", to=TOWNSHIP, department="水利站",
    by=terminal(VILLAGE), deadline=UtcMs(AT + 2 * MINUTE),
)  # fmt: skip


def good(minutes: int = 3, *before: AnyRecord) -> list[Any]:
    """An alarm, a call, and everything their clocks say after so many minutes."""
    incidents = Incidents(TREE)
    rows: list[Any] = [ALARM, CALL, *before]
    for row in rows:
        incidents.fold(row)
    standing, at = incidents.standing(ALARM.alarm), UtcMs(AT + minutes * MINUTE)
    assert standing is not None
    found = [t for d in standing.due for t in overdue.timers(d, Urgency.P0, TREE, exercise=False) if t.due <= at]
    return [*rows, *(overdue.fired(timer, COUNTY, at) for timer in found), *overdue.lists(found, COUNTY, at)]


def where(rows: Sequence[Any], kind: type) -> int:
    return next(index for index, row in enumerate(rows) if isinstance(row, kind))


def changed(rows: Sequence[Any], kind: type, **changes: Any) -> list[Any]:
    at = where(rows, kind)
    return [*rows[:at], msgspec.structs.replace(rows[at], **changes), *rows[at + 1 :]]


def without(rows: Sequence[Any], kind: type) -> list[Any]:
    at = where(rows, kind)
    return [*rows[:at], *rows[at + 1 :]]


def twice(rows: list[Any]) -> list[Any]:
    return [*rows, rows[where(rows, TimerFired)]]


def early(rows: list[Any]) -> list[Any]:
    return changed(rows, TimerFired, at=UtcMs(rows[where(rows, TimerFired)].due - 1))


def wrong_due(rows: list[Any]) -> list[Any]:
    return changed(rows, TimerFired, due=UtcMs(rows[where(rows, TimerFired)].due + 10_000))


def after_a_verdict(rows: list[Any]) -> list[Any]:
    false = step(AlarmState.FALSE, node=COUNTY, at=AT, by=commander())
    return [*rows[:2], false, rows[where(rows, TimerFired)]]


def after_an_answer(rows: list[Any]) -> list[Any]:
    answer = CallAnswered(
        node=COUNTY, at=AT, alarm=ALARM.alarm, place=VILLAGE, call="w-1", to=TOWNSHIP, by=commander(), note="到"
    )
    return [*rows[:2], answer, next(row for row in rows if isinstance(row, TimerFired) and row.kind == "call")]


def of_another_alarm(rows: list[Any]) -> list[Any]:
    return [*rows, msgspec.structs.replace(rows[where(rows, TimerFired)], subject="a-2", timer="response:a-2::1")]


def of_another_level(rows: list[Any]) -> list[Any]:
    return [*rows, msgspec.structs.replace(rows[where(rows, TimerFired)], timer="response:a-1::3")]


def nobody_told(rows: list[Any]) -> list[Any]:
    return without(rows, OverdueRaised)


def told_of_nothing(rows: list[Any]) -> list[Any]:
    return without(rows, TimerFired)


def one_left_out(rows: list[Any]) -> list[Any]:
    at = next(i for i, row in enumerate(rows) if isinstance(row, OverdueRaised) and len(row.late) > 1)
    return [*rows[:at], msgspec.structs.replace(rows[at], late=rows[at].late[1:]), *rows[at + 1 :]]


def somebody_else_blamed(rows: list[Any]) -> list[Any]:
    first = rows[where(rows, OverdueRaised)].late
    return changed(rows, OverdueRaised, late=(msgspec.structs.replace(first[0], place=SIBLING), *first[1:]))


def another_superior(rows: list[Any]) -> list[Any]:
    return changed(rows, OverdueRaised, superior=SIBLING)


@pytest.mark.parametrize(
    ("mistake", "what"),
    [
        (twice, {"twice", "no-list"}),
        (early, {"early"}),
        (wrong_due, {"wrong-due"}),
        (after_a_verdict, {"void"}),
        (after_an_answer, {"void"}),
        (of_another_alarm, {"unexpected"}),
        (of_another_level, {"unexpected"}),
        (nobody_told, {"no-list"}),
        (told_of_nothing, {"unexpected"}),
        (one_left_out, {"no-list"}),
        (somebody_else_blamed, {"wrong-list"}),
        (another_superior, {"unexpected", "no-list"}),
    ],
)
def test_every_planted_mistake_is_found(mistake: Callable[[list[Any]], list[Any]], what: set[str]) -> None:
    def judged(rows: Sequence[AnyRecord]) -> Ledger:
        judge, clock = ledger(), FakeClock(at=AT)
        for record in rows:
            judge.take(records.encode(record), wall_ms=clock.at(), steady_ms=clock.now() * 1_000, live=False)
        judge.overdue(clock.now() * 1_000)
        return judge

    assert list(judged(good()).faults) == []
    assert {finding.what for finding in judged(mistake(good())).faults} == what


@on_loop
async def test_a_clock_nobody_kept_is_missed_and_healed_by_firing(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    audit = Auditor(village.directory / "journal.sqlite", VILLAGE, DIVISIONS, village.clock, 5_000)
    alarm = await raise_at(village)
    assert audit.look().clean
    village.clock.advance(MINUTE + 5_000)
    assert audit.look().clean
    village.clock.advance(1)
    assert [(f.what, f.subject, f.timer) for f in audit.look().missed] == [("missed", alarm, f"response:{alarm}::1")]
    await village.overdue_timers.fire()
    report = audit.look()
    assert report.clean
    assert (report.counts["late"], report.counts["lists"]) == (1, 1)
    await passes(20 * MINUTE, village)
    assert audit.look().clean
    fresh = Auditor(village.directory / "journal.sqlite", VILLAGE, DIVISIONS, village.clock, 5_000)
    assert fresh.look().clean  # read at once, as after a restart
    for one in (audit, fresh):
        one.close()
    await village.close()
