"""Whole gateways: three tiers in one process, talked to as terminals and consoles do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.app import Node
from gateway.config import ConfigError
from signaling.ids import RecordKey
from signaling.messages import AlarmView, DeliveryChanged, DirectiveView, NodeView, Receipt, Welcome
from signaling.records import Stage
from tests.support.cluster import cluster, until
from tests.support.edge import settings
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE, commander, terminal


def order(click_id: str = "click-1") -> dict[str, object]:
    return {
        "click_id": click_id,
        "urgency": "P1",
        "title": "转移",
        "text": "立即转移危险区群众",
        "scope": [{"node": COUNTY, "mode": "subtree"}],
        "exercise": False,
    }


def test_a_directive_rings_two_tiers_below_and_its_signature_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
            console = await tiers.sign_in(tiers.county, commander(COUNTY))
            assert isinstance((await page.hear(Welcome)), Welcome)
            assert isinstance(page.heard[0], Welcome)
            status, issued = await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order())
            assert status == 201
            ring = await page.hear(DirectiveView)
            assert ring.directive == issued["id"]
            for stage in (Stage.DELIVERED, Stage.SHOWN):
                await page.say(Receipt(directive=ring.directive, stage=stage))
                await page.hear(DirectiveView, lambda view, stage=stage: view.mine.stage is stage)
            path = f"directives/{ring.directive}/sign"
            status, _ = await tiers.call(tiers.village, terminal(VILLAGE), "POST", path, {"name": "赵支书"})
            assert status == 200
            moved = await console.hear(
                DeliveryChanged, lambda m: m.recipient.node == VILLAGE and m.recipient.stage is Stage.SIGNED
            )
            assert moved.recipient.signed_by == "赵支书"
            await console.hear(DeliveryChanged, lambda m: m.recipient.relayed_at is not None)
            await page.close()

    asyncio.run(story())


def test_a_directive_issued_while_a_middle_node_is_down_arrives_once_when_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            await tiers.township.stop()
            page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
            _, issued = await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order())
            await page.hear(Welcome)
            assert not [m for m in page.heard if isinstance(m, DirectiveView)]
            await tiers.township.start()
            view = await page.hear(DirectiveView)
            assert view.directive == issued["id"]
            await tiers.linked()
            rows = [row.key for row in tiers.village.node.journal.replay()]
            assert rows.count(RecordKey(f"directive:{issued['id']}:issued")) == 1

    asyncio.run(story())


def test_a_restarted_node_remembers_what_it_was_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            _, issued = await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order())
            await until(lambda: len(list(tiers.village.node.directives.open_for(VILLAGE))) == 1)
            await tiers.village.stop()
            await tiers.village.start()
            page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
            assert (await page.hear(DirectiveView)).directive == issued["id"]

    asyncio.run(story())


def test_an_alarm_in_the_village_shows_at_every_tier(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            console = await tiers.sign_in(tiers.county, commander(COUNTY))
            neighbour = await tiers.sign_in(tiers.township, terminal(TOWNSHIP))
            status, raised = await tiers.call(
                tiers.village, terminal(VILLAGE), "POST", "alarms", {"kind": "flood", "text": "河水漫堤"}
            )
            assert status == 201
            for page in (console, neighbour):
                assert (await page.hear(AlarmView)).alarm == raised["id"]

    asyncio.run(story())


def test_a_place_is_seen_to_come_and_go_from_two_tiers_above(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            console = await tiers.sign_in(tiers.county, commander(COUNTY))
            page = await tiers.sign_in(tiers.village, terminal(VILLAGE))
            await console.hear(NodeView, lambda m: m.node == VILLAGE and m.online and m.terminals == 1)
            await page.close()
            await tiers.village.stop()
            await console.hear(NodeView, lambda m: m.node == VILLAGE and not m.online)
            assert VILLAGE not in tiers.county.node.presence.online()

    asyncio.run(story())


def test_readiness_names_what_is_not_there(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            checks = tiers.village.node.readiness()
            assert checks["journal"] == checks["uplink"] == ""
            assert checks["bus"]  # these tests run without Redis, and nothing else minds
            assert "uplink" not in tiers.county.node.readiness()
            await tiers.township.stop()
            await until(lambda: tiers.village.node.readiness()["uplink"])

    asyncio.run(story())


def test_two_gateways_cannot_share_one_journal(tmp_path: Path) -> None:
    async def story() -> None:
        async with cluster(tmp_path) as tiers:
            with pytest.raises(ConfigError):
                await Node.build(tiers.village.node.config)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sections", "word"),
    [
        ({"tree": {"file": "nowhere.csv"}}, "nowhere.csv"),
        ({"uplink": {"url": "ws://127.0.0.1:1/link", "parent": VILLAGE}}, "uplink.parent"),
        ({"media": {"hosts": ["192.0.2.1"]}}, "media 192.0.2.1"),
    ],
)
def test_a_node_that_cannot_start_says_what_to_change(
    tmp_path: Path, sections: dict[str, dict[str, object]], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        asyncio.run(Node.build(settings(tmp_path, COUNTY, **sections)))
