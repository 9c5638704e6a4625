"""A directive from the county to a village and its signature back, over three real gateways."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from tests.e2e.running import COUNTY, TOWNSHIP, VILLAGE, Demo, call, send_json, until
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def commander(demo: Demo) -> str:
    return demo.token("county", "commander", name="张指挥")


@pytest.fixture
def village(demo: Demo) -> Iterator[Terminal]:
    terminal = Terminal(demo.url("village"), demo.token("village", "terminal", name="李支书"))
    yield terminal
    terminal.close()


def issue(demo: Demo, token: str, **changes: Any) -> tuple[int, Any]:
    order = {
        "click_id": uuid.uuid4().hex,
        "urgency": "P1",
        "title": "立即转移低洼处群众",
        "text": "请各村立即组织低洼地带群众转移。",
        "scope": [{"node": COUNTY, "mode": "subtree"}],
        "exercise": False,
    }
    answer = send_json(demo.url("county", "/api/v1/directives"), {**order, **changes}, token=token)
    return answer.status, answer.json


def row(demo: Demo, token: str, directive: str, recipient: str, tier: str = "county") -> Any:
    view = call(demo.url(tier, f"/api/v1/directives/{directive}"), token=token).json
    return next(r for r in view["recipients"] if r["node"] == recipient)


def test_a_directive_is_shown_and_signed_at_the_village_and_the_county_sees_it(
    demo: Demo, commander: str, village: Terminal
) -> None:
    status, issued = issue(demo, commander)
    assert status == 201
    assert issued["recipients"] > 150  # every township and village of the county

    until(lambda: issued["id"] in village.rung, what="the village's terminal never rang")
    until(
        lambda: row(demo, commander, issued["id"], VILLAGE)["stage"] == "shown",
        what="the county never learned that it was shown",
    )
    token = demo.token("village", "terminal", name="李支书")
    signed = send_json(demo.url("village", f"/api/v1/directives/{issued['id']}/sign"), {"name": "李大山"}, token=token)
    assert signed.status in (200, 201)
    until(
        lambda: row(demo, commander, issued["id"], VILLAGE)["stage"] == "signed",
        what="the signature never reached the county",
    )
    entry = row(demo, commander, issued["id"], VILLAGE)
    assert entry["signed_by"] == "李大山"
    assert entry["delivered_at"] <= entry["shown_at"] <= entry["signed_at"]


def test_the_same_click_is_one_directive(demo: Demo, commander: str) -> None:
    click = uuid.uuid4().hex
    first = issue(demo, commander, click_id=click, scope=[{"node": TOWNSHIP, "mode": "self"}])
    second = issue(demo, commander, click_id=click, scope=[{"node": TOWNSHIP, "mode": "self"}])
    assert (first[0], second[0]) == (201, 200)
    assert first[1]["id"] == second[1]["id"]


def test_a_village_token_cannot_issue_and_a_sibling_cannot_read(demo: Demo, commander: str) -> None:
    token = demo.token("village", "terminal")
    refused = send_json(
        demo.url("village", "/api/v1/directives"),
        {
            "click_id": uuid.uuid4().hex,
            "urgency": "P1",
            "title": "x",
            "text": "y",
            "scope": [{"node": VILLAGE, "mode": "self"}],
            "exercise": False,
        },
        token=token,
    )
    assert refused.status == 403
    assert refused.json["code"] == "not-permitted"

    _, issued = issue(demo, commander, scope=[{"node": VILLAGE, "mode": "self"}])
    sibling = demo.token("township", "terminal", division="430423100224")
    hidden = until(
        lambda: call(demo.url("township", f"/api/v1/directives/{issued['id']}"), token=sibling),
        what="no answer",
    )
    assert hidden.status in (403, 404)
    assert "recipients" not in hidden.json


def test_a_county_token_is_useless_at_the_city(demo: Demo, commander: str) -> None:
    answer = call(demo.url("city", "/api/v1/directives"), token=commander)
    assert answer.status == 401


def test_a_village_that_was_offline_gets_it_once_when_it_returns(demo: Demo, commander: str) -> None:
    token = demo.token("village", "terminal", name="王值班")
    old = demo.kill("village")
    status, issued = issue(demo, commander, scope=[{"node": VILLAGE, "mode": "self"}])
    assert (status, issued["recipients"]) == (201, 1)
    until(lambda: demo.restarted("village", old), what="the village gateway was not started again")

    terminal = Terminal(demo.url("village"), token)
    try:
        until(lambda: issued["id"] in terminal.rung, what="the village never got it")
        until(
            lambda: row(demo, commander, issued["id"], VILLAGE)["stage"] == "shown",
            what="the county never learned",
        )
    finally:
        terminal.close()
    again = Terminal(demo.url("village"), token)
    try:
        listed = again.wait_for(
            lambda m: m["type"] == "directive" and m["directive"] == issued["id"], what="not listed"
        )
        assert listed["mine"]["stage"] == "shown"
        assert issued["id"] not in again.rung  # a terminal without a memory is told that it was shown
    finally:
        again.close()
