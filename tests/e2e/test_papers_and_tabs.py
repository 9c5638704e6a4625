"""What goes with a directive arrives with it, a voice too; and of two tabs of one terminal only one rings."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.e2e.desks import clear, draft, issue, issued, terminal, tick
from tests.e2e.running import VILLAGE, send_json, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo

SEED = 20261122
PAPER = b"%PDF-1.4\n" + random.Random(SEED).randbytes(300_000)
"""Longer than one piece of a link, and not to be made smaller on the way."""
HEARD = """
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function () {
  this.addEventListener('dataavailable', (event) => { window.__heard = (window.__heard ?? 0) + event.data.size; });
  return start.call(this, 200);
};
"""
"""Tells how much of the voice there is, so that nobody stops before there is any."""
ENOUGH = 2_000
"""Octets: about a second."""
TABS = """
Object.defineProperty(window, 'speechSynthesis', {value: undefined});
window.__rings = 0;
const sound = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...rest) {
  if (this.loop) window.__rings += 1;
  return sound.apply(this, rest);
};
window.__again = 0;
window.WebSocket = class extends window.WebSocket {
  constructor(...rest) {
    super(...rest);
    this.addEventListener('message', (event) => {
      if (['ring', 'overdue'].includes(JSON.parse(event.data).type)) window.__again += 1;
    });
  }
};
window.__claims = {};
const add = IDBObjectStore.prototype.add;
IDBObjectStore.prototype.add = function (value, key) {
  const asked = add.call(this, value, key);
  asked.addEventListener('success', () => { window.__claims[key] = true; });
  asked.addEventListener('error', () => { window.__claims[key] = false; });
  return asked;
};
"""
"""Counts rings, and what may make a tab ring: being first to hear of a directive, or a clock of the gateway's."""
ASIDE = """(directive) => {
  const front = document.querySelector('[data-testid="directive-overlay"]');
  if (front && front.dataset.directive !== directive) front.querySelector('[data-testid="directive-later"]').click();
}"""
"""Sets aside what is in front and is not ``directive``, in one breath: the clock may bring back others at any time."""


