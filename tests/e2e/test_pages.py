"""The pages as people use them, in Chromium: a meeting over five tiers, a directive, an alarm, a snapshot."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.browser import inbound_video, watch
from tests.e2e.clips import Likeness, likeness, path_of, thumbnails
from tests.e2e.desks import clear, console, front, issue, sign, terminal
from tests.e2e.running import VILLAGE, call, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo


CLIP_FRAMES = 100
_TIME = re.compile(r"\d{1,2}:\d{2}")


@pytest.fixture(scope="module")
def county(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = console(browsers, demo, "county")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def village(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village")
    clear(page)
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def province(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = console(browsers, demo, "province")
    yield page
    page.context.close()


def tile_of(page: Page, part: str) -> str:
    """Return a selector of the video of the participant whose name contains ``part``, once there is one."""
    tile = f'[data-testid="meeting-tile"][data-name*="{part}"]'
    page.wait_for_selector(tile)
    return f"{tile} video"


def likeness_to_camera(seen: list[list[int]]) -> Likeness:
    """Return how well pictures match the browsers' camera, and a clip that has nothing to do with it."""
    own = thumbnails(path_of("bikes.mp4"), frames=CLIP_FRAMES)
    return likeness(seen, own, thumbnails(path_of("bigbuckbunny.mp4"), frames=125))


def test_the_first_page_opened_shows_moving_pictures_of_both_cameras(county: Page, artifacts: Path) -> None:
    tiles = county.get_by_test_id("meeting-tile")
    expect(tiles.nth(1)).to_be_visible()
    names = tiles.evaluate_all("nodes => nodes.map(n => n.dataset.name)")
    for name in names[:2]:
        assert len(watch(county, tile_of(county, name), pictures=4)) == 4
    county.screenshot(path=artifacts / "county-live.png")


def test_the_villages_camera_is_seen_at_the_province(village: Page, province: Page, artifacts: Path) -> None:
    village.get_by_test_id("camera-toggle").click()
    selector = tile_of(province, "赵")
    seen = watch(province, selector, pictures=12)
    match = likeness_to_camera(seen)
    province.screenshot(path=artifacts / "province-sees-village.png")
    village.screenshot(path=artifacts / "village-meeting.png")
    assert match.own > 0.9
    assert match.own > match.other + 0.1
    until(lambda: inbound_video(province)["framesDecoded"] > 60, what="pictures went on")


def test_the_province_is_seen_at_the_village(village: Page, province: Page, artifacts: Path) -> None:
    province.get_by_test_id("camera-toggle").click()
    choice = village.get_by_test_id("meeting-watch")
    option = choice.locator("option", has_text="省指挥长")
    expect(option).to_be_attached()
    choice.select_option(value=str(option.get_attribute("value")))
    seen = watch(village, tile_of(village, "省指挥长"), pictures=12)
    village.screenshot(path=artifacts / "village-sees-province.png")
    match = likeness_to_camera(seen)
    assert match.own > 0.9
    assert match.own > match.other + 0.1


def test_a_directive_rings_is_signed_and_fills_the_matrix(county: Page, village: Page, artifacts: Path) -> None:
    county.get_by_test_id("issue-open").click()
    template = county.get_by_test_id("template")
    template.select_option(index=1)
    county.get_by_test_id("urgency-P1").click()
    county.get_by_test_id("scope-all").click()
    county.screenshot(path=artifacts / "county-issue.png")
    county.get_by_test_id("issue").click()
    expect(county.get_by_test_id("issued")).to_be_visible()
    expect(county.get_by_test_id("issued")).to_contain_text("已签发")

    matrix = county.get_by_test_id("matrix")
    directive = str(matrix.get_attribute("data-directive"))
    overlay = front(village, directive)
    village.screenshot(path=artifacts / "village-directive.png")
    row = matrix.get_by_test_id(f"matrix-row-{VILLAGE}")
    expect(row.get_by_test_id("matrix-shown")).to_have_text(_TIME)
    overlay.get_by_test_id("sign-name").fill("赵大山")
    overlay.get_by_test_id("directive-sign").click()
    expect(overlay).to_be_hidden()
    expect(row.get_by_test_id("matrix-signed")).to_contain_text("赵大山")
    expect(row.get_by_test_id("matrix-delivered")).to_have_text(_TIME)
    county.screenshot(path=artifacts / "county-matrix.png")


def test_a_reload_does_not_ring_again(county: Page, village: Page) -> None:
    directive = issue(county, "刷新不再响铃", VILLAGE)
    sign(village, directive, "赵大山")
    village.reload()
    expect(village.locator(f'[data-testid="directive-row"][data-directive="{directive}"]')).to_be_visible()
    expect(village.get_by_test_id("directive-overlay")).to_be_hidden()


