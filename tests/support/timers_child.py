"""A county that issues, signs and lets time pass as fast as it can, and says how many timers have fired.

Started by test_timers_proof.py, which kills it.  Arguments: folder, seed, number of this run, timers to fire in it.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.journal import Row
from signaling.ids import DirectiveId
from signaling.records import DirectiveRequest, ScopeItem, Stage, TimerFired, Urgency

from .clock import START, FakeClock
from .nodes import Node
from .places import COUNTY, TREE, commander, terminal

MINUTE = 60_000
PLACES = tuple(TREE.subtree(COUNTY))


def count(node: Node) -> list[int]:
    """Return the number of timers that have fired, kept current."""
    fired = [0]

    def fold(rows: Sequence[Row]) -> None:
        fired[0] += sum(isinstance(row.record, TimerFired) for row in rows)

    node.journal.follow(fold, ("timer:",))
    return fired


async def step(node: Node, draw: random.Random, click: str) -> None:
    """Issue a handful together, let a few places sign, and let up to an hour pass."""

    def request(number: int) -> DirectiveRequest:
        scope = tuple(ScopeItem(node=place) for place in draw.sample(PLACES, draw.randrange(1, 30)))
        urgency = draw.choice(list(Urgency))
        return DirectiveRequest(click_id=f"{click}:{number}", urgency=urgency, title="转移", text="立即", scope=scope)

    issuing = (node.directives.issue(commander(), request(number)) for number in range(5))
    for order, _ in await asyncio.gather(*issuing):
        place = draw.choice(order.recipients)
        await node.directives.receipt(terminal(place), DirectiveId(order.directive), Stage.SHOWN)
        await node.directives.sign(terminal(place), DirectiveId(order.directive))
    for _ in range(draw.randrange(1, 4)):
        node.clock.advance(draw.randrange(20 * MINUTE))
        await node.timers.fire()


async def main(folder: Path, seed: int, run: int, timers: int) -> None:
    clock = FakeClock(serial=(run + 1) << 32)
    node = Node(COUNTY, folder, clock)
    last = max((row.record.at for row in node.journal.replay()), default=START)
    clock.advance(last - clock.at() + 1)
    node = await node.restart()
    draw = random.Random(seed * 1_000 + run)
    fired, number = count(node), 0
    await node.timers.fire()
    while fired[0] < timers:
        number += 1
        await step(node, draw, f"{run}:{number}")
        sys.stdout.write(f"{fired[0]} fired\n")
        sys.stdout.flush()
    await node.close()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
