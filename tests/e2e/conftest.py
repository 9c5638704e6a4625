"""One running demo for the whole folder, and browsers with a real clip as their camera.

Both end with the folder: the browser driver holds the main thread's event loop, the demo holds the processor.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.browser import Browsers
from tests.e2e.clips import path_of, write_y4m
from tests.e2e.desks import console
from tests.e2e.running import COUNTY, Demo, call, send_json, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

ARTIFACTS = Path(__file__).parents[2] / "artifacts"
READY_S = 300.0
"""Set-up is done by then; two cores also build the clip and start ten processes."""


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where screenshots and logs of this run are kept for people to look at; git-ignored."""
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory, artifacts: Path) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"))
    try:
        running.wait_ready(READY_S)
        yield running
    finally:
        running.stop()
        (artifacts / "demo.log").write_text("\n".join(running.lines))


@pytest.fixture(scope="package")
def settle(demo: Demo) -> Callable[[], None]:
    """Takes back what the county has issued and nobody has ended; calls alarms false that nobody looked at."""
    token = demo.token("county", "commander", name="收尾")

    def listed(what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = call(demo.url("county", f"/api/v1/{what}"), token=token).json[what]
        return found

    def settled() -> bool:
        try:
            for one in listed("directives"):
                if one["state"] == "issued" and one["issuer"]["division"] == COUNTY:
                    path = f"/api/v1/directives/{one['directive']}/recall"
                    send_json(demo.url("county", path), {"reason": "用例已毕"}, token=token)
            for one in listed("alarms"):
                if one["state"] == "triggered":
                    path = f"/api/v1/alarms/{one['alarm']}/advance"
                    send_json(demo.url("county", path), {"state": "false", "note": "用例已毕"}, token=token)
        except OSError:
            return False  # its gateway was killed and is not back yet
        return True

    def end() -> None:
        until(settled, what="the county does not answer")

    return end


@pytest.fixture(autouse=True)
def nothing_rings_for_the_next_story(request: pytest.FixtureRequest) -> Iterator[None]:
    """What nobody has signed or looked at rings again, and would be heard or come in front in another story."""
    end = request.getfixturevalue("settle") if "demo" in request.fixturenames else lambda: None
    yield
    end()


@pytest.fixture(scope="session")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is not the demo cameras' clip, as a file for a browser's fake camera."""
    target = tmp_path_factory.mktemp("camera") / "bikes.y4m"
    write_y4m(path_of("bikes.mp4"), target, frames=100)
    return target


@pytest.fixture(scope="package")
def browsers(camera: Path) -> Iterator[Browsers]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.fail("Chromium is missing: install the package 'chromium' (make test does so where it can)")
    with Browsers(executable, camera) as started:
        yield started


@pytest.fixture
def county(demo: Demo, browsers: Browsers) -> Iterator[Page]:
    page = console(browsers, demo, "county")
    yield page
    page.context.close()
