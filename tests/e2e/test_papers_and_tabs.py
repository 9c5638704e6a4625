"""What goes with a directive arrives with it, a voice too; and of two tabs of one terminal only one rings."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.e2e.desks import clear, draft, front, issue, issued, sign, terminal, tick
from tests.e2e.running import VILLAGE, until

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
PLAYED = """(audio) => new Promise((done, failed) => {
  audio.ontimeupdate = () => { if (audio.currentTime > 0.2) done(audio.currentTime); };
  audio.onerror = () => failed(new Error(audio.error.message));
  audio.play().catch(failed);
})"""
TABS = """
window.__rings = 0;
const sound = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...rest) {
  if (this.loop) window.__rings += 1;
  return sound.apply(this, rest);
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
"""Counts what rings, and remembers which of the browser's tabs was first for which directive."""


@pytest.fixture
def village(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village")
    clear(page)
    yield page
    page.context.close()


def test_a_file_is_downloaded_at_the_village_as_it_left_the_county(county: Page, village: Page) -> None:
    tick(county, VILLAGE)
    draft(county, "附件下载")
    county.get_by_test_id("issue-papers").locator("summary").click()
    paper: FilePayload = {"name": "转移方案.pdf", "mimeType": "application/pdf", "buffer": PAPER}
    county.get_by_test_id("issue-file").set_input_files(paper)
    expect(county.get_by_test_id("issue-attached")).to_contain_text("转移方案.pdf")
    county.get_by_test_id("issue").click()
    directive = issued(county, "附件下载")
    overlay = front(village, directive)
    with village.expect_download() as coming:
        overlay.get_by_test_id("directive-file").click()
    assert coming.value.suggested_filename == "转移方案.pdf"
    assert Path(coming.value.path()).read_bytes() == PAPER
    sign(village, directive, "赵支书")


def test_a_voice_recorded_at_the_county_is_played_at_the_village(demo: Demo, browsers: Browsers, village: Page) -> None:
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
        directive = issued(county, "语音指令")
    finally:
        county.context.close()
    voice = front(village, directive).get_by_test_id("directive-voice")
    expect(voice).to_be_visible()
    assert voice.evaluate(PLAYED) > 0.2
    sign(village, directive, "赵支书")


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
        answers = [page.evaluate("(key) => window.__claims[key]", key) for page in tabs]
        return answers if None not in answers else None

    return until(asked, what="a tab never asked whether it was the first")


def rings(tabs: list[Page]) -> list[int]:
    return [page.evaluate("() => window.__rings") for page in tabs]


def test_of_two_tabs_one_rings_and_after_a_reload_neither(county: Page, tabs: list[Page]) -> None:
    before = rings(tabs)
    directive = issue(county, "只响一次", VILLAGE)
    first = first_of(tabs, directive)
    assert sorted(first) == [False, True]
    rung = [count + one for count, one in zip(before, first, strict=True)]
    until(lambda: rings(tabs) == rung, what="not exactly the first tab rang")
    for page in tabs:
        front(page, directive)
    for page in tabs:
        page.reload()
        expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
        front(page, directive)
    later = issue(county, "再响一次", VILLAGE)  # when it is heard of, all that came before it has been
    again = first_of(tabs, later)
    assert sorted(again) == [False, True]
    until(lambda: rings(tabs) == [int(one) for one in again], what="what had rung before the reload rang again")
    assert [page.evaluate("(key) => window.__claims[key]", f"{VILLAGE} {directive}") for page in tabs] == [None, None]
    for one in (directive, later):
        sign(tabs[0], one, "赵支书")
