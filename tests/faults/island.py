"""A county whose link to a township is cut goes on issuing: ``python -m tests.faults.island``.

While the line is down routine orders pile up and one flash order comes last.  Measured from the moment the line
is whole again: how long until the link stands, when the flash order rings, when the first and the last routine one
does, how large the journal grew, and what the flash order's wait is in round trips of the new link (CHECKS R09: 2).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from signaling.records import Urgency
from tests.support.places import VILLAGE
from tests.support.ports import free_ports

from .bus import SHOWN_S, TIERS, Office, office

RELINK_S = 120.0


@dataclass(frozen=True, slots=True)
class Island:
    """Times in seconds after the line was whole again; ``ahead`` counts routine orders that rang before the flash."""

    orders: int
    lost: int
    linked_s: float
    flash_s: float
    flash_after_link_s: float
    first_routine_s: float
    last_routine_s: float
    ahead: int
    journal_grew_bytes: int


def journal_bytes(on: Office) -> int:
    folder = on.chain.nodes[TIERS[0]].config.node.data_dir
    return sum(file.stat().st_size for file in folder.glob("journal.sqlite*"))


async def measure(folder: Path, port: int, orders: int, down_s: float) -> Island:
    async with office(folder, port) as on:
        line, shown_at, before = on.chain.lines[TIERS[1]], on.screen.shown_at, journal_bytes(on)
        await on.issuer.issue(0, [VILLAGE], Urgency.P3)
        await on.chain.until(lambda: _all(shown_at, range(1)), "the first order", SHOWN_S)
        line.cut()
        cut_at = time.monotonic()
        for number in range(1, orders + 1):
            await on.issuer.issue(number, [VILLAGE], Urgency.P3)
        await on.issuer.issue(orders + 1, [VILLAGE], Urgency.P0)
        await asyncio.sleep(max(0.0, cut_at + down_s - time.monotonic()))
        assert len(shown_at) == 1, "the line was not cut"
        grown = journal_bytes(on) - before
        line.mend()
        whole_at = time.monotonic()
        await on.chain.until(lambda: on.chain.ready(TIERS[1]), "the link stands again", RELINK_S)
        linked_s = time.monotonic() - whole_at
        await on.chain.until(lambda: _all(shown_at, range(orders + 2)), "every order", SHOWN_S)
        after = {number: at - whole_at for number, at in shown_at.items()}
        flash = after.pop(str(orders + 1))
        after.pop("0")
        return Island(
            orders=orders,
            lost=orders - len(after),
            linked_s=round(linked_s, 3),
            flash_s=round(flash, 3),
            flash_after_link_s=round(max(0.0, flash - linked_s), 3),
            first_routine_s=round(min(after.values()), 3),
            last_routine_s=round(max(after.values()), 3),
            ahead=sum(at < flash for at in after.values()),
            journal_grew_bytes=grown,
        )


async def _all(shown_at: dict[str, float], numbers: range) -> bool:
    return all(str(number) in shown_at for number in numbers)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=1_000, help="routine ones, issued while the line is down")
    parser.add_argument("--down-s", type=float, default=10.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(Path(folder), free_ports(5), given.orders, given.down_s))
    print(json.dumps(asdict(found)))
    return 0 if found.lost == 0 and found.ahead == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
