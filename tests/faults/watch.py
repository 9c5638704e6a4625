"""Chromium at both ends of the tree: a publisher whose pictures carry their birth time, and a viewer who reads it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.browser import FLAGS, PATIENCE_MS
from tests.e2e.running import PATIENCE_S, VILLAGE, until

from .measure import Picture, Run, Sample
from .tree import LINKS, Tree

SCRIPT = Path(__file__).with_name("watcher.js")
PUBLISHER = "省台 画面"
SIZE = (960, 540)
"""Chromium sends three simulcast layers from this size on."""
SAMPLE_S = 1.0


class Viewer:
    """A page that watches, and what it has seen so far."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._samples: list[Sample] = []

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._page.wait_for_timeout(1000 * min(SAMPLE_S, left))
            self._sample()

    def until(self, pictures: int, within: float = PATIENCE_S) -> None:
        """Watch until so many more pictures have come."""
        wanted = len(self.pictures()) + pictures

        def came() -> bool:
            self._page.wait_for_timeout(100)
            return len(self.pictures()) >= wanted

        until(came, within=within, what=f"{pictures} more pictures")
        self._sample()

    def pictures(self) -> tuple[Picture, ...]:
        seen: list[Any] = self._page.evaluate("pictures")
        return tuple(Picture(at / 1000, age, stamp, height) for at, age, stamp, height in seen)

    def now_s(self) -> float:
        """Seconds since it asked."""
        return float(self._page.evaluate("performance.now() - began")) / 1000

    def run(self) -> Run:
        """Everything from asking until now."""
        self._sample()
        return Run(tuple(self._samples), self.pictures())

    def _sample(self) -> None:
        found: dict[str, Any] = self._page.evaluate("sample()")
        self._samples.append(Sample(found["at_ms"] / 1000, found["audio"], found["video"]))


@dataclass
class Studio:
    """A browser, and the tree it publishes into at the province and watches at the village."""

    tree: Tree
    browser: Browser
    participant: str = ""
    """The publisher, as the village lists it."""
    publisher: Page | None = None

    def encoded(self) -> int:
        """Pictures of the largest layer that the publisher has encoded."""
        assert self.publisher is not None
        layers: list[dict[str, Any]] = self.publisher.evaluate("sent()")
        return max((int(layer["frames"]) for layer in layers if layer["height"] == SIZE[1]), default=0)

    def publish(self, *, fps: int = 15, codec: str = "VP8") -> None:
        """Publish three layers at the province; returns once all flow."""
        tree, network = self.tree, self.tree.network
        page = self.publisher = self._open("province")
        token = tree.demo.token("province", "commander", name=PUBLISHER)
        width, height = SIZE
        page.evaluate(
            "(o) => publish(o)",
            {
                "url": tree.demo.url("province", f"/whip/{tree.conference}"),
                "token": token,
                "from": network.hops[LINKS[0]].datagrams.port,
                "to": tree.demo.base,
                "width": width,
                "height": height,
                "fps": fps,
                "codec": codec,
            },
        )
        until(
            lambda: len([layer for layer in page.evaluate("sent()") if layer["frames"] > 0]) == 3,
            what="three layers were never sent",
        )
        self.participant = tree.participant("village", PUBLISHER)

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Ask for the publisher's picture and sound at the village until the block ends."""
        tree, page = self.tree, self._open("village")
        try:
            page.evaluate(
                "(o) => view(o)",
                {
                    "url": tree.demo.url("village", f"/whep/{tree.conference}/{self.participant}"),
                    "token": tree.demo.token("village", "terminal", name="八里村 观看", division=VILLAGE),
                    "from": 0,
                    "to": 0,
                },
            )
            yield Viewer(page)
            page.evaluate("leave()")
        finally:
            page.context.close()

    def _open(self, tier: str) -> Page:
        """A page of the gateway's own origin, with nothing on it but our script."""
        page = self.browser.new_context(bypass_csp=True).new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(self.tree.demo.url(tier, "/healthz"))
        page.evaluate(SCRIPT.read_text(encoding="utf-8") + EXPORT)
        return page


EXPORT = "\nObject.assign(window, { publish, view, sample, sent, leave })"


@contextmanager
def studio(tree: Tree) -> Iterator[Studio]:
    executable = shutil.which("chromium")
    assert executable is not None, "Chromium is missing: install the package 'chromium'"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS, timeout=PATIENCE_MS)
        try:
            yield Studio(tree, browser)
        finally:
            browser.close()
