"""The permission matrix against a second, independently written judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.permission import POLICY, Action, permit, permitted
from signaling.records import Actor, Role
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
    terminal,
)

PLACES = (PROVINCE, CITY, COUNTY, TOWNSHIP, OTHER_TOWNSHIP, VILLAGE, SIBLING, OTHER_VILLAGE)


def above(code: NodeCode, other: NodeCode) -> bool:
    """Whether ``code`` is ``other`` or over it, told from the digits (true of this county, not of all)."""
    stem = code.rstrip("0")
    stem = {"43": "43", "4304": "4304", "430423": "430423"}.get(stem, code[:9] if code.endswith("000") else code)
    return other.startswith(stem)


def judge(role: Role, action: Action, actor: NodeCode, target: NodeCode) -> bool:
    """Sentences, not a table: what each role is for."""
    own, over = actor == target, above(actor, target)
    told = over or (actor[:9] == target[:9] and not actor.endswith("000") and target[6:9] != "000")
    match role:
        case Role.COMMANDER:
            if action in {Action.RECEIPT, Action.SIGN, Action.FEEDBACK, Action.READ_AUDIT, Action.ADMINISTER}:
                return False
            if action is Action.PUBLISH:
                return own
            if action is Action.CONVENE:
                return over or above(target, actor)
            return told if action is Action.READ_ALARM else over
        case Role.TERMINAL:
            if action in {Action.RAISE_ALARM, Action.REPORT_ALARM}:
                return over
            if action is Action.READ_ALARM:
                return told
            personal = {Action.RECEIPT, Action.SIGN, Action.FEEDBACK, Action.READ_DIRECTIVE}
            return own and action in personal | {Action.JOIN, Action.PUBLISH, Action.SNAPSHOT}
        case Role.DEVICE:
            return (over and action is Action.RAISE_ALARM) or (own and action in {Action.JOIN, Action.PUBLISH})
        case Role.AUDITOR:
            return over and action in {Action.READ_DIRECTIVE, Action.READ_ALARM, Action.READ_AUDIT, Action.JOIN}
        case Role.ADMIN:
            reads = {Action.READ_DIRECTIVE, Action.READ_ALARM, Action.READ_AUDIT, Action.JOIN}
            return over and action in reads | {Action.ADMINISTER}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", Role)
def test_every_role_and_action_at_every_pair_of_places(role: Role, action: Action) -> None:
    for actor in PLACES:
        for target in PLACES:
            who = Actor(name="x", role=role, division=actor)
            assert permitted(who, action, target, TREE) == judge(role, action, actor, target), (actor, target)


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
