"""After an outage what is urgent comes first, in its order, and nothing is lost or sent twice on one link."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.batches import Batches
from gateway.express import BEHIND_ROWS, CLASSES
from gateway.journal import Journal
from signaling import records
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.link import BATCH_BYTES
from signaling.records import (
    DeliveryAdvanced,
    DirectiveIssued,
    DirectiveRecalled,
    DirectiveRequest,
    ScopeItem,
    Stage,
    Urgency,
)
from signaling.routing import Router
from tests.support.clock import FakeClock
from tests.support.cluster import Cluster, cluster, until
from tests.support.facts import order, recall, word
from tests.support.loop import on_loop
from tests.support.places import CITY, COUNTY, OTHER_TOWNSHIP, TOWNSHIP, TREE, VILLAGE, commander
from tests.support.sender import Sender

SEED = 430423


def urgencies(draw: random.Random, count: int) -> list[Urgency]:
    return draw.choices(list(Urgency), weights=(1, 2, 10, 20), k=count)


async def filled(path: Path, count: int) -> Sender:
    """Return a county's journal of ``count`` orders of mixed urgency, each P0 recalled at the end."""
    draw = random.Random(SEED)
    journal = Journal.open(path / "journal.sqlite", COUNTY, FakeClock())
    node = Sender(journal, Router(COUNTY, TREE))
    orders = [order(directive=DirectiveId(f"d-{n}"), urgency=u) for n, u in enumerate(urgencies(draw, count))]
    await journal.append(*orders)
    await journal.append(*(word(Stage.DELIVERED, directive=o.directive) for o in orders[:50]))
    await journal.append(*(recall(directive=o.directive) for o in orders if o.urgency is Urgency.P0))
    return node


def sent(node: Sender, peer: NodeCode = TOWNSHIP) -> list[str]:
    """Return what a link sends, in the order it is sent."""
    return [item for batch in node.drain(peer) for item in batch.items]


def turns(node: Sender) -> dict[str, Seq]:
    """Return the place in the journal of what concerns the township."""
    rows = node.journal.replay()
    return {row.data.decode(): row.seq for row in rows if not isinstance(row.record, DeliveryAdvanced)}


def classes(items: Sequence[str]) -> list[Urgency | None]:
    """Return the class each record is to overtake in."""
    told = [records.decode(item.encode()) for item in items]
    urgency = {r.directive: r.urgency for r in told if isinstance(r, DirectiveIssued)}
    found = [urgency[r.directive] for r in told if isinstance(r, DirectiveIssued | DirectiveRecalled)]
    assert len(found) == len(told)
    return [u if u in CLASSES else None for u in found]


@on_loop
@pytest.mark.parametrize("most_bytes", [1, 5_000, BATCH_BYTES])
async def test_every_row_is_sent_once_and_the_urgent_ones_first_in_their_order(
    most_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.batches.BATCH_BYTES", most_bytes)
    node = await filled(tmp_path, 600)
    turn = turns(node)
    told = sent(node)
    assert len(told) == len(set(told))
    assert set(told) == turn.keys(), SEED
    ranks = [len(CLASSES) if u is None else CLASSES.index(u) for u in classes(told)]
    behind = len(turn) - BEHIND_ROWS  # the rest keep their order
    assert ranks[:behind] == sorted(ranks[:behind])
    for urgency in (*CLASSES, None):
        own = [turn[item] for item, u in zip(told, classes(told), strict=True) if u is urgency]
        assert own == sorted(own)
        assert own
    await node.journal.close()


@on_loop
async def test_the_cursor_told_never_passes_a_row_that_was_not_sent_and_ends_at_the_last(tmp_path: Path) -> None:
    node = await filled(tmp_path, 600)
    turn, last = turns(node), 0
    gone: set[int] = set()
    for batch in node.drain(TOWNSHIP):
        assert batch.last >= last
        last = batch.last
        gone |= {turn[item] for item in batch.items}
        assert not {seq for seq in set(turn.values()) - gone if seq <= last}
    assert last == node.journal.head  # though the last rows are recalls, which overtook: what is held is acknowledged
    await node.journal.close()


@on_loop
async def test_after_a_restart_the_same_rows_are_urgent(tmp_path: Path) -> None:
    node = await filled(tmp_path, 300)
    again = Sender(node.journal, Router(COUNTY, TREE))
    for urgency in CLASSES:
        assert again.express.rows(TOWNSHIP, urgency) == node.express.rows(TOWNSHIP, urgency)
        assert node.express.rows(TOWNSHIP, urgency)
        assert not node.express.rows(CITY, urgency)
    assert sent(again) == sent(node)
    await node.journal.close()


@on_loop
async def test_a_link_that_keeps_up_keeps_the_order(tmp_path: Path) -> None:
    node = await filled(tmp_path, 300)
    rows = list(turns(node).values())
    assert Batches(node, TOWNSHIP, Seq(rows[-BEHIND_ROWS] - 1)).ahead() is None
    assert Batches(node, TOWNSHIP, Seq(rows[-BEHIND_ROWS - 1] - 1)).ahead() is not None
    await node.journal.close()


@on_loop
async def test_urgent_rows_do_not_go_to_those_they_do_not_concern(tmp_path: Path) -> None:
    node = await filled(tmp_path, 300)
    assert Batches(node, OTHER_TOWNSHIP, Seq(0)).ahead() is None
    assert sent(node, OTHER_TOWNSHIP) == []
    await node.journal.close()


def test_a_village_that_comes_back_hears_the_flood_order_before_the_routine(tmp_path: Path) -> None:
    routine = 300

    async def tell(tiers: Cluster) -> None:
        county, village = tiers.county.node, tiers.village
        await village.stop()

        def request(number: int, urgency: Urgency) -> DirectiveRequest:
            scope = (ScopeItem(node=VILLAGE),)
            return DirectiveRequest(click_id=f"c{number}", urgency=urgency, title="日常", text="报表", scope=scope)

        for start in range(0, routine, 50):
            issued = (county.directives.issue(commander(), request(start + n, Urgency.P3)) for n in range(50))
            await asyncio.gather(*issued)
        flood, _ = await county.directives.issue(commander(), request(routine, Urgency.P0))
        await until(lambda: tiers.township.node.directives.issued(flood.directive), "the township has it")
        await village.start()
        have = village.node.directives
        await until(lambda: len(list(have.list(commander(COUNTY), limit=10_000))) == routine + 1, "all have come")
        rows = [r.record.directive for r in village.node.journal.replay() if isinstance(r.record, DirectiveIssued)]
        assert rows[0] == flood.directive
        assert len(rows) == len(set(rows)) == routine + 1

    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())
