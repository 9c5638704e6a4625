"""Which meeting a press of a button calls."""

from __future__ import annotations

import pytest

from gateway.clicks import conference_of
from signaling.ids import NodeCode
from signaling.records import Actor, Role
from tests.support.places import COUNTY, TOWNSHIP

CALLER = Actor("县指挥长", Role.COMMANDER, COUNTY)


def test_the_same_press_of_the_same_person_is_the_same_meeting() -> None:
    assert conference_of(COUNTY, CALLER, "press") == conference_of(COUNTY, CALLER, "press")


@pytest.mark.parametrize(
    ("node", "actor", "click_id"),
    [
        (COUNTY, CALLER, "another press"),
        (COUNTY, Actor("别人", Role.COMMANDER, COUNTY), "press"),
        (COUNTY, Actor("县指挥长", Role.COMMANDER, TOWNSHIP), "press"),
        (TOWNSHIP, CALLER, "press"),
        (COUNTY, Actor("县指挥长p", Role.COMMANDER, COUNTY), "ress"),
    ],
)
def test_anything_else_is_another_meeting(node: NodeCode, actor: Actor, click_id: str) -> None:
    assert conference_of(node, actor, click_id) != conference_of(COUNTY, CALLER, "press")


def test_the_identity_is_one_that_every_gateway_takes() -> None:
    made = conference_of(COUNTY, CALLER, "任何字符都可以\u2028")
    assert made.isascii()
    assert made.replace("-", "").isalnum()
    assert len(made) <= 64
