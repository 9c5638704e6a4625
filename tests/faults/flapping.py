"""A link that comes and goes while directives cross it: ``python -m tests.faults.flapping``.

The line between county and township is whole for ``--up`` seconds and cut for ``--down``, over and over (CHECKS R10:
2 s, 3 s, ten minutes).  Told are the attempts to dial a minute, what both gateways cost, how many orders were never
shown or shown twice, and how long the slowest took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gateway.proving.history import Verdict
from tests.support.ports import free_ports

from .bus import SHOWN_S, TIERS, Office, office

UPPER, LOWER = TIERS


@dataclass(frozen=True, slots=True)
class Flapping:
    """What it came to.  ``cpu``: both gateways' processor seconds per second; ``slowest_s``: click to screen."""

    cuts: int
    orders: int
    attempts_per_minute: float
    cpu: float
    p50_s: float
    slowest_s: float


def cpu_s(on: Office) -> float:
    """Return the processor time both gateways have used."""
    ticks = 0
    for tier in TIERS:
        with suppress(OSError):
            fields = Path(f"/proc/{on.chain.pid(tier)}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def attempts(on: Office) -> float:
    """Return how often the township has dialled, in vain or not."""
    peer = on.chain.nodes[UPPER].code
    failed = await on.chain.metric(LOWER, f'wuji_link_dial_failed_total{{peer="{peer}"}}')
    return failed + await on.chain.metric(LOWER, f'wuji_link_up_total{{peer="{peer}"}}')


async def flap(on: Office, up_s: float, down_s: float, cuts: int) -> None:
    line = on.chain.lines[LOWER]
    for _ in range(cuts):
        await asyncio.sleep(up_s)
        line.cut()
        await asyncio.sleep(down_s)
        line.mend()


async def measure(
    folder: Path, port: int, up_s: float, down_s: float, cuts: int, every_s: float
) -> tuple[Flapping, Verdict]:
    """Return what ``cuts`` cuts cost, and what does not add up, once every order is on the screen."""
    async with office(folder, port) as on:
        before, dialled, began = cpu_s(on), await attempts(on), time.monotonic()
        flaps = asyncio.create_task(flap(on, up_s, down_s, cuts))
        while not flaps.done():
            await on.click()
            await asyncio.wait({flaps}, timeout=every_s)
        await flaps
        took_s, used = time.monotonic() - began, cpu_s(on) - before
        dials = await attempts(on) - dialled

        async def shown() -> bool:
            return all(number in on.screen.shown_at for number in on.clicked_at)

        await on.chain.until(shown, "every order is shown", SHOWN_S)
        waits = sorted(on.screen.shown_at[number] - at for number, at in on.clicked_at.items())
        found = Flapping(
            cuts=cuts,
            orders=len(waits),
            attempts_per_minute=round(60 * dials / took_s, 1),
            cpu=round(used / took_s, 3),
            p50_s=round(waits[len(waits) // 2], 3),
            slowest_s=round(waits[-1], 3),
        )
        return found, on.verdict()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--up", type=float, default=2.0)
    parser.add_argument("--down", type=float, default=3.0)
    parser.add_argument("--every-ms", type=float, default=500.0, help="between two orders")
    given = parser.parse_args()
    cuts = max(1, round(60 * given.minutes / (given.up + given.down)))
    with tempfile.TemporaryDirectory() as folder:
        run = measure(Path(folder), free_ports(5), given.up, given.down, cuts, given.every_ms / 1000)
        flapping, found = asyncio.run(run)
    print(json.dumps({**asdict(flapping), "lost": len(found.lost), "shown_twice": len(found.twice)}))
    return 0 if found.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
