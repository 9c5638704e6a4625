"""Chromium's layers through the engine: simulcast, and VP9 and AV1 with layers in one stream."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.e2e.running import run_async
from tests.e2e.test_media_chromium import chromium, harness, seen, until

PATIENCE_S = 90
"""A machine with two busy cores encodes three layers slowly; every wait is for a picture, not for a time."""
FEW = 3
"""A busy machine's sockets may lose a packet; a gap for what is left out would be asked for at every picture."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(700)]


async def story(
    codec: str, mode: str, wishes: Sequence[int], *, asks: bool = True, gets: Sequence[int] = ()
) -> Mapping[str, Any]:
    """A camera of 540 lines and a viewer that wants so many of them, one wish after the other.

    ``asks``: the viewer takes dependency descriptors.  ``gets``: lines it is to see, where those are not its wishes.
    """
    async with harness() as node, chromium() as browser:
        camera, viewer = await browser.new_page(), await browser.new_page()
        await camera.goto(node.url)
        await viewer.goto(node.url)
        offer = {"publish": True, "slots": 0, "width": 960, "height": 540, "rate": 12, "codec": codec, "mode": mode}
        sender = await camera.evaluate("(o) => start(o)", offer)
        number = await viewer.evaluate("(o) => start(o)", {"publish": False, "slots": 1, "asks": asks})
        source = node.source(sender, "camera")
        sink = next(slot.sink for slot in node.joined[number].slots if slot.kind == "video")
        node.engine.want(sink, wishes[0], 100)
        node.show(number, "0", source)
        sizes = []
        for wanted, lines in zip(wishes, gets or wishes, strict=True):
            node.engine.want(sink, wanted, 100)
            look = await until(
                f"{lines} lines",
                lambda: seen(viewer, "0"),
                lambda s, lines=lines: s["height"] == lines,
                PATIENCE_S,
            )
            sizes.append(look["height"])
            enough = look["frames"] + 24
            look = await until(
                "pictures going on",
                lambda: seen(viewer, "0"),
                lambda s, enough=enough: s["frames"] >= enough,
                PATIENCE_S,
            )
        return {
            "sizes": sizes,
            "codec": look["codec"],
            "picture": look,
            "stats": node.engine.native.stats()["sinks"][sink],
        }


@pytest.mark.parametrize(
    ("codec", "mode", "wishes"),
    [
        ("VP8", "", (270, 540, 270)),
        ("VP9", "L2T3_KEY", (270, 540, 270)),
        ("AV1", "L1T3", (540,)),
        ("AV1", "L2T1", (270, 540, 270)),
        ("AV1", "L3T3_KEY", (540, 270, 540)),
        ("AV1", "S2T1", (540, 270, 540)),
    ],
    ids=("simulcast", "vp9", "av1", "av1-spatial", "av1-key", "av1-simulcast"),
)
def test_a_viewer_gets_as_many_lines_as_it_wants(codec: str, mode: str, wishes: Sequence[int]) -> None:
    result = run_async(story(codec, mode, wishes))
    print(json.dumps(result))
    assert tuple(result["sizes"]) == wishes
    assert result["codec"] == f"video/{codec}"
    assert result["picture"]["nacks"] <= FEW, "what is left out leaves no gap"


def test_who_takes_no_dependency_descriptors_watches_the_smaller_picture() -> None:
    result = run_async(story("AV1", "L2T1", (540,), asks=False, gets=(270,)))
    print(json.dumps(result))
    assert result["sizes"] == [270]
    assert result["codec"] == "video/AV1"
