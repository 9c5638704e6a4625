"""What a flood of datagrams does to calls and to the event loop: ``python -m tests.faults.flood``.

One gateway, whole, in this process; everybody else is a process of its own.  Calls go on through spells: a quiet
one; one in which a stranger throws 30,000 datagrams a second at the media port; one in which a participant does,
from its own address; one in which a participant sends so many authentic packets of its picture; and a quiet one
again.  All traffic is on loopback and bounded in count and in time.  One line of JSON for each spell.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from gateway.app import Node
from media import _native
from media.stats import growth
from tests.support.cluster import Running
from tests.support.places import COUNTY

from .far import Load, Loads
from .measure import percentile
from .throwing import calls, junk, pictures

TICK_S = 0.005
PAIRS = 4
PER_S = 100
"""Packets a second of each call."""
SPELLS: dict[str, tuple[Load, dict[str, Any]] | None] = {
    "quiet": None,
    "stranger": (junk, {"inside": False}),
    "participant's junk": (junk, {"inside": True}),
    "participant's pictures": (pictures, {}),
    "quiet again": None,
}


@dataclass(frozen=True, slots=True)
class Spell:
    """What was measured in one spell.

    Attributes:
        sent: Packets of the calls; ``lost`` of them never came.
        thrown: Datagrams of the flood, within ``took_s``; ``passed`` of them reached a viewer.
        lag_ms: How late the event loop ran: median, 99th percentile, worst.
        worker_share: Of one core, setting up the calls included.
        drops: Datagrams the engine threw away, by reason.
    """

    name: str
    sent: int
    lost: int
    thrown: int
    passed: int
    took_s: float
    lag_ms: tuple[float, float, float]
    worker_share: float
    drops: dict[str, int]

    @property
    def loss(self) -> float:
        return self.lost / self.sent


async def measure(node: Node, name: str, seconds: float, per_s: int, seed: int) -> Spell:
    """Hold calls for ``seconds`` through the spell of ``name``."""
    loads: list[tuple[Load, dict[str, Any]]] = [(calls, {"pairs": PAIRS, "per_s": PER_S, "seconds": seconds})]
    flood = SPELLS[name]
    if flood is not None:
        loads.append((flood[0], {**flood[1], "per_s": per_s, "seconds": seconds, "seed": seed}))
    before, used = node.engine.stats(), node.engine.worker_cpu_ns()
    lags: list[float] = []
    watching = asyncio.create_task(_watch(lags))
    native = cast(_native.Engine, node.engine.native)
    call, *thrown = await Loads(native).run(*loads, limit_s=10 * seconds + 30)
    watching.cancel()
    busy_s = sum(b - a for a, b in zip(used, node.engine.worker_cpu_ns(), strict=True)) / 1e9
    drops = growth(before.drops, node.engine.stats().drops)
    lags.sort()
    return Spell(
        name,
        call["sent"],
        call["sent"] - call["came"],
        sum(each["thrown"] for each in thrown),
        sum(each.get("came", 0) for each in thrown),
        thrown[0]["took_s"] if thrown else call["took_s"],
        (1e3 * percentile(lags, 0.5), 1e3 * percentile(lags, 0.99), 1e3 * lags[-1]),
        busy_s / call["took_s"],
        {reason: count for reason, count in drops.items() if count},
    )


async def _watch(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append(max(0.0, loop.time() - due))


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[Node]:
    running = await Running(folder, COUNTY, None).start()
    try:
        yield running.node
    finally:
        await running.stop()


async def report(seconds: float, per_s: int, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with gateway(Path(folder)) as node:
            for name in SPELLS:
                spell = await measure(node, name, seconds, per_s, seed)
                print(json.dumps({**asdict(spell), "loss": spell.loss}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each spell, up to 60")
    parser.add_argument("--per-s", type=int, default=30_000, help="datagrams a second of the flood, up to 100000")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    asyncio.run(report(min(given.seconds, 60.0), min(given.per_s, 100_000), given.seed))


if __name__ == "__main__":
    main()
