"""Two gateways with one node's key and code, and a gateway that two parents claim: one wins, both write it down."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from gateway import telemetry
from gateway.admittance import SPLIT
from signaling.ids import NodeCode
from signaling.records import RefusalRecorded
from tests.gateway.test_links import Impostor, refused
from tests.support.cluster import Cluster, Running, cluster, until
from tests.support.places import COUNTY, PROVINCE, TOWNSHIP, VILLAGE, commander


def story(tmp_path: Path, tell: Callable[[Cluster], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())


def written(running: Running, code: str) -> list[RefusalRecorded]:
    rows = [row.record for row in running.node.journal.replay()]
    return [row for row in rows if isinstance(row, RefusalRecorded) and (row.action, row.code) == ("link", code)]


async def issue(tiers: Cluster, at: Running, who: NodeCode, title: str) -> None:
    order = {"click_id": title, "urgency": "P1", "title": title, "text": "x", "scope": [{"node": TOWNSHIP}]}
    status, found = await tiers.call(at, commander(who), "POST", "directives", order)
    assert status == 201, found


def titles(running: Running) -> list[str]:
    return sorted(view.title for view in running.node.directives.open_for(TOWNSHIP))


def copied(tmp_path: Path) -> Path:
    """Return a copy of a machine's disk: its keys and its journal as they are."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for part in ("keys", TOWNSHIP):
        shutil.copytree(tmp_path / part, copy / part)
    return copy


def test_of_a_copied_gateway_one_is_linked_and_neither_loses_or_doubles_a_directive(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        county, first = tiers.county, tiers.township
        await issue(tiers, county, COUNTY, "1")
        await until(lambda: titles(first) == ["1"])
        await first.stop()
        second = Running(copied(tmp_path), TOWNSHIP, county.url)
        await first.start()
        await until(lambda: TOWNSHIP in county.node.links.up)
        epoch = first.node.journal.epoch
        try:
            await second.start()
            await until(lambda: written(county, SPLIT), "the county writes it down")
            await until(lambda: written(first, SPLIT) or written(second, SPLIT), "and so does whom it refused")
            winner, loser = (first, second) if written(second, SPLIT) else (second, first)
            await until(lambda: loser.node.journal.epoch != epoch, "the copy begins a new epoch")
            await issue(tiers, county, COUNTY, "2")
            await until(lambda: titles(winner) == ["1", "2"])
            await winner.stop()
            await until(lambda: titles(loser) == ["1", "2"], "the copy takes over once the other is gone")
            await until(lambda: county.node.journal.cursor(TOWNSHIP)[0] == loser.node.journal.epoch, "it is read anew")
            assert {row.via for row in written(county, SPLIT)} == {TOWNSHIP, COUNTY}, "and what the copy wrote"
        finally:
            await second.stop()

    story(tmp_path, tell)


def test_a_program_that_dials_again_beside_its_own_stalled_link_is_not_a_copy(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        await tiers.township.stop()
        links = [await Impostor.dial(tiers, tmp_path, tiers.county, TOWNSHIP) for _ in range(3)]
        for child, program in zip(links, ("p-1", "p-1", "p-2"), strict=True):
            hello = msgspec.structs.replace(child.hello(COUNTY), program=program)
            if program == "p-1":
                await child.say(hello)
                await child.until(type(hello))
            else:
                assert await refused(child, hello) == SPLIT
        assert tiers.county.node.links.up == {TOWNSHIP}
        for child in links:
            await child.socket.close()

    story(tmp_path, tell)


@pytest.mark.parametrize(("node", "parent"), [(VILLAGE, COUNTY), (PROVINCE, COUNTY), (COUNTY, COUNTY)])
def test_whom_the_tree_has_elsewhere_is_refused_and_that_is_written_down_once(
    tmp_path: Path, node: NodeCode, parent: NodeCode
) -> None:
    """A grandchild, a parent and the node itself dial: no loop is made of links."""

    async def tell(tiers: Cluster) -> None:
        for _ in range(3):
            stray = await Impostor.dial(tiers, tmp_path, tiers.county, node)
            assert await refused(stray, stray.hello(parent)) == "wrong-place"
        assert [row.via for row in written(tiers.county, "wrong-place")] == [node]
        assert tiers.county.node.links.up == {TOWNSHIP}

    story(tmp_path, tell)


def test_a_gateway_sent_to_another_than_its_parent_is_not_linked_there(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        """The village dials the county, as if that were the township."""
        await tiers.village.stop()
        before = telemetry.value("link_refused", code="token-wrong-node")
        lost = await Running(tmp_path, VILLAGE, tiers.county.url).start()
        try:
            await until(lambda: telemetry.value("link_refused", code="token-wrong-node") > before, "it is refused")
            assert lost.node.links.uplink_up is False
            assert tiers.county.node.links.up == {TOWNSHIP}
        finally:
            await lost.stop()

    story(tmp_path, tell)
