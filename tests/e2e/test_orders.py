"""A directive on paper, and one that takes the place of another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.desks import clear, draft, front, issue, issued, sign, terminal, tick
from tests.e2e.running import VILLAGE, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo

HOLD = """(button) => new Promise((done) => {
  button.dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}));
  setTimeout(done, 2_000);
})"""
"""Holds as long as the button's own timer counts: both run on the page's clock."""
NUMBER = re.compile(r"^衡山应急令〔\d{4}〕\d{4}号$")


@pytest.fixture
def village(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village")
    clear(page)
    yield page
    page.context.close()


def test_a_directive_is_numbered_superseded_and_printed(county: Page, village: Page, artifacts: Path) -> None:
    old = issue(county, "转移到村部", VILLAGE)
    front(village, old)
    number = county.get_by_test_id("directive-number")
    expect(number).to_have_text(NUMBER)
    first = number.inner_text()
    county.get_by_test_id("supersede").evaluate(HOLD)
    expect(county.get_by_test_id("issue-supersedes")).to_contain_text(first)
    county.get_by_test_id("scope-tree").click()
    county.get_by_test_id("issue-title").fill("改到学校集合")
    county.get_by_test_id("issue").click()
    new = issued(county, "改到学校集合")
    overlay = front(village, new)
    expect(overlay.get_by_test_id("directive-supersedes")).to_contain_text(first)
    row = village.locator(f'[data-testid="directive-row"][data-directive="{old}"]')
    expect(row.get_by_test_id("directive-stage")).to_contain_text("已更正")
    sign(village, new, "周主任")
    expect(county.get_by_test_id("count-signed")).to_have_text("1")
    with county.expect_popup() as opened:
        county.get_by_test_id("print").click()
    paper = opened.value
    expect(paper.get_by_test_id("print-number")).to_have_text(NUMBER)
    expect(paper.get_by_test_id("print-matrix")).to_contain_text("周主任")
    paper.pdf(path=artifacts / "directive.pdf", prefer_css_page_size=True)
    assert (artifacts / "directive.pdf").read_bytes().startswith(b"%PDF-")


def test_a_directive_waits_for_the_file_that_is_still_being_uploaded(
    county: Page, village: Page, tmp_path: Path
) -> None:
    held: list[Route] = []
    county.route("**/api/v1/attachments**", lambda route: held.append(route))
    tick(county, VILLAGE)
    draft(county, "附件在路上")
    county.get_by_test_id("issue-papers").locator("summary").click()
    paper = tmp_path / "预案.pdf"
    paper.write_bytes(b"%PDF-1.4\n%%EOF\n")
    county.get_by_test_id("issue-file").set_input_files(paper)
    expect(county.get_by_test_id("issue-panel")).to_contain_text("附件还在上传")
    expect(county.get_by_test_id("issue")).to_be_disabled()
    until(lambda: held, what="nothing was uploaded")
    held.pop().continue_()
    expect(county.get_by_test_id("issue-attached")).to_contain_text("预案.pdf")
    county.get_by_test_id("issue").click()
    overlay = front(village, issued(county, "附件在路上"))
    expect(overlay.get_by_test_id("directive-file")).to_contain_text("预案.pdf")
