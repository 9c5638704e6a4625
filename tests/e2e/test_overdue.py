"""What runs out, as the officer on duty sees it: gathered, taken in hand, struck out; nobody waits for minutes."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from signaling.records import Role
from tests.support.node import Node, running
from tests.support.places import OTHER_VILLAGE, TOWNSHIP, VILLAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signaling.ids import NodeCode
    from tests.e2e.browser import Browsers


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A county whose clocks go ahead when told to."""
    with running(tmp_path_factory.mktemp("own"), module="tests.support.hurried") as node:
        yield node


def hurry(node: Node) -> None:
    os.kill(node.process.pid, signal.SIGUSR1)


def raised(node: Node, place: NodeCode, kind: str) -> str:
    request: dict[str, Any] = {"kind": kind, "place": place, "urgency": "P1", "text": "河水漫堤"}
    answer = node.post("/api/v1/alarms", request, node.token(Role.COMMANDER))
    assert answer.status == 201, answer.body
    return str(answer.json["id"])


def agree(page: Page, note: str) -> None:
    page.locator(".el-message-box__input input").fill(note)
    page.locator(".el-message-box__btns .el-button--primary").click()


def test_late_alarms_of_many_villages_are_one_card_that_is_taken_in_hand(own: Node, browsers: Browsers) -> None:
    page = browsers.open(own.url(f"/#code={own.link(Role.COMMANDER)}"))
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    first = raised(own, VILLAGE, "flood")
    raised(own, OTHER_VILLAGE, "flood")
    hurry(own)
    later = raised(own, VILLAGE, "fire")

    cards = page.get_by_test_id("overdue-card")
    expect(cards.get_by_test_id("overdue-left")).to_have_text("2/2")
    expect(cards).to_have_attribute("data-kind", "response")
    towns = cards.get_by_test_id("overdue-town")
    expect(towns).to_have_count(2)
    near = page.locator(f'[data-testid="overdue-town"][data-place="{TOWNSHIP}"]')
    expect(near.get_by_test_id("late-response")).to_contain_text("八里村")
    near.get_by_test_id("overdue-fold").click()
    expect(near.get_by_test_id("late-response")).to_have_count(0)
    near.get_by_test_id("overdue-fold").click()

    cards.get_by_test_id("overdue-take").click()
    agree(page, "已派工作组")
    expect(page.get_by_test_id("overdue-taken")).to_have_count(2)
    expect(page.get_by_test_id("overdue-taken").first).to_contain_text("已派工作组")
    expect(page.get_by_test_id("overdue-take")).to_have_count(0)

    confirmed = {"state": "confirmed", "note": "已核实"}
    own.post(f"/api/v1/alarms/{first}/advance", confirmed, own.token(Role.COMMANDER))
    hurry(own)
    raised(own, VILLAGE, "smoke")
    late = page.locator('[data-testid="overdue-card"][data-kind="response"]')
    joined = near.locator(f'[data-alarm="{later}"]')
    expect(joined).to_be_visible()
    expect(page.locator(f'[data-alarm="{first}"][data-testid="late-response"]')).to_have_count(0)
    expect(late.get_by_test_id("overdue-left")).to_have_text("2/2")
    expect(late.get_by_test_id("overdue-take")).to_be_visible()
    page.context.close()


def test_a_warning_covers_no_button(own: Node, browsers: Browsers) -> None:
    """The last story of this gateway: it ends."""
    page = browsers.open(own.url(f"/#code={own.link(Role.COMMANDER)}"))
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    own.process.terminate()
    own.process.wait(60)
    expect(page.get_by_test_id("reconnecting")).to_be_visible()
    page.get_by_test_id("roster-open").click()
    expect(page.get_by_test_id("roster-panel")).to_be_visible()
    expect(page.get_by_test_id("reconnecting")).to_be_visible()
    page.context.close()
