"""Where a card stands, and its clocks."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from signaling.handling import LIMIT_MS, QUIET_MS, Clock, Handling, handling
from signaling.ids import AlarmId, UtcMs
from signaling.records import AlarmAdvanced, AlarmRaised, AlarmState
from tests.support.facts import raised, step

S = 1_000
LINE = (AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE, AlarmState.HANDLED, AlarmState.CLOSED)


def alarm(name: str, at: int, source: str = "甲") -> AlarmRaised:
    return raised(alarm=AlarmId(name), at=UtcMs(at), source=source)


def took(name: str, state: AlarmState, at: int, **changes: Any) -> AlarmAdvanced:
    return step(state, alarm=AlarmId(name), at=UtcMs(at), **changes)


def stand(alarms: Sequence[AlarmRaised], *steps: AlarmAdvanced) -> Handling:
    found = {handling(alarms[0], lambda: alarms, said) for said in itertools.permutations(steps)}
    assert len(found) == 1  # whatever order they became known in
    return found.pop()


def test_a_card_goes_the_way_of_its_alarms_steps() -> None:
    both = [alarm("a", 0), alarm("b", 1)]
    assert stand(both).state is AlarmState.TRIGGERED
    assert stand(both).target == "a"
    steps = [took("b" if n == 0 else "a", state, 10 + n) for n, state in enumerate(LINE)]
    for n, state in enumerate(LINE):
        assert stand(both, *steps[: n + 1]).state is state


def test_the_next_step_is_about_the_alarm_that_came_furthest() -> None:
    both = [alarm("a", 0), alarm("b", 1)]
    assert stand(both, took("b", AlarmState.CONFIRMED, 5)).target == "b"


def test_clocks_run_from_the_first_alarm_and_are_met_or_missed() -> None:
    steps = [took("a", AlarmState.CONFIRMED, 59 * S), took("a", AlarmState.DISPATCHED, 70 * S)]
    now = UtcMs(181 * S)
    response, on_site, handled = stand([alarm("a", 0), alarm("b", 50 * S)], *steps).clocks()
    assert (response.due, response.met_at, response.missed(now)) == (60 * S, 59 * S, False)
    assert (on_site.due, on_site.met_at, on_site.missed(now)) == (180 * S, None, True)
    assert (handled.due, handled.met_at, handled.missed(now)) == (300 * S, None, False)
    assert {clock: LIMIT_MS[clock] // 60_000 for clock in Clock} == {"response": 1, "on_site": 3, "handled": 5}


def test_a_later_step_stops_the_clocks_before_it() -> None:
    clocks = stand([alarm("a", 0)], took("a", AlarmState.HANDLED, 100 * S)).clocks()
    assert [clock.met_at for clock in clocks] == [100 * S] * 3


def test_a_false_alarm_needs_nobody_on_the_spot() -> None:
    stood = stand([alarm("a", 0)], took("a", AlarmState.FALSE, 61 * S))
    (response,) = stood.clocks()
    assert response.missed(UtcMs(0))


@pytest.mark.parametrize("verdict", [AlarmState.FALSE, AlarmState.CLOSED])
def test_what_another_source_says_after_the_verdict_opens_the_card_again(verdict: AlarmState) -> None:
    both = [alarm("a", 0), alarm("b", 20 * S, "乙")]
    stood = stand(both, took("a", verdict, 10 * S))
    assert (stood.state, stood.reopened, stood.target) == (AlarmState.TRIGGERED, 1, "b")
    assert stood.clocks()[0].due == 80 * S
    stood = stand(both, took("a", verdict, 10 * S), took("b", AlarmState.CONFIRMED, 30 * S))
    assert (stood.state, stood.target, len(stood.steps)) == (AlarmState.CONFIRMED, "b", 1)
    stood = stand(both, took("a", verdict, 10 * S), took("b", AlarmState.FALSE, 30 * S))
    assert (stood.state, stood.reopened) == (AlarmState.FALSE, 1)


def test_a_source_found_false_is_quiet_for_a_while_and_a_closed_one_is_not() -> None:
    on = [alarm("a", 0), alarm("b", 20 * S)]
    assert stand(on, took("a", AlarmState.FALSE, 10 * S)).state is AlarmState.FALSE
    assert stand(on, took("a", AlarmState.CLOSED, 10 * S)).state is AlarmState.TRIGGERED
    on.append(alarm("c", 10 * S + QUIET_MS + 1))
    assert stand(on, took("a", AlarmState.FALSE, 10 * S)).target == "c"


def test_a_confirmation_outranks_false_on_a_card_too() -> None:
    both = [alarm("a", 0), alarm("b", 1, "乙")]
    stood = stand(both, took("a", AlarmState.FALSE, 50), took("b", AlarmState.CONFIRMED, 40))
    assert (stood.state, stood.target) == (AlarmState.CONFIRMED, "b")


def test_a_verdict_by_a_slow_clock_still_settles_its_alarm() -> None:
    assert stand([alarm("a", 100)], took("a", AlarmState.CLOSED, 50)).state is AlarmState.CLOSED


def test_a_verdict_about_one_alarm_alone_settles_no_other() -> None:
    both = [alarm("a", 0), alarm("b", 1)]
    for said in (took("a", AlarmState.FALSE, 50, alone=True), took("a", AlarmState.MERGED, 50)):
        stood = stand(both, said)
        assert (stood.state, stood.opened.alarm, stood.reopened) == (AlarmState.TRIGGERED, "b", 0)
        assert stand(both, said, took("b", AlarmState.CONFIRMED, 60)).state is AlarmState.CONFIRMED
        assert stand(both, said, took("a", AlarmState.CONFIRMED, 60)).target == "a"
        assert stand(both[:1], said).state is said.state
