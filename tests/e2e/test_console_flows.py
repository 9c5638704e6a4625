"""What people do with the pages besides the main story: recall, sum up, sign in, hold, end, choose, share, look up."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, Request, expect

from tests.e2e.browser import watch
from tests.e2e.desks import clear, console, draft, front, issue, issued, lose_first_answer, sign, terminal, tick, tile
from tests.e2e.meeting import convened
from tests.e2e.running import COUNTY, TOWNSHIP, VILLAGE, call, multipart, send_json, until
from tests.gateway.test_api import jpeg
from tests.support.node import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo
    from tests.support.node import Node


CHINESE = re.compile(r"[\u4e00-\u9fff]")
TOUCH = """(button, ms) => new Promise((done) => {
  const send = (kind) => button.dispatchEvent(new PointerEvent(kind, {bubbles: true}));
  const end = () => { send('pointerup'); done(); };
  send('pointerdown');
  if (ms) setTimeout(end, ms); else end();
})"""
"""Touches for so long as the page itself counts time: it may be late, the button's own timer is so too."""
NOTICE = """() => {
  const look = () => { window.__banner ||= document.querySelector('[data-testid="reconnecting"]')?.textContent; };
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
"""Remembers the first words of a banner that may be gone before anybody asks."""
LISTEN = """() => {
  window.__sounds = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...rest) {
    window.__sounds.push(this.loop ? 'ring' : 'bell');
    return start.apply(this, rest);
  };
}"""


@pytest.fixture
def village(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village")
    yield page
    page.context.close()


@pytest.fixture
def township(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "township")
    yield page
    page.context.close()


# ---- directives ----------------------------------------------------------------------------------


def test_a_recalled_directive_leaves_the_screen_and_says_so(county: Page, village: Page) -> None:
    directive = issue(county, "撤回用例", VILLAGE)
    overlay = front(village, directive)
    expect(overlay.get_by_test_id("directive-title")).to_have_text("撤回用例")

    county.locator(".matrix-text summary").click()
    county.get_by_test_id("recall").click()
    county.locator(".el-message-box__input input").fill("发错单位")
    county.locator(".el-message-box__btns .el-button--primary").click()

    mine = f'[data-directive="{directive}"]'
    expect(village.locator(f'[data-testid="directive-overlay"]{mine}')).to_be_hidden()
    clear(village)
    expect(village.locator(f'[data-testid="directive-row"]{mine}').get_by_test_id("directive-stage")).to_have_text(
        "已撤回"
    )
    expect(county.locator(f'[data-testid="directive-row"]{mine}')).to_contain_text("已撤回")
    expect(county.get_by_test_id("recall")).to_have_count(0)


def test_feedback_numbers_of_two_places_are_summed_in_the_countys_matrix(
    county: Page, village: Page, township: Page, artifacts: Path
) -> None:
    directive = issue(county, "转移人数反馈", VILLAGE, TOWNSHIP)
    for page, name, required, moved in ((village, "赵大山", 30, 25), (township, "李值班", 12, 12)):
        sign(page, directive, name)
        clear(page)
        row = page.locator(f'[data-testid="directive-row"][data-directive="{directive}"]')
        row.get_by_test_id("feedback-open").click()
        row.locator("input[name=required]").fill(str(required))
        row.locator("input[name=moved]").fill(str(moved))
        row.get_by_test_id("feedback-submit").click()
        expect(page.get_by_test_id("notice")).to_contain_text("反馈已提交")
    total = county.get_by_test_id("feedback-sum")
    expect(total).to_have_text(re.compile(r"合计:\s+应转 42\s+已转 37"))
    expect(county.get_by_test_id(f"matrix-row-{VILLAGE}")).to_contain_text(re.compile(r"应转 30\s+已转 25"))
    expect(county.get_by_test_id("count-signed")).to_have_text("2")
    expect(county.get_by_test_id("sign-rate")).to_have_text("100%")
    county.screenshot(path=artifacts / "county-feedback.png")


def test_the_most_urgent_is_issued_by_holding_and_not_by_touching(county: Page, village: Page) -> None:
    posted: list[Request] = []
    county.on("request", lambda request: posted.append(request) if is_issue(request) else None)
    tick(county, VILLAGE)
    draft(county, "特提长按", urgency="P0")
    button = county.get_by_test_id("issue")
    expect(button).to_contain_text("长按")
    for touched_ms in (400, 0, 0):
        button.evaluate(TOUCH, touched_ms)
    expect(county.get_by_test_id("issue-panel")).to_be_visible()
    assert posted == []
    button.hover()
    county.mouse.down()
    expect(county.get_by_test_id("issue-panel")).to_be_hidden()
    county.mouse.up()
    directive = issued(county, "特提长按")
    assert len(posted) == 1
    overlay = front(village, directive)
    expect(overlay).to_have_class(re.compile(r"\bP0\b"))
    sign(village, directive, "赵大山")


def is_issue(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/api/v1/directives")


def test_an_exercise_says_so_on_every_page(county: Page, village: Page, artifacts: Path) -> None:
    tick(county, VILLAGE)
    draft(county, "演练用例")
    county.get_by_test_id("issue-exercise").click()
    county.get_by_test_id("issue").click()
    directive = issued(county, "演练用例")
    overlay = front(village, directive)
    expect(overlay.get_by_test_id("directive-exercise")).to_have_text("演练")
    village.screenshot(path=artifacts / "village-exercise.png")
    expect(county.locator(f'[data-testid="directive-row"][data-directive="{directive}"]')).to_contain_text("演练")
    sign(village, directive, "赵大山")


# ---- meetings ------------------------------------------------------------------------------------


def convene_exercise(county: Page, title: str) -> None:
    county.get_by_test_id("places-clear").click()
    county.get_by_test_id("convene-open").click()
    county.get_by_test_id("scope-all").click()
    county.get_by_test_id("convene-title").fill(title)
    county.get_by_test_id("convene-exercise").click()
    county.get_by_test_id("convene-submit").click()
    expect(county.get_by_test_id("meeting-title")).to_have_text(title)


def enter(page: Page, title: str) -> None:
    """Bring a page that is in no meeting into one: it enters by itself what it hears of after it left another."""
    join = page.locator("li", has_text=title).get_by_test_id("join")
    inside = page.get_by_test_id("meeting-title").filter(has_text=title)
    expect(join.or_(inside)).to_be_visible()
    if join.is_visible():
        join.click()
    expect(inside).to_be_visible()


def end_meeting(county: Page) -> None:
    county.get_by_test_id("meeting-end").click()
    county.locator(".el-message-box__btns .el-button--primary").click()


def test_an_exercise_meeting_is_marked_and_its_end_sends_everybody_home(
    county: Page, village: Page, artifacts: Path
) -> None:
    title = f"演练会商 {uuid.uuid4().hex[:6]}"
    clear(village)
    expect(village.get_by_test_id("meeting-title")).to_have_text("防汛视频调度会")
    expect(county.get_by_test_id("watermark")).to_have_count(0)
    convene_exercise(county, title)
    try:
        village.get_by_test_id("leave").click()
        enter(village, title)
        for page, name in ((county, "county"), (village, "village")):
            expect(page.get_by_test_id("meeting-title")).to_have_text(title)
            expect(page.get_by_test_id("watermark")).to_have_text("演练")
            page.screenshot(path=artifacts / f"{name}-exercise-meeting.png")
    finally:
        end_meeting(county)
    expect(county.get_by_test_id("meeting-title")).to_have_text("防汛视频调度会")
    expect(village.get_by_test_id("leave")).to_have_count(0)
    for page in (county, village):
        expect(page.get_by_test_id("watermark")).to_have_count(0)


def test_a_convening_whose_answer_was_lost_is_one_meeting_when_pressed_again(demo: Demo, county: Page) -> None:
    title = f"断线召开 {uuid.uuid4().hex[:6]}"
    lose_first_answer(county, "conferences")
    county.get_by_test_id("convene-open").click()
    county.get_by_test_id("scope-all").click()
    county.get_by_test_id("convene-title").fill(title)
    county.get_by_test_id("convene-submit").click()
    expect(county.get_by_test_id("notice")).to_contain_text("连不上")
    county.get_by_test_id("convene-submit").click()
    expect(county.get_by_test_id("meeting-title")).to_have_text(title)
    token = demo.token("county", "commander")
    listed = call(demo.url("county", "/api/v1/conferences"), token=token).json["conferences"]
    assert [one["title"] for one in listed].count(title) == 1
    end_meeting(county)
    expect(county.get_by_test_id("meeting-title")).not_to_have_text(title)


def pin(page: Page, name: str) -> None:
    choice = page.get_by_test_id("meeting-watch")
    option = choice.locator("option", has_text=name)
    expect(option).to_have_count(1)
    choice.select_option(value=str(option.get_attribute("value")))


def test_a_village_chooses_whom_it_watches(village: Page) -> None:
    clear(village)
    for name in ("镇政府广场摄像头", "湘江水位摄像头", "镇政府广场摄像头"):
        pin(village, name)
        expect(village.locator(tile(village, name))).to_be_visible()
        assert len(watch(village, f"{tile(village, name)} video", pictures=3)) == 3


def test_a_county_pins_a_site_and_gives_the_choice_back(county: Page) -> None:
    name = "镇政府广场摄像头"
    choice = county.get_by_test_id("meeting-watch")
    pin(county, name)
    first = county.locator('[data-testid="tiles"] figure').first
    expect(first).to_have_attribute("data-name", name)
    choice.select_option(value="")
    expect(choice).to_have_value("")
    expect(county.get_by_test_id("meeting-tile")).to_have_count(2)


FRAMES_AND_METERS = """() => [...document.querySelectorAll('[data-testid="meeting-tile"]')]
  .map((tile) => [tile, tile.querySelector('[data-testid="quality"]')])
  .filter(([, meter]) => meter)
  .map((pair) => pair.map((element) => element.getBoundingClientRect().toJSON()))"""
"""Measured in one breath: the wall may be laid out anew at any moment."""


def test_the_meter_of_every_picture_stands_clear_of_its_edge(county: Page) -> None:
    expect(county.get_by_test_id("quality").nth(1)).to_be_visible()
    for frame, meter in county.evaluate(FRAMES_AND_METERS):
        assert meter["y"] - frame["y"] >= 3, "the border of who speaks would cover it"
        assert meter["height"] >= 20
        assert meter["x"] + meter["width"] <= frame["x"] + frame["width"]


def test_a_shared_screen_of_the_village_moves_at_the_county(demo: Demo, county: Page, village: Page) -> None:
    title = f"辅流 {uuid.uuid4().hex[:6]}"
    with convened(demo, title):
        clear(village)
        for page in (county, village):
            page.get_by_test_id("leave").click()
            enter(page, title)
        village.get_by_test_id("share-toggle").click()
        expect(village.get_by_test_id("share-toggle")).to_have_text("停止共享")
        shared = county.get_by_test_id("meeting-tile").filter(has_text="辅流")
        expect(shared).to_be_visible()
        assert len(watch(county, f"{tile(county, '赵')} video", pictures=2)) == 2
        village.get_by_test_id("share-toggle").click()
        expect(village.get_by_test_id("share-toggle")).to_have_text("共享屏幕")
        expect(shared).to_have_count(0)


# ---- alarms --------------------------------------------------------------------------------------


def test_an_alarm_whose_answer_was_lost_is_one_alarm_when_sent_again(county: Page, village: Page) -> None:
    text = f"断线报警 {uuid.uuid4().hex[:6]}"
    clear(village)
    lose_first_answer(village, "alarms")
    village.get_by_test_id("alarm-open").click()
    village.get_by_test_id("alarm-text").fill(text)
    village.get_by_test_id("alarm-submit").click()
    expect(village.get_by_test_id("alarm-form")).to_be_hidden()
    expect(village.get_by_test_id("reports-waiting")).to_be_visible()
    expect(county.get_by_test_id("alarm-card").filter(has_text=text)).to_have_count(1)
    expect(village.get_by_test_id("reports-waiting")).to_be_hidden(timeout=60_000)  # sent again by itself
    expect(county.get_by_test_id("alarm-card").filter(has_text=text)).to_have_count(1)
    expect(village.get_by_test_id("alarm-card").filter(has_text=text)).to_have_count(1)


def test_a_new_alarm_strikes_one_bell_on_both_pages(demo: Demo, county: Page, village: Page) -> None:
    text = f"听得见 {uuid.uuid4().hex[:6]}"
    clear(village)
    for page in (county, village):
        page.evaluate(LISTEN)
        page.locator("body").click(position={"x": 2, "y": 2})
    alarm = {"kind": text, "text": text, "urgency": "P1"}  # a kind of its own, and so a card of its own
    body, kind = multipart(
        {"alarm": ("application/json", json.dumps(alarm).encode()), "snapshot": ("image/jpeg", jpeg())}
    )
    token = demo.token("village", "terminal")
    raised = call(demo.url("village", "/api/v1/alarms"), method="POST", token=token, body=body, Content_Type=kind)
    assert raised.status == 201
    for page in (county, village):
        card = page.get_by_test_id("alarm-card").filter(has_text=text)
        expect(card.get_by_test_id("alarm-picture")).to_be_visible()
        page.wait_for_function("() => window.__sounds.length > 0")
        assert page.evaluate("window.__sounds") == ["bell"]
    confirm(demo, raised.json["id"])  # else its first clock may run out meanwhile, and that rings
    village.reload()
    village.evaluate(LISTEN)
    expect(village.get_by_test_id("alarm-card").filter(has_text=text)).to_have_count(1)
    village.locator("body").click(position={"x": 2, "y": 2})
    assert village.evaluate("window.__sounds") == []


def confirm(demo: Demo, alarm: str) -> None:
    said = {"state": "confirmed", "note": "已核实"}
    url = demo.url("county", f"/api/v1/alarms/{alarm}/advance")
    assert send_json(url, said, token=demo.token("county", "commander")).status == 200


# ---- signing in, language, audit -----------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A county of its own whose accounts file was made with ``wuji password``."""
    folder = tmp_path_factory.mktemp("accounts")
    made = subprocess.run(
        [sys.executable, "-m", "gateway", "password"],
        input="Heng-Shan-119\n" * 2,
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
        timeout=60,
    )
    stored = made.stdout.rpartition("scrypt$")[2].strip()
    accounts = folder / "accounts.toml"
    rows = [("刘建国", "commander"), ("八里村终端", "terminal")]
    accounts.write_text(
        "".join(
            f'[[account]]\nname = "{name}"\nrole = "{role}"\ndivision = "{COUNTY}"\npassword = "scrypt${stored}"\n'
            for name, role in rows
        ),
        encoding="utf-8",
    )
    with running(folder, auth={"accounts_file": str(accounts)}) as node:
        yield node