def test_a_snapshot_of_a_live_picture_becomes_an_alarm_everywhere(
    county: Page, province: Page, village: Page, artifacts: Path
) -> None:
    before = {page: page.get_by_test_id("alarm-card").count() for page in (county, province)}
    tile = county.get_by_test_id("meeting-tile").first
    tile.hover()
    tile.get_by_test_id("tile-snapshot").click()
    for page in (county, province):
        expect(page.get_by_test_id("alarm-card")).to_have_count(before[page] + 1)
        picture = page.get_by_test_id("alarm-card").first.get_by_test_id("alarm-picture")
        expect(picture).to_be_visible()
        until(
            lambda picture=picture: picture.evaluate("image => image.naturalWidth"),
            what="the picture never loaded",
        )
    county.screenshot(path=artifacts / "county-alarm.png")
    province.screenshot(path=artifacts / "province-alarm.png")


def test_a_photo_from_the_village_page_arrives_at_the_province(
    village: Page, province: Page, artifacts: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.jpg"
    Image.radial_gradient("L").convert("RGB").resize((800, 600)).save(photo)
    village.get_by_test_id("alarm-open").click()
    village.get_by_test_id("alarm-text").fill("河堤有裂缝")
    village.get_by_test_id("alarm-photo").set_input_files(photo)
    village.get_by_test_id("alarm-submit").click()
    card = province.locator(f'[data-testid="alarm-card"][data-place="{VILLAGE}"]').filter(has_text="河堤有裂缝")
    expect(card).to_be_visible()
    expect(card.get_by_test_id("alarm-picture")).to_be_visible()
    province.screenshot(path=artifacts / "province-photo.png")


def test_a_page_that_only_listens_gets_no_pictures_until_it_wants_them_again(
    demo: Demo, village: Page, artifacts: Path
) -> None:
    def coming() -> float:
        """Return how many tracks come to the village over its link."""
        lines = call(demo.url("village", "/metrics")).body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('wuji_link_tracks{direction="in"}'))

    assert len(watch(village, '[data-testid="meeting-tile"] video', pictures=2)) == 2
    until(lambda: coming() > 0, what="no picture came over the village's link")
    before = coming()
    village.get_by_test_id("audio-only").click()
    expect(village.get_by_test_id("audio-only-on").first).to_be_visible()
    until(lambda: coming() < before, what="the picture kept coming")
    village.screenshot(path=artifacts / "village-audio-only.png")
    village.reload()
    expect(village.get_by_test_id("audio-only-on")).to_be_visible()
    expect(village.get_by_test_id("meeting-tile")).to_be_visible()
    village.get_by_test_id("audio-only").click()
    expect(village.get_by_test_id("audio-only-on")).to_be_hidden()
    assert len(watch(village, '[data-testid="meeting-tile"] video', pictures=3)) == 3


def narrow(message: str, how: str = "paused") -> str:
    """Return what the gateway would say were there no room for any picture, or only for thumbnails."""
    said = json.loads(message)
    if said["type"] in ("joined", "slots"):
        said["slots"] = [{**slot, how: slot["kind"] == "video"} for slot in said["slots"]]
    return json.dumps(said)


def test_a_picture_that_comes_every_few_seconds_is_shown_with_a_plain_sentence(village: Page, artifacts: Path) -> None:
    def between(page_side: WebSocketRoute) -> None:
        gateway_side = page_side.connect_to_server()
        gateway_side.on_message(lambda message: page_side.send(narrow(str(message), "thumbnails")))

    village.route_web_socket("**/ws", between)
    village.reload()
    tile = village.get_by_test_id("meeting-tile").first
    expect(tile.get_by_test_id("tile-thumbnails")).to_have_text("网络差，画面每隔几秒更新一次，声音继续")
    expect(tile.get_by_test_id("tile-paused")).to_have_count(0)
    expect(village.get_by_test_id("narrow")).to_have_count(0)
    village.screenshot(path=artifacts / "village-thumbnails.png")


def test_a_picture_the_line_has_no_room_for_is_named_in_a_plain_sentence(village: Page, artifacts: Path) -> None:
    def between(page_side: WebSocketRoute) -> None:
        gateway_side = page_side.connect_to_server()
        gateway_side.on_message(lambda message: page_side.send(narrow(str(message))))

    village.route_web_socket("**/ws", between)
    village.reload()
    tile = village.get_by_test_id("meeting-tile").first
    expect(tile.get_by_test_id("tile-paused")).to_have_text("网络差，画面已暂停，声音继续")
    expect(village.get_by_test_id("narrow")).to_contain_text("已暂停 1 个画面")
    expect(village.get_by_test_id("rates")).to_contain_text("kbit/s")
    village.screenshot(path=artifacts / "village-paused.png")
