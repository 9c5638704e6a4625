"""The permission table against a second, independently written judge (``tests/support/oracle.py``)."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import division
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.permission import POLICY, Action, permit, permitted
from signaling.records import Actor, Role
from tests.support import oracle
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TABLE,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
    terminal,
)

PLACES = (PROVINCE, CITY, COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE, SIBLING, OTHER_VILLAGE)
REAL = oracle.read(TABLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_every_role_and_action_at_every_pair_of_places(role: Role, action: Action) -> None:
    for actor in PLACES:
        for target in PLACES:
            who = Actor(name="x", role=role, division=actor)
            expected = oracle.judge(role, action, actor, target, REAL)
            assert permitted(who, action, target, TREE) == expected, (actor, target)


def disagreements(seed: int, trees: int, questions: int) -> tuple[list[object], int]:
    """Ask both judges about random trees; return where they differ, and how often the answer was yes."""
    draw = random.Random(seed)
    wrong: list[object] = []
    granted = 0
    for _ in range(trees):
        places = oracle.grow(draw, draw.randrange(20, 3_000))
        tree = division.parse(places.table())
        for role, action, actor, target in oracle.triples(draw, places, questions):
            who = Actor(name="x", role=role, division=NodeCode(actor))
            answer = permitted(who, action, NodeCode(target), tree)
            granted += answer
            if answer != oracle.judge(role, action, actor, target, places):
                wrong.append((role, action, actor, target))
    return wrong, granted


@pytest.mark.parametrize(
    ("trees", "questions"),
    [pytest.param(10, 5_000, id="50,000"), pytest.param(50, 20_000, id="a-million", marks=pytest.mark.long)],
)
def test_two_judges_agree_about_random_people_deeds_and_places(trees: int, questions: int) -> None:
    seed = 430423
    wrong, granted = disagreements(seed, trees, questions)
    assert not wrong, (seed, len(wrong), wrong[:3])
    assert 0.05 < granted / (trees * questions) < 0.95  # else the questions ask nothing


def test_a_wider_policy_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wider = {**POLICY[Action.SIGN], Role.COMMANDER: POLICY[Action.ISSUE][Role.COMMANDER]}
    monkeypatch.setitem(POLICY, Action.SIGN, wider)
    wrong, _ = disagreements(430423, 1, 5_000)
    assert wrong


def test_every_action_has_a_policy_and_nobody_is_all_powerful() -> None:
    assert set(POLICY) == set(Action)
    for role in Role:
        assert any(role not in POLICY[action] for action in Action)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_unknown_places_have_no_rights_and_give_none(role: Role, action: Action) -> None:
    stranger = NodeCode("999999999999")
    assert not permitted(Actor(name="x", role=role, division=stranger), action, VILLAGE, TREE)
    assert not permitted(Actor(name="x", role=role, division=PROVINCE), action, stranger, TREE)


@given(st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_siblings_never_command_or_read_each_other(one: NodeCode, other: NodeCode) -> None:
    if TREE.is_within(one, other) or TREE.is_within(other, one):
        return
    for action in (Action.ISSUE, Action.RECALL, Action.READ_DIRECTIVE, Action.READ_AUDIT, Action.SIGN):
        for role in Role:
            assert not permitted(Actor(name="x", role=role, division=one), action, other, TREE)


def test_a_refusal_has_a_stable_code() -> None:
    permit(commander(COUNTY), Action.ISSUE, VILLAGE, TREE)
    with pytest.raises(Refused) as refused:
        permit(terminal(VILLAGE), Action.ISSUE, VILLAGE, TREE)
    assert refused.value.code == "not-permitted"
