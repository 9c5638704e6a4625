"""Who is told of what is overdue, when, and in how many lists; and what a neighbour may say of it."""

from typing import Any

import msgspec
import pytest

from signaling import overdue
from signaling.admission import Facts, admit
from signaling.alarm import Alarm, evolve
from signaling.deadlines import Deadline, deadlines
from signaling.errors import Refused
from signaling.handling import handling
from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.records import (
    MAX_LATE,
    AlarmDispatched,
    AlarmRaised,
    CallRaised,
    OverdueRaised,
    TimerKind,
    Unit,
    UnitReported,
    UnitState,
    Urgency,
)
from tests.support.facts import raised
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
    terminal,
)

MINUTE = 60_000
AT = UtcMs(1_000_000 * MINUTE)


def clock(kind: TimerKind = TimerKind.RESPONSE, minutes: int = 1, **changes: Any) -> Deadline:
    fields: dict[str, Any] = {
        "due": UtcMs(AT + minutes * MINUTE),
        "kind": kind,
        "subject": "a-1",
        "alarm": AlarmId("a-1"),
        "what": "",
        "place": VILLAGE,
        "name": "",
        "begun": AT,
        "owner": VILLAGE,
        "asker": VILLAGE,
    }
    return Deadline(**(fields | changes))


def unit(place: NodeCode, asker: NodeCode) -> Deadline:
    return clock(TimerKind.UNIT, 3, what="u@1", subject="u", place=place, asker=asker)


@pytest.mark.parametrize(
    ("deadline", "told"),
    [
        (clock(), (TOWNSHIP, COUNTY)),
        (clock(place=COUNTY), (CITY, PROVINCE)),
        (clock(place=CITY), (PROVINCE,)),
        (clock(place=PROVINCE), (PROVINCE,)),
        (clock(TimerKind.CALL, place=COUNTY, asker=VILLAGE), (CITY, PROVINCE)),
        (unit(VILLAGE, COUNTY), (TOWNSHIP, COUNTY)),
        (unit(VILLAGE, TOWNSHIP), (TOWNSHIP,)),
        (unit(COUNTY, COUNTY), (COUNTY,)),
        (unit(COUNTY, TOWNSHIP), (CITY, PROVINCE)),
    ],
)
def test_the_superior_of_the_late_one_is_told_and_then_that_ones(deadline: Deadline, told: tuple[NodeCode]) -> None:
    assert overdue.superiors(deadline, TREE) == told
    timers = list(overdue.timers(deadline, Urgency.P1, TREE, exercise=False))
    assert [(timer.superior, timer.n) for timer in timers] == [(place, n) for n, place in enumerate(told, 1)]


@pytest.mark.parametrize(
    ("begun", "dues"), [(0, (60_000, 120_000)), (1, (70_000, 180_000)), (9_999, (70_000, 180_000))]
)
def test_a_timer_is_due_at_the_next_full_moment_of_its_level(begun: int, dues: tuple[int, int]) -> None:
    deadline = clock(begun=UtcMs(AT + begun), due=UtcMs(AT + begun + MINUTE))
    found = [timer.due - AT for timer in overdue.timers(deadline, Urgency.P1, TREE, exercise=False)]
    assert tuple(found) == dues


