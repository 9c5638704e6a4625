"""Office work at the county: drafts that come back, a duty roster, and what is let out to the public."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from signaling import cap
from tests.e2e.desks import draft, front, issue, issued, terminal, tick
from tests.e2e.running import TOWNSHIP, VILLAGE, call, send_json, until

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo

COMMANDER = "县指挥长 刘建国"
"""Who is signed in at the county's console."""
NEVER_BY_ITSELF = "{ const every = window.setInterval; window.setInterval = (f, ms) => ms < 60000 ? every(f, ms) : 0 }"
"""What a page asks for once a minute it does not ask for: it knows only what it is told."""


def post(demo: Demo, token: str, path: str, body: object) -> Any:
    answer = send_json(demo.url("county", f"/api/v1/{path}"), body, token=token)
    assert answer.status in (200, 201), answer.json
    return answer.json


def order(title: str, text: str) -> dict[str, Any]:
    scope = [{"node": VILLAGE, "mode": "self"}]
    return {"click_id": uuid.uuid4().hex, "urgency": "P1", "title": title, "text": text, "scope": scope}


def row(county: Page, title: str) -> Locator:
    return county.get_by_test_id("draft-row").filter(has_text=title)


def answer_dialog(county: Page, text: str | None = None) -> None:
    if text is not None:
        county.locator(".el-message-box__input input").fill(text)
    county.locator(".el-message-box__btns .el-button--primary").click()


def test_a_draft_is_kept_opened_again_and_issued(demo: Demo, county: Page, artifacts: Path) -> None:
    title = f"拟稿 {uuid.uuid4().hex[:6]}"
    tick(county, VILLAGE)
    draft(county, title)
    county.get_by_test_id("draft-save").click()
    expect(row(county, title)).to_have_attribute("data-revision", "1")
    county.get_by_test_id("issue-close").click()
    county.get_by_test_id("places-clear").click()
    row(county, title).get_by_test_id("draft-open").click()
    expect(county.get_by_test_id("issue-text")).to_have_value("请立即办理")
    county.get_by_test_id("issue-text").fill("请于今晚办理")
    draft_id = str(row(county, title).get_attribute("data-draft"))
    elsewhere = demo.token("county", "commander", name=COMMANDER)  # the same person in another window
    body = {"revision": 1, "request": order(title, "请于明早办理")}
    assert post(demo, elsewhere, f"drafts/{draft_id}/edit", body)["revision"] == 2
    newer = county.get_by_test_id("draft-newer")
    expect(newer.locator("del")).to_have_text("明早")
    expect(newer.locator("ins")).to_have_text("今晚")
    expect(county.get_by_test_id("issue")).to_be_disabled()
    county.screenshot(path=artifacts / "county-draft-newer.png")
    county.get_by_test_id("draft-keep-mine").click()
    county.get_by_test_id("draft-save").click()
    expect(row(county, title)).to_have_attribute("data-revision", "3")
    county.get_by_test_id("issue").click()
    directive = issued(county, title)
    assert directive == draft_id
    expect(row(county, title)).to_have_count(0)
    expect(county.get_by_test_id("matrix")).to_contain_text("请于今晚办理")


def test_whoever_approves_reads_what_changed_since_it_was_returned(demo: Demo, county: Page, artifacts: Path) -> None:
    title = f"送审 {uuid.uuid4().hex[:6]}"
    author = demo.token("county", "commander", name="王科长")
    request = order(title, "请到村部集合")
    draft_id = post(demo, author, "drafts", request)["id"]
    post(demo, author, f"drafts/{draft_id}/submit", {"revision": 1})
    row(county, title).get_by_test_id("draft-review").click()
    full = county.get_by_test_id("draft-full")
    expect(full.get_by_test_id("draft-text")).to_have_text("请到村部集合")
    full.get_by_test_id("draft-return").click()
    answer_dialog(county, "村部进水")
    expect(row(county, title)).to_contain_text("村部进水")
    changed = request | {"text": "请到学校集合"}
    post(demo, author, f"drafts/{draft_id}/edit", {"revision": 1, "request": changed})
    post(demo, author, f"drafts/{draft_id}/submit", {"revision": 2})
    expect(row(county, title)).to_have_attribute("data-state", "pending")
    row(county, title).get_by_test_id("draft-review").click()
    expect(full).to_have_attribute("data-revision", "2")
    expect(full.get_by_test_id("draft-text").locator("del")).to_have_text("村部")
    expect(full.get_by_test_id("draft-text").locator("ins")).to_have_text("学校")
    county.screenshot(path=artifacts / "county-draft-review.png")
    full.get_by_test_id("draft-approve").click()
    expect(full).to_be_hidden()
    line = county.get_by_test_id("directive-row").filter(has_text=title)
    expect(line).to_have_attribute("data-directive", draft_id)


