"""Batches of neighbours are taken in one after the other, in order, and the event loop has its turns between."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.holding import Holding
from gateway.intake import TURN_RECORDS, Intake
from signaling import records
from signaling.ids import DirectiveId, NodeCode, UtcMs
from signaling.messages import VERSION
from signaling.records import AnyRecord, DeliveryAdvanced, Stage
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE

MANY = 7 * TURN_RECORDS + 1


class Taking:
    """Drivers that write down what they receive; ``turns``: how much of it by each turn of the loop."""

    def __init__(self) -> None:
        self.received: list[tuple[NodeCode, str]] = []
        self.turns: list[int] = []

    def link_record(self, record: AnyRecord, via: NodeCode) -> None:
        assert isinstance(record, DeliveryAdvanced)
        self.received.append((via, record.directive))

    async def count(self) -> None:
        while True:
            self.turns.append(len(self.received))
            await asyncio.sleep(0)


def batch(of: str, count: int = MANY) -> list[str]:
    return [
        records.encode(
            DeliveryAdvanced(
                node=VILLAGE, at=UtcMs(n), directive=DirectiveId(f"d-{of}-{n}"), recipient=VILLAGE, stage=Stage.SHOWN
            )
        ).decode()
        for n in range(count)
    ]


@on_loop
async def test_a_flood_from_two_neighbours_leaves_the_loop_its_turns(tmp_path: Path) -> None:
    node, taking = Node(COUNTY, tmp_path), Taking()
    holding = Holding(node.code, node.journal, node.clock, node.telemetry)
    intake = Intake(taking, node.refusals, holding)
    counting = asyncio.create_task(taking.count())

    async def link(peer: NodeCode, of: str) -> None:
        for n in range(3):
            assert await intake.take(batch(f"{of}{n}"), peer, VERSION)

    await asyncio.gather(link(TOWNSHIP, "a"), link(VILLAGE, "b"))
    counting.cancel()
    most = max(after - before for before, after in zip(taking.turns, taking.turns[1:], strict=False))
    assert most <= TURN_RECORDS, "more was taken in within one turn of the loop"
    for peer, of in ((TOWNSHIP, "a"), (VILLAGE, "b")):
        mine = [directive for via, directive in taking.received if via == peer]
        assert mine == [f"d-{of}{n}-{m}" for n in range(3) for m in range(MANY)]
    turns = [via for via, _ in taking.received[::MANY]]
    assert turns == [TOWNSHIP, VILLAGE] * 3, "neighbours take turns, batch by batch"
    await node.close()


@on_loop
async def test_a_link_that_ends_in_the_middle_of_its_batch_holds_up_nobody(tmp_path: Path) -> None:
    node, taking = Node(COUNTY, tmp_path), Taking()
    intake = Intake(taking, node.refusals, Holding(node.code, node.journal, node.clock, node.telemetry))
    ended = asyncio.create_task(intake.take(batch("a"), TOWNSHIP, VERSION))
    other = asyncio.create_task(intake.take(batch("b", 1), VILLAGE, VERSION))
    while not taking.received:
        await asyncio.sleep(0)
    ended.cancel()
    assert await other
    assert 0 < len(taking.received) < MANY
    assert taking.received[-1] == (VILLAGE, "d-b-0")
    await node.close()
