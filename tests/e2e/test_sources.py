"""The registry on the console: 8,276 points from a file, looked for, disarmed, and one seen through its camera."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Page, expect

from signaling.records import Role
from tests.support.camera import Camera, beside, coded, h264
from tests.support.node import Node, running
from tests.support.places import COUNTY, VILLAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.browser import Browsers

POINTS = 8_276
HEAD = "source,place,kind,longitude,latitude,camera\n"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    cameras = {"networks": ["127.0.0.0/8"], "local": True, "deadline_s": 60.0}
    with running(tmp_path_factory.mktemp("own"), cameras=cameras) as node:
        yield node


def opened(own: Node, browsers: Browsers, role: Role) -> Page:
    """The panel as somebody in ``role`` sees it."""
    page = browsers.open(own.url(f"/#code={own.link(role, name=role)}"))
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    page.get_by_test_id("sources-open").click()
    expect(page.get_by_test_id("sources-panel")).to_be_visible()
    return page


def test_a_registry_is_loaded_looked_through_disarmed_and_seen(
    own: Node, browsers: Browsers, tmp_path: Path, artifacts: Path
) -> None:
    file, wrong = tmp_path / "sources.csv", tmp_path / "wrong.csv"
    wrong.write_text(f"{HEAD}好的,{COUNTY},door,,,\n坏的,1,door,,,\n")
    with beside(Camera(h264(coded("libx264")), login=("admin", "hunter2"))) as port:
        lines = [f"烟感-{n:04},{VILLAGE if n % 2 else COUNTY},smoke,,," for n in range(POINTS - 1)]
        lines.append(f"粮库门,{VILLAGE},door,,,rtsp://admin:hunter2@127.0.0.1:{port}/live")
        file.write_text(HEAD + "\n".join(lines))

        admin = opened(own, browsers, Role.ADMIN)
        admin.get_by_test_id("sources-file").set_input_files(wrong)
        expect(admin.get_by_test_id("sources-wrong")).to_contain_text("line 3")
        expect(admin.get_by_test_id("sources-page")).to_have_text("0–0 / 0")
        admin.get_by_test_id("sources-file").set_input_files(file)
        expect(admin.get_by_test_id("sources-page")).to_have_text(f"1–50 / {POINTS}")
        expect(admin.get_by_test_id("sources-wrong")).to_be_hidden()
        expect(admin.get_by_test_id("source-arm")).to_have_count(0)
        admin.context.close()

        page = opened(own, browsers, Role.COMMANDER)
        rows = page.get_by_test_id("source-row")
        expect(rows).to_have_count(50)
        expect(page.get_by_test_id("sources-file")).to_have_count(0)
        page.get_by_test_id("sources-on").click()
        expect(page.get_by_test_id("sources-page")).to_have_text(f"51–100 / {POINTS}")
        page.get_by_test_id("sources-search").fill("烟感-8274")
        expect(page.get_by_test_id("sources-page")).to_have_text("1–1 / 1")

        rows.get_by_test_id("source-arm").click()
        page.locator(".el-message-box__input input").fill("检修")
        page.locator(".el-message-box__btns .el-button--primary").click()
        expect(rows).to_have_attribute("data-armed", "false")
        rows.get_by_test_id("source-arm").click()
        expect(rows).to_have_attribute("data-armed", "true")

        page.get_by_test_id("sources-search").fill("粮库")
        expect(rows).to_have_attribute("data-source", "粮库门")
        page.get_by_test_id("source-look").click()
        picture = page.get_by_test_id("sources-look").locator("img")
        expect(picture).to_have_js_property("naturalWidth", 320)
        page.screenshot(path=artifacts / "county-sources.png")

        alarm = {"kind": "intrusion", "text": "有人翻越", "urgency": "P1", "source": "粮库门", "place": VILLAGE}
        assert own.post("/api/v1/alarms", alarm, own.token(Role.DEVICE)).status == 201
        page.get_by_test_id("sources-search").fill("")
        page.get_by_test_id("sources-silent").select_option("60")
        expect(page.get_by_test_id("sources-page")).to_have_text(f"1–50 / {POINTS - 1}")
        page.get_by_test_id("sources-silent").select_option("0")
        page.get_by_test_id("sources-search").fill("粮库")
        expect(rows.locator("td").nth(3)).to_have_text(re.compile("分钟前"))
        expect(page.get_by_test_id("source-fared")).to_contain_text("已抓拍")
        page.context.close()