def test_the_roster_says_who_is_missing_until_somebody_is_put_on_duty(county: Page, artifacts: Path) -> None:
    county.get_by_test_id("roster-open").click()
    county.get_by_test_id("roster-search").fill("八里村")
    place = county.get_by_test_id(f"roster-{VILLAGE}")
    expect(place).to_have_attribute("data-missing", "true")
    place.locator("button").first.click()
    editor = place.get_by_test_id("roster-editor")
    expect(editor.get_by_test_id("roster-post")).to_have_value("值班员")
    editor.get_by_test_id("roster-person").fill("周主任")
    editor.get_by_test_id("roster-hours-24").click()
    editor.get_by_test_id("roster-set").click()
    expect(editor.get_by_test_id("roster-shift")).to_contain_text("周主任")
    expect(place.locator('[data-post="值班员"]')).to_contain_text("周主任 至")
    expect(place.get_by_test_id("roster-gap")).to_have_count(1)  # the shift began before now: it ends within the day
    end = editor.get_by_test_id("roster-to").input_value()
    editor.get_by_test_id("roster-from").fill(end)
    editor.get_by_test_id("roster-hours-24").click()
    editor.get_by_test_id("roster-person").fill("吴书记")
    editor.get_by_test_id("roster-set").click()
    expect(place).to_have_attribute("data-missing", "false")
    county.get_by_test_id("roster-panel").screenshot(path=artifacts / "county-roster.png")
    editor.get_by_test_id("roster-shift").filter(has_text="吴书记").get_by_test_id("roster-remove").click()
    expect(editor.get_by_test_id("roster-shift")).to_have_count(1)
    expect(place).to_have_attribute("data-missing", "true")
    editor.get_by_test_id("roster-remove").click()
    expect(editor.get_by_test_id("roster-shift")).to_have_count(0)
    county.get_by_test_id("roster-close").click()


def test_of_two_officers_put_on_duty_at_two_desks_either_signs_at_the_village(
    demo: Demo, browsers: Browsers, artifacts: Path
) -> None:
    county = browsers.open(demo.link("county", "commander"), script=NEVER_BY_ITSELF)
    county.get_by_test_id("roster-open").click()
    county.get_by_test_id("roster-search").fill("八里村")
    place = county.get_by_test_id(f"roster-{VILLAGE}")
    place.locator("button").first.click()
    editor = place.get_by_test_id("roster-editor")
    editor.get_by_test_id("roster-person").fill("周主任")
    editor.get_by_test_id("roster-phone").fill("+8613800001234")
    editor.get_by_test_id("roster-set").click()
    expect(editor.get_by_test_id("roster-number")).to_have_text("+8613800001234")
    elsewhere = demo.token("county", "commander", name="李科长")
    (first,) = call(demo.url("county", f"/api/v1/roster?division={VILLAGE}"), token=elsewhere).json["shifts"]
    post(demo, elsewhere, "roster", {"division": VILLAGE, **first, "person": "吴书记", "change": "joins"})
    officers = place.locator('[data-post="值班员"]')
    expect(officers).to_contain_text("吴书记 至")
    expect(officers).to_contain_text("周主任 至")
    expect(editor.get_by_test_id("roster-shift")).to_have_count(2)
    county.get_by_test_id("roster-panel").screenshot(path=artifacts / "county-roster-two.png")
    scope = [{"node": VILLAGE, "mode": "self", "post": "值班员"}]
    directive = post(
        demo, elsewhere, "directives", order(f"两人值班 {uuid.uuid4().hex[:6]}", "请签收") | {"scope": scope}
    )["id"]
    village = terminal(browsers, demo, "village")
    overlay = front(village, directive)
    expect(overlay.get_by_test_id("sign-name").locator("option")).to_have_text(["", "周主任", "吴书记"])
    overlay.get_by_test_id("sign-name").select_option("吴书记")
    expect(overlay.get_by_test_id("sign-name")).to_have_css("color", "rgb(20, 32, 46)")  # not the white of the overlay
    village.screenshot(path=artifacts / "village-two-on-duty.png")
    overlay.get_by_test_id("directive-sign").click()
    expect(village.locator(f'[data-testid="directive-overlay"][data-directive="{directive}"]')).to_be_hidden()
    village.context.close()
    for person in ("吴书记", "周主任"):
        editor.get_by_test_id("roster-shift").filter(has_text=person).get_by_test_id("roster-remove").click()
        expect(editor.get_by_test_id("roster-shift").filter(has_text=person)).to_have_count(0)
    county.get_by_test_id("roster-close").click()
    county.locator(f'[data-testid="directive-row"][data-directive="{directive}"]').click()
    signed = county.get_by_test_id(f"matrix-row-{VILLAGE}").get_by_test_id("matrix-signed")
    expect(signed).to_contain_text("吴书记")
    county.context.close()


