"""A photo on a slow phone: nothing that was chosen is left behind, and a closed form stays closed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.desks import clear, terminal
from tests.e2e.running import call, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.browser import Browsers
    from tests.e2e.running import Demo

SLOW_PHONE = """
const decode = window.createImageBitmap.bind(window);
window.__decoding = [];
window.createImageBitmap = (file) => new Promise((ready) => window.__decoding.push(() => ready(decode(file))));
"""
"""Photos wait for ``DECODE``."""
DECODE = "() => window.__decoding.splice(0).forEach((go) => go())"
DECODING = "() => window.__decoding.length"


@pytest.fixture
def slow(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = terminal(browsers, demo, "village", SLOW_PHONE)
    clear(page)
    yield page
    page.context.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.radial_gradient("L").convert("RGB").resize((800, 600)).save(path)
    return path


def fill(page: Page, text: str, photo: Path) -> None:
    """Write an alarm and choose its photo; the phone goes on looking at it."""
    page.get_by_test_id("alarm-open").click()
    page.get_by_test_id("alarm-text").fill(text)
    page.get_by_test_id("alarm-photo").set_input_files(photo)
    until(lambda: page.evaluate(DECODING), what="the photo was not looked at")


def alarms(demo: Demo, text: str) -> list[object]:
    answer = call(demo.url("village", "/api/v1/alarms"), token=demo.token("village", "terminal"))
    return [one for one in answer.json["alarms"] if text in str(one)]


def test_a_photo_chosen_just_before_sending_goes_with_the_alarm(demo: Demo, slow: Page, photo: Path) -> None:
    text = f"河堤渗水 {uuid.uuid4().hex[:6]}"
    fill(slow, text, photo)
    slow.get_by_test_id("alarm-submit").click()
    expect(slow.get_by_test_id("alarm-submit")).to_be_disabled()
    assert alarms(demo, text) == []
    slow.evaluate(DECODE)
    expect(slow.get_by_test_id("alarm-form")).to_be_hidden()
    card = slow.get_by_test_id("alarm-card").filter(has_text=text)
    expect(card.get_by_test_id("alarm-picture")).to_be_visible()


def test_what_is_no_photo_is_said_before_anything_is_sent(demo: Demo, slow: Page, tmp_path: Path) -> None:
    text = f"桥面裂缝 {uuid.uuid4().hex[:6]}"
    (tmp_path / "photo.jpg").write_bytes(b"not a photo")
    fill(slow, text, tmp_path / "photo.jpg")
    slow.get_by_test_id("alarm-submit").click()
    slow.evaluate(DECODE)
    expect(slow.get_by_test_id("alarm-error")).to_be_visible()
    assert alarms(demo, text) == []
    slow.get_by_test_id("alarm-submit").click()
    expect(slow.get_by_test_id("alarm-form")).to_be_hidden()
    expect(slow.get_by_test_id("alarm-card").filter(has_text=text)).to_be_visible()


def test_a_form_closed_while_its_photo_was_read_stays_closed(slow: Page, photo: Path) -> None:
    fill(slow, "不报了", photo)
    slow.get_by_test_id("alarm-form").get_by_role("button", name="取消").click()
    expect(slow.get_by_test_id("alarm-form")).to_be_hidden()
    slow.evaluate(DECODE)
    fill(slow, "另一件", photo)
    assert slow.get_by_test_id("alarm-form").locator("img").count() == 0
    slow.evaluate(DECODE)
    expect(slow.get_by_test_id("alarm-form").locator("img")).to_be_visible()
