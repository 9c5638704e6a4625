"""Five gateways as processes with a bad network on every link between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import TIERS, Demo, call, until
from tests.support.ports import free_ports

from .hops import Hops

READY_S = 300.0
LINKS = ("province-city", "city-county", "county-township", "township-village")
ACCESS = "access"
"""The hop of everybody at the village to its gateway."""


@dataclass
class Tree:
    """The running tree and its network."""

    demo: Demo
    network: Hops

    @property
    def conference(self) -> str:
        """The meeting of all five tiers."""
        return str(self.demo.ready["conference"])

    def noticed(self, tier: str, since_ms: int, *events: str, **fields: str) -> float | None:
        """Return how long after ``since_ms`` (UTC) the log of ``tier`` has one of ``events`` with ``fields``, s.

        That something connected is no such event: it may be the end of an earlier fault.
        """
        for line in (self.demo.folder / "log" / f"{tier}.log").read_text(encoding="utf-8").splitlines():
            row = json.loads(line) if line.startswith("{") else {}
            fits = (
                row.get("event") in events
                and row.get("state") != "connected"
                and all(row.get(key) == value for key, value in fields.items())
            )
            if fits and row["at_ms"] >= since_ms:
                return float(row["at_ms"] - since_ms) / 1000
        return None

    def participant(self, tier: str, name: str) -> str:
        """Return the id of the participant called ``name`` once ``tier`` lists it."""
        token = self.demo.token(tier, "terminal")
        url = self.demo.url(tier, f"/api/v1/participants?conference={self.conference}")

        def listed() -> str | None:
            people = call(url, token=token).json["participants"]
            return next((str(one["participant"]) for one in people if one["name"] == name), None)

        return until(listed, what=f"{name} was never listed at the {tier}")


@contextmanager
def tree(folder: Path, seed: str) -> Iterator[Tree]:
    """Run the five tiers on free ports until the block ends."""
    base = free_ports(5)
    upper = dict(zip((*LINKS, ACCESS), TIERS, strict=True))
    ports = {name: base + TIERS.index(tier) for name, tier in upper.items()}
    with Hops(ports, seed) as network:
        seen_at = {
            tier: {"udp": network.hops[name].datagrams.port, "tcp": network.hops[name].streams.port}
            for name, tier in upper.items()
        }
        demo = Demo(folder, "--seen-at", json.dumps(seen_at), command=("-m", "tests.faults.five"), base=base)
        try:
            demo.wait_ready(READY_S)
            yield Tree(demo, network)
        finally:
            demo.stop()