def attempt(page: Page, name: str, password: str) -> None:
    page.get_by_test_id("signin-name").fill(name)
    page.get_by_test_id("signin-password").fill(password)
    page.get_by_test_id("signin-submit").click()


def test_a_wrong_password_is_refused_and_the_right_one_opens_the_console(own: Node, browsers: Browsers) -> None:
    page = browsers.open(own.url("/"))
    attempt(page, "刘建国", "Heng-Shan-110")
    expect(page.get_by_test_id("signin-error")).to_contain_text("姓名或口令不对")
    attempt(page, "刘建国", "Heng-Shan-119")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    expect(page.get_by_test_id("issue-open")).to_be_visible()
    assert "119" not in page.url
    page.context.close()


def test_a_terminals_password_opens_the_terminal_page(own: Node, browsers: Browsers) -> None:
    page = browsers.open(own.url("/"))
    attempt(page, "八里村终端", "Heng-Shan-119")
    page.get_by_test_id("enter-duty").click()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    page.get_by_test_id("sign-out").click()
    expect(page.get_by_test_id("signin-form")).to_be_visible()
    page.context.close()


def test_the_pages_speak_english_when_asked(own: Node, browsers: Browsers, county: Page, village: Page) -> None:
    first = browsers.open(own.url("/"))
    first.get_by_test_id("language").click()
    expect(first.locator("html")).to_have_attribute("lang", "en")
    assert CHINESE.search(first.locator("form").inner_text().replace("中文", "")) is None
    first.context.close()

    county.get_by_test_id("language").click()
    expect(county.get_by_test_id("issue-open")).to_have_text("Issue a directive")
    headings = county.locator("section:not(.wall) h2").all_inner_texts()
    assert len(headings) >= 4
    assert [text for text in headings if CHINESE.search(text)] == []
    buttons = county.locator("nav button, .controls button, .snap").all_inner_texts()
    assert [text for text in buttons if CHINESE.search(text) and text != "中文"] == []

    clear(village)
    village.get_by_test_id("language").click()
    expect(village.locator("html")).to_have_attribute("lang", "en")
    words = village.locator("h2, header button, .controls button").all_inner_texts()
    assert len(words) >= 6
    assert [text for text in words if CHINESE.search(text) and text != "中文"] == []
    village.reload()
    expect(village.locator("html")).to_have_attribute("lang", "en")
    expect(village.get_by_test_id("alarm-open")).not_to_have_text(CHINESE)


