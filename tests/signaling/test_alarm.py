"""One alarm, touched by several tiers at once."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.alarm import (
    MAX_PICTURES,
    RANK,
    TRANSITIONS,
    Alarm,
    Append,
    accept,
    decide,
    evolve,
)
from signaling.effects import Deny, Repeat
from signaling.errors import LocalError
from signaling.records import AlarmState
from tests.support.facts import pictured, raised, step
from tests.support.places import SIBLING

LINE = (
    AlarmState.CONFIRMED,
    AlarmState.DISPATCHED,
    AlarmState.ON_SITE,
    AlarmState.HANDLED,
    AlarmState.CLOSED,
)


def alarm(*states: AlarmState) -> Alarm:
    state = evolve(None, raised())
    for each in states:
        state = evolve(state, step(each))
    return state


def test_an_alarm_runs_its_course() -> None:
    state = alarm()
    for each in LINE:
        assert decide(state, step(each, note="扑灭")) == (Append(step(each, note="扑灭")),)
        state = evolve(state, step(each))
    assert state.state is AlarmState.CLOSED
    assert [s.state for s in state.steps] == list(LINE)


@pytest.mark.parametrize(("have", "asked"), list(itertools.product(AlarmState, AlarmState)))
def test_only_the_steps_of_the_table_may_be_asked_for(have: AlarmState, asked: AlarmState) -> None:
    way = {AlarmState.FALSE: (AlarmState.FALSE,), AlarmState.MERGED: (AlarmState.MERGED,), AlarmState.TRIGGERED: ()}
    state = alarm(*way.get(have, LINE[: LINE.index(have) + 1] if have in LINE else ()))
    assert state.state is have
    (effect,) = decide(state, step(asked, note="扑灭"))
    if asked in TRANSITIONS[have]:
        assert isinstance(effect, Append)
    elif asked is AlarmState.TRIGGERED or asked in [s.state for s in state.steps]:
        assert effect == Repeat()
    else:
        assert isinstance(effect, Deny)
        assert effect.code == "alarm-state"


@given(st.permutations([s for s in AlarmState if s is not AlarmState.TRIGGERED]), st.integers(0, 7))
def test_nodes_that_know_the_same_facts_show_the_same_state(order: list[AlarmState], cut: int) -> None:
    facts = order[:cut]
    shown = {alarm(*facts).state, alarm(*reversed(facts)).state, alarm(*sorted(facts)).state}
    assert len(shown) == 1


def test_a_confirmation_outranks_false_whoever_spoke_first() -> None:
    for facts in itertools.permutations((AlarmState.FALSE, AlarmState.CONFIRMED)):
        state = evolve(None, raised())
        for each in facts:
            assert accept(state, step(each)) == (Append(step(each)),)
            state = evolve(state, step(each))
        assert state.state is AlarmState.CONFIRMED
    assert RANK[AlarmState.TRIGGERED] == 0


def test_repeats_change_nothing() -> None:
    state = evolve(alarm(AlarmState.CONFIRMED), pictured())
    for record in (raised(), pictured(), step(AlarmState.CONFIRMED, note="again")):
        assert accept(state, record) == (Repeat(),)
        assert decide(state, record) == (Repeat(),)


def test_a_changed_alarm_under_a_known_id_is_denied() -> None:
    for record in (raised(text="没事"), pictured(place=SIBLING), step(AlarmState.CONFIRMED, place=SIBLING)):
        (effect,) = accept(alarm(), record)
        assert isinstance(effect, Deny)
        assert effect.code == "alarm-conflict"


def test_pictures_are_bounded() -> None:
    state = alarm()
    for number in range(MAX_PICTURES):
        assert isinstance(accept(state, pictured(number))[0], Append)
        state = evolve(state, pictured(number))
    (effect,) = accept(state, pictured(MAX_PICTURES))
    assert isinstance(effect, Deny)
    assert effect.code == "too-many-pictures"


def test_what_belongs_to_no_alarm_is_denied_and_never_folded() -> None:
    for record in (pictured(), step(AlarmState.CONFIRMED)):
        (effect,) = accept(None, record)
        assert isinstance(effect, Deny)
        assert effect.code == "unknown-alarm"
        with pytest.raises(LocalError):
            evolve(None, record)
    with pytest.raises(LocalError):
        evolve(alarm(), raised())


def test_nothing_is_closed_without_a_word_of_what_was_done() -> None:
    (effect,) = decide(alarm(*LINE[:-1]), step(AlarmState.CLOSED, note=" "))
    assert isinstance(effect, Deny)
    assert effect.code == "note-needed"
