"""Chromium against the engine alone: simulcast in, slots out, sources switched without renegotiating.

A node's media with no gateway around it: a page makes a terminal's one offer, the test decides the routes.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from media.clips import demo_clip
from media.engine import Engine
from media.ingest import FileReader, Player
from media.peer import Caller, Peer, Peers
from tests.e2e.browser import FLAGS, PATIENCE_MS
from tests.e2e.running import PATIENCE_S, run_async

PAGE = Path(__file__).with_name("media_page.html")
SWITCHES = 7
PICTURES = 10
"""Seen after each switch before the next."""
ROUNDS = 6
"""A machine that is busy with something else has rounds of its own making; a seam that shows is in every round."""
SPARE = 3
"""Freezes that a round may have beyond those of its quiet spell: a seam that shows has one at every switch."""
WAIT_PICTURES = 15
"""So many pictures' time a switch may take until a keyframe is decoded."""


@dataclass
class Harness:
    """An engine with its peers, and a page that offers to it."""

    engine: Engine
    peers: Peers
    url: str = ""
    joined: dict[int, Peer] = field(default_factory=dict)

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE.read_text(), content_type="text/html")

    async def offer(self, request: web.Request) -> web.Response:
        peer = self.peers.accept(await request.text())
        self.joined[peer.id] = peer
        return web.json_response({"sdp": peer.answer_sdp, "peer": peer.id})

    def source(self, peer: int, label: str) -> int:
        return next(u.source for u in self.joined[peer].upstreams if u.label == label)

    def show(self, viewer: int, mid: str, source: int) -> None:
        """Feed the viewer's slot ``mid``."""
        self.engine.route(next(s.sink for s in self.joined[viewer].slots if s.mid == mid), source)