def test_an_auditor_reads_with_a_reason_and_is_read_himself(demo: Demo, browsers: Browsers, artifacts: Path) -> None:
    page = console(browsers, demo, "county", "auditor")
    reason = f"例行检查 {uuid.uuid4().hex[:6]}"
    expect(page.get_by_test_id("audit")).to_be_visible()
    expect(page.get_by_test_id("audit-open")).to_be_disabled()
    for absent in ("issue-open", "convene-open", "recall"):
        expect(page.get_by_test_id(absent)).to_have_count(0)
    page.get_by_test_id("audit-reason").fill(reason)
    page.get_by_test_id("audit-open").click()
    expect(page.locator('[data-testid="audit-row"][data-kind="conference_convened"]').first).to_be_visible()
    page.get_by_test_id("audit-open").click()
    more = page.get_by_test_id("audit-more")
    trace = page.locator('[data-testid="audit-row"][data-kind="audit_read"]').filter(has_text=reason)
    while trace.count() == 0 and more.count():
        more.click()
        expect(more.or_(trace).first).to_be_enabled()
    expect(trace.first).to_contain_text("县审计员")
    page.screenshot(path=artifacts / "county-audit.png")
    page.get_by_test_id("view-audit").click()
    page.get_by_test_id("join").first.click()
    expect(page.get_by_test_id("meeting-tile").first).to_be_visible()
    expect(page.get_by_test_id("camera-toggle")).to_have_count(0)
    page.context.close()