@pytest.fixture
def village(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village")
    clear(page)
    yield page
    page.context.close()


@pytest.fixture
def recalled(demo: Demo) -> Iterator[list[str]]:
    """Directives of a test: nobody is asked to sign for them afterwards."""
    directives: list[str] = []
    yield directives
    token = demo.token("county", "commander")
    for one in directives:
        path = demo.url("county", f"/api/v1/directives/{one}/recall")
        assert send_json(path, {"reason": "用例结束"}, token=token).status == 200


def paper_of(page: Page, directive: str, testid: str) -> Locator:
    """Return what goes with ``directive``, in the list: whatever is in front of it."""
    return page.locator(f'[data-testid="directive-row"][data-directive="{directive}"]').get_by_test_id(testid)


def test_a_file_is_downloaded_at_the_village_as_it_left_the_county(
    county: Page, village: Page, recalled: list[str]
) -> None:
    tick(county, VILLAGE)
    draft(county, "附件下载")
    county.get_by_test_id("issue-papers").locator("summary").click()
    paper: FilePayload = {"name": "转移方案.pdf", "mimeType": "application/pdf", "buffer": PAPER}
    county.get_by_test_id("issue-file").set_input_files(paper)
    expect(county.get_by_test_id("issue-attached")).to_contain_text("转移方案.pdf")
    county.get_by_test_id("issue").click()
    recalled.append(issued(county, "附件下载"))
    link = paper_of(village, recalled[0], "directive-file")
    expect(link).to_have_attribute("download", "转移方案.pdf")
    with village.expect_download() as coming:
        link.evaluate("(link) => link.click()")
    assert coming.value.suggested_filename == "转移方案.pdf"
    assert Path(coming.value.path()).read_bytes() == PAPER


def test_a_voice_recorded_at_the_county_is_played_at_the_village(
    demo: Demo, browsers: Browsers, village: Page, recalled: list[str]
) -> None:
    county = browsers.open(demo.link("county", "commander"), script=HEARD)
    try:
        expect(county.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        tick(county, VILLAGE)
        draft(county, "语音指令")
        county.get_by_test_id("issue-papers").locator("summary").click()
        record = county.get_by_test_id("issue-record")
        record.click()
        expect(record).to_have_attribute("data-state", "recording")
        expect(county.get_by_test_id("issue")).to_be_disabled()
        county.wait_for_function("(enough) => window.__heard > enough", arg=ENOUGH)
        record.click()
        expect(county.get_by_test_id("issue-attached")).to_contain_text("语音")
        county.get_by_test_id("issue").click()
        recalled.append(issued(county, "语音指令"))
    finally:
        county.context.close()
    voice = paper_of(village, recalled[0], "directive-voice")
    expect(voice).to_be_attached()
    voice.evaluate("(audio) => void audio.play()")
    until(lambda: voice.evaluate("(audio) => audio.currentTime") > 0.2, what="nothing was played")


def test_a_file_that_did_not_get_through_holds_the_directive_until_it_has(county: Page) -> None:
    county.route("**/api/v1/attachments**", lambda route: route.abort(), times=1)
    tick(county, VILLAGE)
    draft(county, "重传附件")
    county.get_by_test_id("issue-papers").locator("summary").click()
    paper: FilePayload = {"name": "名单.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.4\n%%EOF\n"}
    county.get_by_test_id("issue-file").set_input_files(paper)
    expect(county.get_by_test_id("issue-parcel")).to_have_attribute("data-failed", "true")
    expect(county.get_by_test_id("issue")).to_be_disabled()
    county.get_by_test_id("issue-again").click()
    expect(county.get_by_test_id("issue-attached")).to_contain_text("名单.pdf")
    expect(county.get_by_test_id("issue")).to_be_enabled()
    county.get_by_test_id("issue-close").click()


# ---- two tabs ------------------------------------------------------------------------------------


@pytest.fixture
def tabs(demo: Demo, browsers: Browsers) -> Iterator[list[Page]]:
    """Two tabs of one browser, both on duty, with nothing left in front."""
    first = terminal(browsers, demo, "village", TABS)
    second = first.context.new_page()
    second.goto(demo.link("village", "terminal"))
    second.get_by_test_id("enter-duty").click()
    expect(second.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    for page in (first, second):
        clear(page)
    yield [first, second]
    first.context.close()


def first_of(tabs: list[Page], directive: str) -> list[bool]:
    """Return for each tab whether it was the first to hear of ``directive``, once all have asked."""
    key = f"{VILLAGE} {directive}"

    def asked() -> list[Any] | None:
        for page in tabs:
            page.evaluate(ASIDE, directive)  # whatever rings holds up what comes after it
        answers = [page.evaluate("(key) => window.__claims[key]", key) for page in tabs]
        return answers if None not in answers else None

    return until(asked, what="a tab never asked whether it was the first")


def shown(page: Page, directive: str) -> None:
    overlay = page.locator(f'[data-testid="directive-overlay"][data-directive="{directive}"]')

    def in_front() -> bool:
        page.evaluate(ASIDE, directive)
        return overlay.count() == 1

    until(in_front, what="the directive never came to the front")


def rings(page: Page) -> int:
    return int(page.evaluate("() => window.__rings"))


def reasons(page: Page) -> int:
    """Return how often the tab had a reason to ring: it was first, or a clock said that something is late."""
    return int(page.evaluate("() => window.__again + Object.values(window.__claims).filter(Boolean).length"))


def test_of_two_tabs_one_rings_and_after_a_reload_neither(county: Page, tabs: list[Page], recalled: list[str]) -> None:
    before = [rings(page) for page in tabs]
    directive = issue(county, "只响一次", VILLAGE)
    recalled.append(directive)
    first = first_of(tabs, directive)
    assert sorted(first) == [False, True]
    winner = first.index(True)
    until(lambda: rings(tabs[winner]) > before[winner], what="the first tab never rang")
    for page in tabs:
        shown(page, directive)
        assert rings(page) <= reasons(page)
        page.reload()
        expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        shown(page, directive)
    recalled.append(issue(county, "再响一次", VILLAGE))  # when it is heard of, all that came before it has been
    again = first_of(tabs, recalled[1])
    assert sorted(again) == [False, True]
    until(lambda: rings(tabs[again.index(True)]) > 0, what="the first tab never rang")
    for page in tabs:
        assert rings(page) <= reasons(page)
        assert page.evaluate("(key) => window.__claims[key]", f"{VILLAGE} {directive}") is None
