"""One row of the matrix: reports late, twice, in any order."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.delivery import (
    NEEDS,
    ORDER,
    QUEUED,
    RANK,
    TRANSITIONS,
    Append,
    Delivery,
    accept,
    decide,
    evolve,
    relay,
)
from signaling.effects import Deny, Repeat
from signaling.ids import NodeCode, UtcMs
from signaling.records import DeliveryAdvanced, Stage
from tests.support.facts import word
from tests.support.places import COUNTY, TOWNSHIP

STEPS = ORDER[1:]
Said = DeliveryAdvanced | tuple[NodeCode, int]


def fold(words: Sequence[Said]) -> Delivery:
    """Return the row after ``words``; a pair is a hop that relayed the order, and when."""
    row = QUEUED
    for each in words:
        row = relay(row, each[0], UtcMs(each[1])) if isinstance(each, tuple) else evolve(row, each)
    return row


def test_the_stages_stand_in_the_order_of_the_design() -> None:
    assert [s.value for s in ORDER] == ["queued", "relayed", "delivered", "shown", "signed", "feedback", "done"]


@pytest.mark.parametrize("have", ORDER)
@pytest.mark.parametrize("told", STEPS)
def test_no_report_ever_lowers_a_stage(have: Stage, told: Stage) -> None:
    assert RANK[TRANSITIONS[have][told]] == max(RANK[have], RANK[told])


def test_a_signature_overtaking_its_receipt_keeps_both_times() -> None:
    row = fold([word(Stage.SIGNED, at=30), word(Stage.DELIVERED, at=10), word(Stage.SHOWN, at=20)])
    assert row.stage is Stage.SIGNED
    assert row.times == {Stage.SIGNED: 30, Stage.DELIVERED: 10, Stage.SHOWN: 20}
    assert row.signed_by == "赵网格"


def test_all_orders_of_the_same_reports_give_the_same_row() -> None:
    words: list[Said] = [
        (COUNTY, 5),
        (TOWNSHIP, 7),
        word(Stage.SHOWN, at=20),
        word(Stage.SIGNED, at=30),
        word(Stage.FEEDBACK, at=40, values={"应转": 9}),
        word(Stage.FEEDBACK, at=50, values={"应转": 9, "已转": 9}, note="完成"),
    ]
    rows = [fold(list(p)) for p in itertools.permutations(words)]
    assert all(row == rows[0] for row in rows)
    assert rows[0].values == {"应转": 9, "已转": 9}
    assert rows[0].hops == {COUNTY: 5, TOWNSHIP: 7}
    assert rows[0].times[Stage.RELAYED] == 5


def test_nobody_signs_for_what_was_not_shown() -> None:
    row = fold([word(Stage.DELIVERED)])
    assert decide(row, word(Stage.SIGNED)) == (Deny("not-shown", f"{word(Stage.SIGNED).recipient} has not shown it"),)
    signed = word(Stage.SIGNED, at=9)
    assert decide(fold([word(Stage.SHOWN)]), signed) == (Append(signed),)


@pytest.mark.parametrize("stage", [Stage.FEEDBACK, Stage.DONE])
def test_feedback_waits_for_a_signature(stage: Stage) -> None:
    (effect,) = decide(fold([word(Stage.SHOWN)]), word(stage))
    assert isinstance(effect, Deny)
    assert effect.code == "not-signed"
    assert NEEDS[stage] is Stage.SIGNED


def test_another_nodes_word_is_a_fact_whatever_came_before() -> None:
    signed = word(Stage.SIGNED)
    assert accept(QUEUED, signed) == (Append(signed),)


@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=8))
def test_a_repeat_changes_nothing_and_is_answered(stages: list[Stage]) -> None:
    words = [word(stage, at=100 + n) for n, stage in enumerate(stages)]
    row = fold(words)
    for each in words:
        assert accept(row, each) == (Repeat(),)
        assert evolve(row, each) == row


def test_a_report_that_was_overtaken_is_still_written_down() -> None:
    late = word(Stage.DELIVERED, at=10)
    assert accept(fold([word(Stage.SIGNED, at=30)]), late) == (Append(late),)


def test_a_hop_that_says_it_twice_relayed_when_it_first_did() -> None:
    assert fold([(COUNTY, 5), (COUNTY, 9)]) == fold([(COUNTY, 9), (COUNTY, 5)]) == fold([(COUNTY, 5)])


def test_numbers_may_be_corrected_but_an_older_count_never_returns() -> None:
    new, old = word(Stage.FEEDBACK, at=50, values={"已转": 9}), word(Stage.FEEDBACK, at=40, values={"已转": 3})
    assert fold([new, old]).values == {"已转": 9}
    assert accept(fold([new]), old) == (Repeat(),)
    assert accept(fold([old]), new) == (Append(new),)