def test_an_administrator_is_offered_nothing_that_would_be_refused(demo: Demo, browsers: Browsers) -> None:
    page = console(browsers, demo, "county", "admin")
    expect(page.get_by_test_id("view-audit")).to_be_visible()
    expect(page.get_by_test_id("meeting-tile").first).to_be_visible()
    for absent in ("issue-open", "convene-open", "tile-snapshot", "camera-toggle", "meeting-end"):
        expect(page.get_by_test_id(absent)).to_have_count(0)
    page.context.close()


# ---- a gateway that dies -------------------------------------------------------------------------


def test_a_village_page_says_it_reconnects_and_watches_the_same_site_again(demo: Demo, village: Page) -> None:
    clear(village)
    name = "镇政府广场摄像头"
    pin(village, name)
    assert len(watch(village, f"{tile(village, name)} video", pictures=2)) == 2
    peers = village.evaluate("window.__peers.length")
    village.evaluate(NOTICE)
    old = demo.kill("village")
    village.wait_for_function("() => window.__banner")
    assert "正在重连" in village.evaluate("window.__banner")
    until(lambda: demo.restarted("village", old), what="the demo never started the village again")
    expect(village.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    expect(village.get_by_test_id("reconnecting")).to_be_hidden()
    village.wait_for_function("n => window.__peers.length > n", arg=peers)
    expect(village.locator(tile(village, name))).to_be_visible()
    assert len(watch(village, f"{tile(village, name)} video", pictures=3)) == 3
    expect(village.get_by_test_id("meeting-recovering")).to_have_count(0)
