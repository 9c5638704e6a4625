"""Chromium as a person uses it: open a sign-in link, look, click; and what its decoder really shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.e2e.clips import GRID

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PATIENCE_MS = 90_000
"""For what should take a second or five: two cores run everything, and others use them too."""
expect.set_options(timeout=PATIENCE_MS)
FLAGS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
]

PIXELS = """([selector, width, height]) => {
  const video = document.querySelector(selector);
  if (!video || !video.videoWidth || video.readyState < 2) return null;
  const canvas = document.createElement('canvas');
  canvas.width = width; canvas.height = height;
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  pen.imageSmoothingEnabled = true; pen.imageSmoothingQuality = 'high';
  const half = document.createElement('canvas');
  half.width = width * 4; half.height = height * 4;
  half.getContext('2d').drawImage(video, 0, 0, half.width, half.height);
  pen.drawImage(half, 0, 0, width, height);
  const data = pen.getImageData(0, 0, width, height).data;
  const luma = [];
  for (let i = 0; i < data.length; i += 4)
    luma.push(Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]));
  return luma;
}"""


REMEMBER_PEERS = """
window.__peers = [];
window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor(...args) { super(...args); window.__peers.push(this); }
};
"""


class Browsers:
    """One Chromium with the clip as its camera; each person gets a context of their own."""

    def __init__(self, executable: str, camera: Path) -> None:
        self._executable = executable
        self._camera = camera
        self._pages: list[Page] = []

    def __enter__(self) -> Self:
        self._playwright: Playwright = sync_playwright().start()
        self._browser: Browser = self._playwright.chromium.launch(
            executable_path=self._executable,
            timeout=PATIENCE_MS,
            args=[*FLAGS, f"--use-file-for-fake-video-capture={self._camera}"],
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._browser.close()
        self._playwright.stop()

    def open(self, url: str, *, width: int = 1366, height: int = 768, insecure: bool = False, script: str = "") -> Page:
        """Open ``url`` as a new person with an empty profile.

        Args:
            insecure: Accept any certificate.
            script: Run before anything of the page's own.
        """
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            permissions=["camera", "microphone"],
            locale="zh-CN",
            ignore_https_errors=insecure,
        )
        context.add_init_script(REMEMBER_PEERS + script)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        return page


def pixels(page: Page, selector: str) -> list[int] | None:
    """Return GRID luma values of what the video is showing now, or None before its first picture."""
    value: list[int] | None = page.evaluate(PIXELS, [selector, GRID[0], GRID[1]])
    return value


def watch(page: Page, selector: str, *, pictures: int, within_ms: int = PATIENCE_MS) -> list[list[int]]:
    """Return ``pictures`` different decoded pictures of a video.

    Raises:
        playwright.sync_api.TimeoutError: They did not come in time: the video stands still.
    """
    page.wait_for_function(
        "s => { const v = document.querySelector(s); return v && v.videoWidth > 0 && v.readyState >= 2; }",
        arg=selector,
        timeout=within_ms,
    )
    seen: list[list[int]] = []
    while len(seen) < pictures:
        before = page.evaluate("s => document.querySelector(s).getVideoPlaybackQuality().totalVideoFrames", selector)
        page.wait_for_function(
            "([s, n]) => document.querySelector(s).getVideoPlaybackQuality().totalVideoFrames >= n + 5",
            arg=[selector, before],
            timeout=within_ms,
        )
        picture = pixels(page, selector)
        if picture is not None and (not seen or picture != seen[-1]):
            seen.append(picture)
    return seen


def inbound_video(page: Page) -> dict[str, Any]:
    """Return the sums of the page's inbound video statistics over all its connections."""
    totals: dict[str, Any] = page.evaluate(
        """async () => {
          const sum = {framesDecoded: 0, freezeCount: 0, framesDropped: 0, packetsLost: 0};
          for (const pc of window.__peers ?? []) {
            for (const row of (await pc.getStats()).values())
              if (row.type === 'inbound-rtp' && row.kind === 'video')
                for (const key of Object.keys(sum)) sum[key] += row[key] ?? 0;
          }
          return sum;
        }"""
    )
    return totals
