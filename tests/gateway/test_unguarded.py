"""A child gateway is not heard and keeps clocks: said once, counted anew, taken back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import unguarded
from gateway.unguarded import AWAY_S, UnguardedClocks
from signaling.ids import AlarmId, NodeCode, Seq, UtcMs
from signaling.messages import AlarmView, Unguarded
from signaling.records import AlarmState
from tests.gateway.test_alarms import request
from tests.support.cluster import cluster
from tests.support.facts import raised
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, OTHER_TOWNSHIP, TOWNSHIP, TREE, VILLAGE, commander

AWAY_MS = round(AWAY_S * 1_000)
MINUTE = 60_000


class County:
    """A county, the links it has, and what its consoles are told."""

    def __init__(self, folder: Path) -> None:
        self.node = Node(COUNTY, folder)
        self.up: set[NodeCode] = {TOWNSHIP, OTHER_TOWNSHIP}
        self.told: list[Unguarded] = []
        node = self.node
        self.clocks = UnguardedClocks(
            COUNTY, TREE, node.journal, node.clock, node.alarms.incidents, lambda: frozenset(self.up)
        )
        self.clocks.on_change = self.told.append

    async def linked(self, *children: NodeCode) -> None:
        for child in children:
            await self.node.journal.append(cursor=(child, self.node.journal.epoch, Seq(1)))

    async def hears(self, origin: NodeCode, kind: str, **changes: Any) -> AlarmId:
        """An alarm of ``origin`` comes in by its township."""
        alarm, at = AlarmId(f"a-{kind}"), UtcMs(self.node.clock.at())
        via = next(child for child in TREE.children(COUNTY) if TREE.is_within(origin, child))
        record = raised(node=origin, by=commander(origin), place=origin, at=at, alarm=alarm, kind=kind, **changes)
        self.node.alarms.receive(record, via)
        await self.node.settle()
        assert self.node.alarms.raised(alarm) is not None
        return alarm

    async def passes(self, ms: int) -> None:
        self.node.clock.advance(ms)
        await self.clocks.look()


@on_loop
async def test_a_child_that_keeps_clocks_and_is_away_is_said_once_and_taken_back(tmp_path: Path) -> None:
    county = County(tmp_path)
    await county.linked(TOWNSHIP, OTHER_TOWNSHIP)
    first = await county.hears(VILLAGE, "fire")
    second = await county.hears(TOWNSHIP, "flood")
    await county.hears(OTHER_TOWNSHIP, "smoke")
    await county.hears(TOWNSHIP, "exercise", exercise=True)
    await county.node.alarms.raise_alarm(commander(), request(place=VILLAGE, kind="ours"))
    await county.passes(1)
    county.up.remove(TOWNSHIP)
    await county.passes(0)
    lost_at = county.node.clock.at()
    await county.passes(AWAY_MS - 1)
    assert county.told == []
    await county.passes(2)
    told = Unguarded(node=TOWNSHIP, since=lost_at, alarms=2, late=2)
    assert county.told == [told]
    await county.passes(MINUTE)
    assert county.told == [told] == list(county.clocks.list())

    await county.node.alarms.advance(commander(), first, AlarmState.FALSE, "误报")
    await county.passes(0)
    assert county.told[1:] == [Unguarded(node=TOWNSHIP, since=lost_at, alarms=1, late=1)]
    await county.node.alarms.advance(commander(), second, AlarmState.CONFIRMED)
    await county.passes(0)
    assert county.told[2:] == [Unguarded(node=TOWNSHIP, since=lost_at, alarms=1, late=0)]

    county.up.add(TOWNSHIP)
    await county.passes(0)
    assert county.told[-1] == Unguarded(node=TOWNSHIP)
    assert list(county.clocks.list()) == []
    await county.passes(MINUTE)
    assert county.told[-1] == Unguarded(node=TOWNSHIP)
    await county.node.close()


@on_loop
async def test_a_restart_of_the_child_and_a_place_without_a_gateway_are_not_said(tmp_path: Path) -> None:
    county = County(tmp_path)
    await county.linked(TOWNSHIP)
    await county.hears(TOWNSHIP, "fire")
    await county.hears(OTHER_TOWNSHIP, "flood")
    county.up.clear()
    await county.passes(0)
    await county.passes(AWAY_MS - 1)
    county.up.add(TOWNSHIP)
    await county.passes(0)
    county.up.clear()
    await county.passes(AWAY_MS - 1)
    assert county.told == []
    await county.passes(AWAY_MS + 1)
    assert [view.node for view in county.told] == [TOWNSHIP]
    await county.node.close()


@on_loop
async def test_a_child_whose_last_clock_the_county_stops_is_no_longer_spoken_of(tmp_path: Path) -> None:
    county = County(tmp_path)
    await county.linked(TOWNSHIP)
    alarm = await county.hears(TOWNSHIP, "fire")
    county.up.clear()
    await county.passes(0)
    await county.passes(AWAY_MS + 1)
    await county.node.alarms.advance(commander(), alarm, AlarmState.FALSE, "误报")
    await county.passes(0)
    assert county.told[-1] == Unguarded(node=TOWNSHIP)
    county.up.add(TOWNSHIP)
    await county.passes(0)
    assert len(county.told) == 2
    await county.node.close()


# ---- gateways that run -----------------------------------------------------------------------------


def test_a_page_above_hears_of_a_gateway_that_ended_and_that_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unguarded, "AWAY_S", 0.0)
    monkeypatch.setattr(unguarded, "LOOK_S", 0.05)

    async def story() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            page = await tiers.sign_in(tiers.county, commander())
            body = {"kind": "flood", "text": "河水漫堤", "place": VILLAGE}
            status, _ = await tiers.call(tiers.village, commander(VILLAGE), "POST", "alarms", body)
            assert status == 201
            await page.hear(AlarmView)
            await tiers.township.stop()
            later = await tiers.sign_in(tiers.county, commander())
            for one in (page, later):
                said = await one.hear(Unguarded, lambda view: view.since is not None)
                assert (said.node, said.alarms) == (TOWNSHIP, 1)
            await tiers.township.start()
            await page.hear(Unguarded, lambda view: view.since is None)
            await later.hear(Unguarded, lambda view: view.since is None)

    asyncio.run(story())
