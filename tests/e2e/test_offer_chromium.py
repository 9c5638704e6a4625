"""The terminal page's own offer in Chromium: 25 pictures with every codec in one message, and AV1's layers in them."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from signaling.messages import MAX_MESSAGE_BYTES
from tests.e2e.running import run_async
from tests.e2e.test_media_chromium import chromium, harness, seen, until

CONSOLE = Path(__file__).parents[2] / "gateway" / "console"
SLOTS = 25
CODECS = ("VP8", "H264", "VP9", "AV1")
LAST = "27"
"""The last picture's section: three that are sent come before the slots."""
OFFER = """async (slots) => {
  const peer = await page.makePeer(null, null, slots);
  window.pc = peer.connection;
  const answer = await fetch('/offer', { method: 'POST', body: peer.offer });
  if (!answer.ok) throw new Error(await answer.text());
  const { sdp, peer: number } = await answer.json();
  await peer.connection.setRemoteDescription({ type: 'answer', sdp });
  for (const stream of peer.streams.values()) {
    const tile = document.createElement('video');
    Object.assign(tile, { autoplay: true, muted: true, srcObject: stream });
    document.body.append(tile);
  }
  return { number, offer: peer.offer, answer: sdp };
}"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def bundle() -> str:
    """The page's ``peer.ts`` as one script that a browser runs; what it exports is in ``page``."""
    command = ["node_modules/.bin/esbuild", "src/peer.ts", "--bundle", "--format=iife", "--global-name=page"]
    return subprocess.run(command, cwd=CONSOLE, check=True, capture_output=True, text=True).stdout


async def wall() -> Mapping[str, Any]:
    """A county's wall; its last slot is fed by a camera that sends AV1 in two sizes."""
    async with harness() as node, chromium() as browser:
        camera, viewer = await browser.new_page(), await browser.new_page()
        await camera.goto(node.url)
        await viewer.goto(node.url)
        await viewer.add_script_tag(content=bundle())
        offer = {"publish": True, "slots": 0, "width": 960, "height": 540, "rate": 12, "codec": "AV1", "mode": "L2T1"}
        sender = await camera.evaluate("(o) => start(o)", offer)
        made = await viewer.evaluate(OFFER, SLOTS)
        node.show(made["number"], LAST, node.source(sender, "camera"))
        look = await until("the large picture", lambda: seen(viewer, LAST), lambda s: s["height"] == 540, 120)
        enough = look["frames"] + 24
        look = await until("pictures going on", lambda: seen(viewer, LAST), lambda s: s["frames"] >= enough, 120)
        return {**made, "look": look, "slots": len(node.joined[made["number"]].slots)}


def test_25_pictures_with_every_codec_are_one_message() -> None:
    result = run_async(wall())
    pictures = [part for part in result["answer"].split("\r\nm=") if part.startswith("video")]
    print(len(json.dumps(result["offer"])), len(json.dumps(result["answer"])), result["look"])
    assert len(json.dumps({"type": "join", "sdp": result["offer"]})) <= MAX_MESSAGE_BYTES
    assert len(pictures) == SLOTS + 2
    for part in pictures:
        assert [codec for codec in CODECS if f" {codec}/90000" in part] == list(CODECS)
        assert "dependency-descriptor" in part
    assert result["slots"] == SLOTS + 3
    assert (result["look"]["codec"], result["look"]["height"]) == ("video/AV1", 540)