@asynccontextmanager
async def harness() -> AsyncIterator[Harness]:
    engine = Engine.open(["127.0.0.1"], 0)
    engine.start()
    made = Harness(engine, Peers(engine, ["127.0.0.1"]))
    app = web.Application()
    app.add_routes([web.get("/", made.page), web.post("/offer", made.offer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield made
    finally:
        await made.peers.close()
        engine.close()
        await runner.cleanup()


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=FLAGS, timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            await browser.close()


async def seen(page: Page, mid: str) -> Mapping[str, Any]:
    answer = await page.evaluate("(mid) => received(mid)", mid)
    return answer or dict.fromkeys(
        ("frames", "freezes", "dropped", "width", "height", "lost", "packets", "keys", "heard"), 0
    )


async def until(
    what: str, look: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], seconds: float = PATIENCE_S
) -> Any:
    """Look again until ``good``; the failure shows what was seen last."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while not good(last := await look()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{what} not within {seconds} s; last seen: {last}")
    return last


async def story() -> Mapping[str, Any]:
    """Two cameras and a viewer; the viewer's first slot goes to and fro between the cameras."""
    async with harness() as node, chromium() as browser:
        cameras, offers = [], {"publish": True, "slots": 1, "width": 960, "height": 540, "rate": 15}
        for _ in range(2):
            page = await browser.new_page()
            await page.goto(node.url)
            cameras.append((page, await page.evaluate("(o) => start(o)", offers)))
        viewer = await browser.new_page()
        await viewer.goto(node.url)
        number = await viewer.evaluate("(o) => start(o)", {"publish": False, "slots": 4})
        loop = asyncio.get_running_loop()
        sources = [node.source(peer, "camera") for _, peer in cameras]
        began = loop.time()
        node.show(number, "0", sources[0])
        node.show(number, "4", node.source(cameras[0][1], "audio"))
        await until("first picture", lambda: seen(viewer, "0"), lambda s: s["frames"] > 0)
        first_s = loop.time() - began
        layers = await until("three layers", lambda: cameras[0][0].evaluate("sent()"), three_layers)
        size = await until("the top layer", lambda: seen(viewer, "0"), lambda s: s["height"] == 540)
        rounds = [await one_round(node, viewer, number, sources)]
        while not seamless(rounds[-1]) and len(rounds) < ROUNDS:
            rounds.append(await one_round(node, viewer, number, sources))
        ended = await seen(viewer, "0")
        transport = await viewer.evaluate("cipher()")
        audio = await until("sound", lambda: seen(viewer, "4"), lambda s: s["heard"] > 0)
        return {
            "first_s": first_s,
            "layers": layers,
            "size": (size["width"], size["height"]),
            "rounds": rounds,
            "dropped": ended["dropped"],
            "lost": ended["lost"],
            "transport": transport,
            "audio": audio,
        }


async def one_round(node: Harness, viewer: Page, number: int, sources: Sequence[int]) -> Mapping[str, Any]:
    """As many pictures in peace as then with seven switches among them; the freezes of each spell."""
    loop = asyncio.get_running_loop()
    before, began = await seen(viewer, "0"), loop.time()
    calm = before["frames"] + SWITCHES * PICTURES
    rested = await until("pictures in peace", lambda: seen(viewer, "0"), lambda s: s["frames"] >= calm)
    picture_s = (loop.time() - began) / (rested["frames"] - before["frames"])
    took = [await switch(node, viewer, number, sources[turn % 2]) for turn in range(1, SWITCHES + 1)]
    await switch(node, viewer, number, sources[0])
    after = await seen(viewer, "0")
    return {
        "quiet": rested["freezes"] - before["freezes"],
        "switching": after["freezes"] - rested["freezes"],
        "switch_s": took,
        "picture_s": picture_s,
    }


def seamless(found: Mapping[str, Any]) -> bool:
    """Whether switches were quick beside the pictures of the same round, and froze next to nothing."""
    middle = sorted(found["switch_s"])[SWITCHES // 2]
    quick: bool = middle < max(1.0, WAIT_PICTURES * found["picture_s"])
    return quick and found["switching"] <= found["quiet"] + SPARE


def three_layers(sent: Any) -> bool:
    return len([layer for layer in sent or () if layer["frames"] > 0]) == 3


async def switch(node: Harness, viewer: Page, number: int, source: int) -> float:
    """Move the slot to ``source``; seconds until a keyframe of it is decoded, then pictures go on."""
    loop = asyncio.get_running_loop()
    before, began = await seen(viewer, "0"), loop.time()
    node.show(number, "0", source)
    await until("keyframe", lambda: seen(viewer, "0"), lambda s: s["keys"] > before["keys"])
    took = loop.time() - began
    now = await seen(viewer, "0")
    await until("pictures after it", lambda: seen(viewer, "0"), lambda s: s["frames"] >= now["frames"] + PICTURES)
    return took


def test_a_slot_changes_its_source_seven_times_without_a_freeze() -> None:
    result = run_async(story())
    print(json.dumps(result))
    last = result["rounds"][-1]
    assert len(last["switch_s"]) == SWITCHES
    assert seamless(last)
    assert result["size"] == (960, 540)
    assert result["audio"]["packets"] > 100
    assert result["transport"]["srtp"] == "SRTP_AEAD_AES_128_GCM"


async def wall() -> Mapping[str, Any]:
    """A county wall: 25 picture slots and 3 for sound in one offer, the last slot fed."""
    async with harness() as node, chromium() as browser:
        camera, viewer = await browser.new_page(), await browser.new_page()
        await camera.goto(node.url)
        await viewer.goto(node.url)
        sender = await camera.evaluate("(o) => start(o)", {"publish": True, "slots": 1, "width": 640, "height": 360})
        number = await viewer.evaluate("(o) => start(o)", {"publish": False, "slots": 25})
        node.show(number, "24", node.source(sender, "camera"))
        await until("a picture in the last slot", lambda: seen(viewer, "24"), lambda s: s["frames"] >= 25)
        return {"slots": len(node.joined[number].slots), "first": await seen(viewer, "0")}


def test_a_wall_of_25_slots_is_one_offer() -> None:
    result = run_async(wall())
    assert result["slots"] == 28
    assert result["first"]["packets"] == 0, "an empty slot receives nothing"


async def seventy_five(viewer: Page) -> int:
    """How often the picture stood while 75 of them came."""
    before = await seen(viewer, "0")
    after = await until("pictures", lambda: seen(viewer, "0"), lambda s: s["frames"] >= before["frames"] + 75)
    return int(after["freezes"] - before["freezes"])


async def clip_story(clip: Path) -> Mapping[str, Any]:
    """A file published by aiortc without encoding, watched in Chromium; then VP8 and H.264 take turns in a slot."""
    async with harness() as node, chromium() as browser:
        reader = FileReader(clip, loop=True)
        player = Player(reader)
        caller = Caller({kind: partial(player.next, kind) for kind in reader.kinds}, reader.codec)
        sender = node.peers.accept(await caller.offer())
        await caller.answered(sender.answer_sdp)
        viewer = await browser.new_page()
        await viewer.goto(node.url)
        number = await viewer.evaluate("(o) => start(o)", {"publish": False, "slots": 4})
        for mid, kind in (("0", "video"), ("4", "audio")):
            node.show(number, mid, next(u.source for u in sender.upstreams if u.kind == kind))
        await until("first picture", lambda: seen(viewer, "0"), lambda s: s["frames"] > 0)
        rounds = [await seventy_five(viewer)]
        while rounds[-1] > 5 and len(rounds) < ROUNDS:
            rounds.append(await seventy_five(viewer))
        video = await seen(viewer, "0")
        audio = await until("sound", lambda: seen(viewer, "4"), lambda s: s["heard"] > 0)
        camera = await browser.new_page()
        await camera.goto(node.url)
        other = await camera.evaluate("(o) => start(o)", {"publish": True, "slots": 1, "width": 640, "height": 360})
        sources = [node.source(other, "camera"), next(u.source for u in sender.upstreams if u.kind == "video")]
        switches = [await switch(node, viewer, number, sources[turn % 2]) for turn in range(4)]
        await caller.close()
        return {"freezes": rounds, "video": video, "audio": audio, "switch_s": switches}


def test_a_published_clip_is_decoded_by_chromium(tmp_path: Path) -> None:
    result = run_async(clip_story(demo_clip(tmp_path / "clip.mp4")))
    print(json.dumps(result))
    assert len(result["switch_s"]) == 4
    assert (result["video"]["width"], result["video"]["height"]) == (640, 360)
    assert result["freezes"][-1] <= 5, "at most one picture in fifteen comes late"
