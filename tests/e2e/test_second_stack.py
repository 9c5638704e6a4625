"""aiortc at the village is seen and heard at the province, and the reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.clips import likeness, path_of, thumbnails
from tests.e2e.meeting import convened, participant
from tests.e2e.running import Demo, run_async
from tests.e2e.second_stack import Viewed, publishing, view

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def conference(demo: Demo) -> Iterator[str]:
    with convened(demo, "五级联调") as meeting:
        yield meeting


@pytest.mark.parametrize(("source", "viewer"), [("village", "province"), ("province", "village")])
def test_across_five_tiers_and_back(demo: Demo, conference: str, source: str, viewer: str) -> None:
    sender = demo.token(source, "terminal", name=f"终端{source}")
    watcher = demo.token(viewer, "terminal", name="观看者")
    clip = path_of("bikes.mp4")

    async def meet() -> Viewed:
        async with publishing(demo.url(source, f"/whip/{conference}"), sender, clip):
            seen = await participant(demo, viewer, conference, watcher, f"终端{source}")
            return await view(demo.url(viewer, f"/whep/{conference}/{seen}"), watcher, pictures=20)

    viewed = run_async(meet())
    match = likeness(viewed.pictures, thumbnails(clip, frames=100), thumbnails(path_of("bigbuckbunny.mp4"), frames=125))
    assert match.own > 0.9
    assert match.own > match.other + 0.1
    assert viewed.loud >= 50
