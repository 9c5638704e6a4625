"""Who is online, as each node of a line sees it, and what Redis has to do with it: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from pathlib import Path

import pytest

from gateway import presence, telemetry
from gateway.bus import Bus
from gateway.embedded import EmbeddedServer
from gateway.presence import Presence
from gateway.telemetry import Telemetry
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.messages import LinkMessage, LinkPresence, NodeView
from tests.support.loop import eventually, on_loop
from tests.support.places import CITY, COUNTY, OTHER_TOWNSHIP, PROVINCE, TOWNSHIP, TREE, VILLAGE


class Line:
    """One end of a link that delivers at once."""

    def __init__(self, peer: NodeCode, *, dialled: bool) -> None:
        self.peer = peer
        self.dialled = dialled
        self.said: list[LinkPresence] = []
        self.other: Line | None = None
        self.owner: Presence | None = None

    def say(self, message: LinkMessage, key: Hashable = None) -> None:
        assert isinstance(message, LinkPresence)
        assert key == "presence"
        self.said.append(message)
        if self.other is not None and self.other.owner is not None:
            self.other.owner.link_said(self.other, message)


def join(upper: Presence, upper_code: NodeCode, lower: Presence, lower_code: NodeCode) -> tuple[Line, Line]:
    down, up = Line(lower_code, dialled=False), Line(upper_code, dialled=True)
    down.other, down.owner, up.other, up.owner = up, upper, down, lower
    upper.link_up(down)
    lower.link_up(up)
    return down, up


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "TELL_S", 0.0)


@on_loop
async def test_a_terminal_in_the_village_is_seen_two_tiers_above_and_the_line_above_is_seen_from_below() -> None:
    county, township, village = (Presence(code, TREE) for code in (COUNTY, TOWNSHIP, VILLAGE))
    shown: list[NodeView] = []
    county.on_change = shown.append
    down, _ = join(county, COUNTY, township, TOWNSHIP)
    join(township, TOWNSHIP, village, VILLAGE)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part.run()) for part in (county, township, village)]
        village.opened(VILLAGE)
        village.opened(VILLAGE)
        await eventually(lambda: county.online() == {COUNTY: 0, TOWNSHIP: 0, VILLAGE: 2})
        await eventually(lambda: village.online() == {VILLAGE: 2, TOWNSHIP: 0, COUNTY: 0})
        await eventually(lambda: NodeView(node=VILLAGE, online=True, terminals=2) in shown)
        village.closed(VILLAGE)
        await eventually(lambda: county.online()[VILLAGE] == 1)
        county.link_down(down)
        await eventually(lambda: county.online() == {COUNTY: 0})
        await eventually(lambda: NodeView(node=VILLAGE, online=False, terminals=0) in shown)
        for task in running:
            task.cancel()


def test_a_neighbour_speaks_only_of_its_own_side() -> None:
    county = Presence(COUNTY, TREE)
    below, above = Line(TOWNSHIP, dialled=False), Line(CITY, dialled=True)
    county.link_up(below)
    county.link_up(above)
    for line, online in (
        (below, {OTHER_TOWNSHIP: 1}),
        (below, {COUNTY: 1}),
        (below, {VILLAGE: -1}),
        (above, {TOWNSHIP: 1}),
    ):
        with pytest.raises(Refused):
            county.link_said(line, LinkPresence(online=online))
    county.link_said(below, LinkPresence(online={TOWNSHIP: 0, VILLAGE: 3}))
    county.link_said(above, LinkPresence(online={CITY: 0, PROVINCE: 0}))
    assert county.online() == {COUNTY: 0, TOWNSHIP: 0, VILLAGE: 3, CITY: 0, PROVINCE: 0}


def test_an_older_link_going_down_does_not_take_the_newer_with_it() -> None:
    county = Presence(COUNTY, TREE)
    older, newer = Line(TOWNSHIP, dialled=False), Line(TOWNSHIP, dialled=False)
    county.link_up(older)
    county.link_up(newer)
    county.link_down(older)
    assert TOWNSHIP in county.online()


@on_loop
async def test_redis_gone_is_counted_and_disturbs_nothing(tmp_path: Path) -> None:
    bus = Bus(COUNTY, f"unix://{tmp_path}/nobody.sock", tmp_path, Telemetry())
    county = Presence(COUNTY, TREE, bus.client)
    before = telemetry.value("bus_errors", operation="presence")
    task = asyncio.create_task(county.run())
    await eventually(lambda: telemetry.value("bus_errors", operation="presence") > before)
    county.opened(COUNTY)
    assert county.online() == {COUNTY: 1}
    task.cancel()
    await bus.client.aclose()


@on_loop
async def test_the_hash_in_redis_says_who_is_here_and_expires(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await server.start()
    bus = Bus(COUNTY, server.url, tmp_path, Telemetry())
    county = Presence(COUNTY, TREE, bus.client)
    county.opened(VILLAGE)
    task = asyncio.create_task(county.run())
    found: dict[bytes | str, bytes | str] = {}
    while not found:
        found = await bus.client.hgetall(county.key)
    assert found == {COUNTY.encode(): b"0", VILLAGE.encode(): b"1"}
    assert 0 < await bus.client.ttl(county.key) <= presence.KEEP_S
    task.cancel()
    await bus.client.aclose()
    await server.stop()
