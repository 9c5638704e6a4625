"""After an outage what is urgent comes first, in its order, and nothing is lost or sent twice on one link."""

import asyncio
import random
from pathlib import Path

from gateway.express import BEHIND_ROWS, CLASSES, Express
from gateway.journal import Journal, Row
from signaling.ids import DirectiveId, Seq
from signaling.link import BATCH_BYTES
from signaling.records import DirectiveIssued, DirectiveRecalled, DirectiveRequest, ScopeItem, Stage, Urgency
from tests.support.clock import FakeClock
from tests.support.cluster import Cluster, cluster, until
from tests.support.facts import order, recall, word
from tests.support.loop import on_loop
from tests.support.places import COUNTY, VILLAGE, commander

SEED = 430423


def urgencies(draw: random.Random, count: int) -> list[Urgency]:
    return draw.choices(list(Urgency), weights=(1, 2, 10, 20), k=count)


async def filled(path: Path, count: int) -> tuple[Journal, Express]:
    """Return a journal of ``count`` orders of mixed urgency, each P0 recalled at the end, and its express."""
    draw = random.Random(SEED)
    journal = Journal.open(path / "journal.sqlite", COUNTY, FakeClock())
    express = Express(journal)
    orders = [order(directive=DirectiveId(f"d-{n}"), urgency=u) for n, u in enumerate(urgencies(draw, count))]
    await journal.append(*orders)
    await journal.append(*(word(Stage.DELIVERED, directive=o.directive) for o in orders[:50]))
    await journal.append(*(recall(directive=o.directive) for o in orders if o.urgency is Urgency.P0))
    return journal, express


def drain(journal: Journal, express: Express, most_bytes: int = BATCH_BYTES) -> list[Row]:
    """Do what a link does until nothing is left; return the rows in the order they were sent."""
    lane, sent, out = express.lane(), Seq(0), []
    while True:
        ahead = lane.ahead(sent, journal.head, lambda row: True, most_bytes)
        out += ahead
        if ahead:
            continue
        rows = journal.read(sent, 40)
        if not rows:
            return out
        out += [row for row in rows if not lane.overtook(row)]
        sent = rows[-1].seq


@on_loop
async def test_every_row_is_sent_once_and_the_urgent_ones_first_in_their_order(tmp_path: Path) -> None:
    journal, express = await filled(tmp_path, 600)
    for most_bytes in (1, 5_000, BATCH_BYTES):
        sent = [row.seq for row in drain(journal, express, most_bytes)]
        assert sorted(sent) == list(range(1, journal.head + 1)), SEED
        classes = {row.seq: express.class_of(row) for row in journal.replay()}
        ranks = [CLASSES.index(u) if (u := classes[seq]) is not None else len(CLASSES) for seq in sent]
        assert ranks == sorted(ranks)
        assert [s for s in sent if classes[s] is None] == [s for s in sorted(sent) if classes[s] is None]
        for urgency in CLASSES:
            own = [s for s in sent if classes[s] is urgency]
            assert own == sorted(own)
            assert own
    await journal.close()


@on_loop
async def test_what_ends_an_urgent_order_is_as_urgent_and_receipts_are_not(tmp_path: Path) -> None:
    journal, express = await filled(tmp_path, 300)
    for row in journal.replay():
        match row.record:
            case DirectiveRecalled():
                assert express.class_of(row) is Urgency.P0
            case DirectiveIssued(urgency=urgency):
                assert express.class_of(row) == (urgency if urgency in CLASSES else None)
            case _:
                assert express.class_of(row) is None
    again = Express(journal)  # as after a restart
    assert [express.class_of(row) for row in journal.replay()] == [again.class_of(row) for row in journal.replay()]
    await journal.close()


@on_loop
async def test_a_link_that_keeps_up_keeps_the_order(tmp_path: Path) -> None:
    journal, express = await filled(tmp_path, 300)
    lane = express.lane()
    assert lane.ahead(Seq(journal.head - BEHIND_ROWS), journal.head, lambda row: True, BATCH_BYTES) == []
    assert not any(lane.overtook(row) for row in journal.replay())
    await journal.close()


@on_loop
async def test_what_does_not_concern_the_neighbour_is_passed_over_for_good(tmp_path: Path) -> None:
    journal, express = await filled(tmp_path, 300)
    lane = express.lane()
    assert lane.ahead(Seq(0), journal.head, lambda row: False, BATCH_BYTES) == []
    assert lane.ahead(Seq(0), journal.head, lambda row: True, BATCH_BYTES) == []
    await journal.close()


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
