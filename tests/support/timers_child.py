"""A county that issues, signs, raises alarms and lets time pass as fast as it can, and says what has fired.

Started by test_timers_proof.py, which kills it.  Arguments: folder, seed, number of this run, timers to fire in it.
A line ``N fired`` stands behind everything that became durable and before everything that is about to fire, so
whoever kills it after so many lines kills it in the middle of any of these.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.journal import Row
from signaling.ids import DirectiveId
from signaling.overdue import KINDS
from signaling.records import DirectiveRequest, ScopeItem, Stage, TimerFired, TimerKind, Urgency

from .alarm_life import MINUTE, live_through
from .clock import START, FakeClock
from .nodes import Node
from .places import COUNTY, TREE, commander, terminal

PLACES = tuple(TREE.subtree(COUNTY))
DEEDS = 8
"""With alarms, between two stretches of time."""


class Said:
    """How many timers have fired in this run, of what kinds; a line of it whenever something became durable."""

    def __init__(self, node: Node) -> None:
        self.fired = 0
        self.kinds: set[TimerKind] = set()
        node.journal.follow(self._fold, ("timer:",))
        node.journal.subscribe(lambda rows: self.line())

    def _fold(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if isinstance(row.record, TimerFired):
                self.fired += 1
                self.kinds.add(row.record.kind)

    def line(self) -> None:
        sys.stdout.write(f"{self.fired} fired\n")
        sys.stdout.flush()


async def orders(node: Node, draw: random.Random, click: str) -> None:
    """Issue a handful together and let a few places sign."""

    def request(number: int) -> DirectiveRequest:
        scope = tuple(ScopeItem(node=place) for place in draw.sample(PLACES, draw.randrange(1, 30)))
        urgency = draw.choice(list(Urgency))
        return DirectiveRequest(click_id=f"{click}:{number}", urgency=urgency, title="转移", text="立即", scope=scope)

    issuing = (node.directives.issue(commander(), request(number)) for number in range(5))
    for order, _ in await asyncio.gather(*issuing):
        place = draw.choice(order.recipients)
        await node.directives.receipt(terminal(place), DirectiveId(order.directive), Stage.SHOWN)
        await node.directives.sign(terminal(place), DirectiveId(order.directive))


async def alarms(node: Node, draw: random.Random, number: int) -> None:
    """Let a few things happen with alarms, and somebody take a list of what is overdue in hand."""
    for _ in range(DEEDS):
        await live_through(node.alarms, node.journal, node.clock, draw, number)
    lists = [one.overdue for one in node.overdue.list(commander(), 10) if one.superior == COUNTY]
    if lists:
        await node.overdue.acknowledge(commander(), draw.choice(lists), "已派人去看")


async def fire(node: Node, said: Said) -> None:
    """Fire what is due of both kinds."""
    said.line()
    await asyncio.gather(node.timers.fire(), node.overdue_timers.fire())


async def main(folder: Path, seed: int, run: int, timers: int) -> None:
    clock = FakeClock(serial=(run + 1) << 32)
    node = Node(COUNTY, folder, clock)
    last = max((row.record.at for row in node.journal.replay()), default=START)
    clock.advance(last - clock.at() + 1)
    node = await node.restart()
    draw, said, number = random.Random(seed * 1_000 + run), Said(node), 0
    await fire(node, said)
    while said.fired < timers or not said.kinds >= set(KINDS):
        number += 1
        await orders(node, draw, f"{run}:{number}")
        for _ in range(draw.randrange(1, 4)):
            await alarms(node, draw, number)
            clock.advance(draw.randrange(20 * MINUTE))
            await fire(node, said)
    said.line()
    await node.close()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
