"""The auditor's arithmetic over rows a test holds."""

from collections.abc import Iterable

from gateway.journal import Row
from gateway.recompute import PREFIXES, Ledger, places_of
from signaling.ids import NodeCode

from .clock import FakeClock
from .places import COUNTY, TABLE

DIVISIONS = places_of(TABLE.read_text(encoding="utf-8"))


def ledger(node: NodeCode = COUNTY) -> Ledger:
    return Ledger(node, DIVISIONS)


def feed(judge: Ledger, rows: Iterable[Row], clock: FakeClock, *, live: bool = True) -> None:
    for row in rows:
        if row.key.startswith(PREFIXES):
            judge.take(row.data, wall_ms=clock.at(), steady_ms=clock.now() * 1_000, live=live)