def test_eight_thousand_cards_make_one_list_for_a_superior_or_as_few_as_hold_them() -> None:
    begun = [UtcMs(AT + n) for n in range(8_000)]
    cards = [clock(alarm=AlarmId(f"a-{at}"), begun=at, due=UtcMs(at + MINUTE)) for at in begun]
    timers = [timer for one in cards for timer in overdue.timers(one, Urgency.P2, TREE, exercise=False) if timer.n == 1]
    moments = {timer.due for timer in timers}
    assert moments == {AT + MINUTE, AT + 70_000}
    made = list(overdue.lists((timer for timer in timers if timer.due == AT + 70_000), COUNTY, UtcMs(AT + 70_000)))
    assert len(made) == -(-7_999 // MAX_LATE)
    assert len({one.overdue for one in made}) == len(made)
    assert sum(len(one.late) for one in made) == 7_999


def test_an_exercise_has_a_list_of_its_own() -> None:
    both = [next(overdue.timers(clock(), Urgency.P0, TREE, exercise=exercise)) for exercise in (True, False)]
    made = list(overdue.lists(both, VILLAGE, AT))
    assert [(one.exercise, len(one.late)) for one in made] == [(False, 1), (True, 1)]
    assert len({one.overdue for one in made}) == 2


# ---- what a card has not met ---------------------------------------------------------------------

CREW = Unit(unit="u", name="民兵", place=VILLAGE)


def sent(at: int, deadline: int) -> AlarmDispatched:
    return AlarmDispatched(
        node=TOWNSHIP, at=UtcMs(at), alarm=AlarmId("a-1"), place=VILLAGE, lead=CREW, by=commander(TOWNSHIP),
        deadline=UtcMs(deadline),
    )  # fmt: skip


def of(*records: Any) -> list[tuple[str, str, int]]:
    state: Alarm | None = None
    for record in (raised(at=UtcMs(0)), *records):
        state = evolve(state, record)
    assert state is not None
    first = state.raised
    stands = handling(first, lambda: [first], state.steps)
    return [(one.kind, one.what, one.due) for one in deadlines(stands, [state]) if one.what]


def test_of_a_unit_sent_again_the_last_time_counts_until_it_is_there() -> None:
    assert of(sent(10, 500)) == [("unit", "u@500", 500)]
    assert of(sent(10, 500), sent(20, 900)) == [("unit", "u@900", 900)]
    assert of(sent(20, 900), sent(10, 500)) == [("unit", "u@900", 900)]
    there = UnitReported(
        node=VILLAGE, at=UtcMs(30), alarm=AlarmId("a-1"), place=VILLAGE, unit="u", unit_place=VILLAGE,
        state=UnitState.ON_SITE, by=terminal(),
    )  # fmt: skip
    assert of(sent(10, 500), there) == []


def test_a_call_is_its_departments_until_it_answers() -> None:
    call = CallRaised(
        node=VILLAGE, at=UtcMs(5), alarm=AlarmId("a-1"), place=VILLAGE, call="w-1", to=COUNTY, department="水利局",
        by=terminal(), deadline=UtcMs(700),
    )  # fmt: skip
    assert of(call) == [("call", "w-1", 700)]


# ---- what a neighbour may say --------------------------------------------------------------------


class Known(Facts):
    """A township that knows one alarm of its village."""

    def raised(self, alarm: AlarmId) -> AlarmRaised | None:
        return raised() if alarm == "a-1" else None


def told(**changes: Any) -> OverdueRaised:
    timer = next(overdue.timers(clock(), Urgency.P0, TREE, exercise=False))
    (made,) = overdue.lists([timer], VILLAGE, AT)
    return msgspec.structs.replace(made, **changes)


def late(**changes: Any) -> OverdueRaised:
    good = told()
    return told(late=(msgspec.structs.replace(good.late[0], **changes),))


def test_a_good_list_is_admitted() -> None:
    admit(told(), VILLAGE, TOWNSHIP, TREE, Known())


@pytest.mark.parametrize(
    ("record", "via", "code"),
    [
        (told(), SIBLING, "wrong-direction"),
        (told(late=()), VILLAGE, "bad-record"),
        (told(late=told().late * 2), VILLAGE, "bad-record"),
        (told(late=tuple(msgspec.structs.replace(told().late[0], what=f"{n}") for n in range(MAX_LATE + 1))), VILLAGE,
         "bad-record"),
        (told(overdue="x" * 65), VILLAGE, "bad-record"),
        (told(overdue=f"{SIBLING}-1"), VILLAGE, "bad-record"),
        (told(exercise=True), VILLAGE, "bad-record"),
        (told(superior=OTHER_VILLAGE), VILLAGE, "not-permitted"),
        (told(superior=NodeCode("1")), VILLAGE, "not-permitted"),
        (late(alarm=AlarmId("a-2")), VILLAGE, "unknown-alarm"),
        (late(alarm=AlarmId("a b")), VILLAGE, "bad-record"),
        (late(kind=TimerKind.REPEAT), VILLAGE, "bad-record"),
        (late(n=3), VILLAGE, "bad-record"),
        (late(place=SIBLING), VILLAGE, "not-permitted"),
        (late(kind=TimerKind.UNIT, place=OTHER_VILLAGE), VILLAGE, "not-permitted"),
        (late(what="\x1b"), VILLAGE, "bad-text"),
        (late(name="名" * 61), VILLAGE, "bad-text"),
        (told(node=SIBLING, overdue=f"{SIBLING}-1"), SIBLING, "not-permitted"),
        (told(superior=VILLAGE), VILLAGE, "wrong-direction"),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused(record: OverdueRaised, via: NodeCode, code: str) -> None:
    with pytest.raises(Refused) as refused:
        admit(record, via, TOWNSHIP, TREE, Known())
    assert refused.value.code == code
