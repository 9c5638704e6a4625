"""Every row is routed once, whatever the number of links, and each link is sent exactly what concerns it."""

import random
from pathlib import Path

import pytest

from gateway import batches as batches_module
from gateway import ways as ways_module
from gateway.batches import Batches
from gateway.journal import Journal
from gateway.ways import PAGE_ROWS
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.messages import LinkRecords
from signaling.records import AnyRecord, Stage, Urgency
from signaling.routing import Router
from tests.support.clock import FakeClock
from tests.support.facts import order, raised, recall, relayed, word
from tests.support.loop import on_loop
from tests.support.places import CITY, COUNTY, TOWNSHIP, TREE
from tests.support.sender import Sender

SEED = 430423
NEIGHBOURS = (CITY, *TREE.children(COUNTY))


class Counting(Router):
    """A router that counts what it is asked."""

    asked = 0

    def onward(self, record: AnyRecord, via: NodeCode | None) -> frozenset[NodeCode]:
        self.asked += 1
        return super().onward(record, via)


def mixed(draw: random.Random, count: int) -> list[tuple[AnyRecord, NodeCode | None]]:
    """Return ``count`` orders of here and of above, their reports, their ends, and alarms; and whom each came by."""
    made: list[tuple[AnyRecord, NodeCode | None]] = []
    townships = TREE.children(COUNTY)
    villages = [village for town in townships for village in TREE.children(town)]
    while len(made) < count:
        n = len(made)
        node, via = draw.choice(((COUNTY, None), (CITY, CITY)))
        directive, places = DirectiveId(f"d-{n}"), tuple(draw.sample(villages, draw.randint(1, 5)))
        made.append((order(*places, directive=directive, node=node, urgency=draw.choice(list(Urgency))), via))
        made += ((word(Stage.DELIVERED, directive=directive, recipient=place), TREE.parent(place)) for place in places)
        made.append((relayed(directive, child=draw.choice(townships)), None))
        made.append((raised(alarm=f"a-{n}", place=draw.choice(villages)), draw.choice((None, CITY, TOWNSHIP))))
        made.append((recall(directive=directive, node=node), via))
    return made[:count]


async def filled(path: Path, count: int) -> tuple[Sender, Counting]:
    router = Counting(COUNTY, TREE)
    node = Sender(Journal.open(path / "journal.sqlite", COUNTY, FakeClock()), router)
    for record, via in mixed(random.Random(SEED), count):
        node.journal.append(record, via=via)
    await node.journal.append()
    assert node.journal.head == count
    return node, router


def toward(node: Sender, peer: NodeCode) -> list[int]:
    """Return the rows that go to ``peer``, looked through from the first."""
    found: list[int] = []
    seq = Seq(0)
    while seq < node.ways.head:
        rows, after = node.ways.after(peer, seq)
        assert seq < after
        assert all(seq < row <= after for row in rows)
        found += rows
        seq = after
    return found


def expected(node: Sender, peer: NodeCode) -> list[int]:
    """Return the same, each row tested for itself."""
    rows = node.journal.replay()
    return [row.seq for row in rows if row.via != peer and node.router.concerns(row.record, peer)]


@on_loop
async def test_each_row_is_routed_once_for_all_neighbours(tmp_path: Path) -> None:
    node, router = await filled(tmp_path, 2 * PAGE_ROWS + 300)
    asked = router.asked
    assert asked < 2 * node.journal.head  # the urgent ones a second time, by the express
    for peer in NEIGHBOURS:
        assert toward(node, peer) == expected(node, peer), SEED
    assert router.asked == asked
    assert any(toward(node, town) for town in TREE.children(COUNTY))
    await node.journal.close()


@on_loop
async def test_after_a_restart_a_page_is_read_once_by_the_first_who_needs_it(tmp_path: Path) -> None:
    node, _ = await filled(tmp_path, 2 * PAGE_ROWS + 300)
    router = Counting(COUNTY, TREE)
    again = Sender(node.journal, router)
    before = router.asked
    rows, last = again.ways.after(TOWNSHIP, Seq(PAGE_ROWS + 500))
    assert (router.asked - before, last) == (PAGE_ROWS, 2 * PAGE_ROWS)
    assert list(rows) == [seq for seq in expected(node, TOWNSHIP) if PAGE_ROWS + 500 < seq <= 2 * PAGE_ROWS]
    for peer in NEIGHBOURS:
        assert toward(again, peer) == expected(node, peer)
    assert router.asked - before == node.journal.head
    await again.journal.append(order(directive="d-new"))
    assert toward(again, TOWNSHIP) == expected(again, TOWNSHIP)
    await node.journal.close()


@on_loop
async def test_memory_is_bounded_and_what_was_let_go_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways_module, "MOST_WEIGHT", 1)
    node, _ = await filled(tmp_path, 3 * PAGE_ROWS + 10)
    for peer in NEIGHBOURS[:3]:
        assert toward(node, peer) == expected(node, peer)
        assert len(node.ways._pages) == 1
    assert node.ways._weight == sum(page.weight for page in node.ways._pages.values())
    await node.journal.append(order(directive="d-new"))  # the newest page was let go and is there again
    assert toward(node, TOWNSHIP) == expected(node, TOWNSHIP)
    await node.journal.close()


@on_loop
async def test_a_link_is_sent_all_that_concerns_it_from_any_place(tmp_path: Path) -> None:
    node, _ = await filled(tmp_path, 2 * PAGE_ROWS + 300)
    data = {row.seq: row.data.decode() for row in node.journal.replay()}
    draw = random.Random(SEED)
    for peer in NEIGHBOURS:
        after = Seq(draw.randrange(node.journal.head))
        sent = [item for batch in node.drain(peer, after) for item in batch.items]
        assert sorted(sent) == sorted(data[Seq(seq)] for seq in expected(node, peer) if seq > after), (SEED, after)
    await node.journal.close()


@on_loop
async def test_who_has_long_had_nothing_is_told_how_far_it_need_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches_module, "PASSED_ROWS", 1_500)
    node = Sender(Journal.open(tmp_path / "journal.sqlite", COUNTY, FakeClock()), Router(COUNTY, TREE))
    batches = Batches(node, TOWNSHIP, Seq(0))

    def drained() -> list[tuple[int, Seq]]:
        found: list[LinkRecords] = []
        while (batch := batches.ahead() or batches.next()) is not None:
            found.append(batch)
        return [(len(batch.items), batch.last) for batch in found]

    async def elsewhere(begin: int, end: int) -> None:
        await node.journal.append(*(word(Stage.DELIVERED, directive=f"x-{n}") for n in range(begin, end)))

    await node.journal.append(order())
    assert drained() == [(1, 1)]
    await elsewhere(0, 1_499)
    assert drained() == []
    await elsewhere(1_499, 1_510)
    assert drained() == [(0, 1_511)]
    await node.journal.append(order(directive="d-2"))  # urgent, and behind nothing that goes the same way
    assert drained() == [(1, 1_512)]
    await node.journal.close()