def test_what_is_let_out_is_cancelled_when_recalled_and_an_exercise_never_leaves(demo: Demo, county: Page) -> None:
    drill = f"演练发布 {uuid.uuid4().hex[:6]}"
    tick(county, VILLAGE)
    draft(county, drill)
    county.get_by_test_id("issue-exercise").click()
    county.get_by_test_id("issue").click()
    exercise = issued(county, drill)
    directive = issue(county, f"对外发布 {uuid.uuid4().hex[:6]}", VILLAGE, TOWNSHIP)
    county.get_by_test_id("release-open").click()
    answer_dialog(county)
    released = county.get_by_test_id("released")
    expect(released).to_have_attribute("data-kind", "Alert")
    expect(released).to_contain_text("已送出")
    assert identifiers(demo) >= {f"{directive}.public"}
    county.locator(".matrix-text summary").click()
    county.get_by_test_id("recall").click()
    answer_dialog(county, "雨停")
    expect(released).to_have_attribute("data-kind", "Cancel")
    until(lambda: f"{directive}.public.recalled" in identifiers(demo), what="the public was never told")
    expect(released).to_contain_text("已送出")
    expect(county.get_by_test_id("release-open")).to_have_count(0)
    county.locator(f'[data-testid="directive-row"][data-directive="{exercise}"]').click()
    expect(county.locator(f'[data-testid="matrix"][data-directive="{exercise}"]')).to_be_visible()
    expect(county.get_by_test_id("release")).to_have_count(0)
    refused = send_json(
        demo.url("county", f"/api/v1/directives/{exercise}/release"),
        {},
        token=demo.token("county", "commander", name=COMMANDER),
    )
    assert refused.json["code"] == "exercise"
    assert not [one for one in identifiers(demo) if one.startswith(exercise)]


def identifiers(demo: Demo) -> set[str]:
    """Return what lies in the county's folder for the public, by the identifiers in the messages."""
    folder = demo.folder / "county" / "released"
    return {cap.parse(path.read_bytes()).identifier for path in folder.glob("*.xml")}


def test_a_form_that_was_begun_is_still_there_after_a_look_elsewhere(county: Page) -> None:
    county.get_by_test_id("issue-open").click()
    county.get_by_test_id("issue-title").fill("写到一半")
    county.get_by_test_id("roster-open").click()
    expect(county.get_by_test_id("issue-panel")).to_be_hidden()
    county.get_by_test_id("issue-open").click()
    expect(county.get_by_test_id("issue-title")).to_have_value("写到一半")
    county.get_by_test_id("issue-close").click()
    county.get_by_test_id("issue-open").click()
    expect(county.get_by_test_id("issue-title")).to_have_value("")
    county.get_by_test_id("issue-close").click()
