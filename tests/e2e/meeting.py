"""A meeting of the demo's county and every tier above, and how a test waits for it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from tests.e2e.running import COUNTY, PATIENCE_S, Demo, call, send_json, until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVINCE, CITY = "430000000000", "430400000000"


def convene(demo: Demo, title: str) -> str:
    """Convene at the county over its subtree and the tiers above; return the id once all tiers know it."""
    scope = [{"node": COUNTY, "mode": "subtree"}, {"node": CITY, "mode": "self"}, {"node": PROVINCE, "mode": "self"}]
    order = {"title": title, "scope": scope}
    answer = send_json(demo.url("county", "/api/v1/conferences"), order, token=demo.token("county", "commander"))
    assert answer.status == 201, answer.body
    conference = str(answer.json["id"])
    for tier in ("province", "city", "township", "village"):
        token = demo.token(tier, "terminal")
        until(
            lambda tier=tier, token=token: (
                call(demo.url(tier, f"/api/v1/conferences/{conference}"), token=token).status == 200
            ),
            what=f"the {tier} never heard of the meeting",
        )
    return conference


@contextlib.contextmanager
def convened(demo: Demo, title: str) -> Iterator[str]:
    """Convene, and end it afterwards: a page enters the newest running meeting by itself."""
    conference = convene(demo, title)
    try:
        yield conference
    finally:
        token = demo.token("county", "commander")
        ended = send_json(demo.url("county", f"/api/v1/conferences/{conference}/end"), {}, token=token)
        assert ended.status < 300, ended.body


async def participant(demo: Demo, tier: str, conference: str, token: str, name: str) -> str:
    """Return the id of the participant called ``name`` as soon as ``tier`` lists it."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            url = demo.url(tier, f"/api/v1/participants?conference={conference}")
            listed: Any = await asyncio.to_thread(call, url, token=token)
            for entry in listed.json["participants"]:
                if entry["name"] == name:
                    return str(entry["participant"])
            await asyncio.sleep(0.1)
