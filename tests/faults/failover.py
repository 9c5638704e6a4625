"""Redis fails over to its replica while directives go from county to village: ``python -m tests.faults.failover``.

The gateways know one address.  Behind it the primary is killed (kill -9), its replica is made the primary, and the
address leads there; what the replica had not yet copied is gone.  Orders are clicked all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.embedded import find_binary
from gateway.proving.history import Verdict
from gateway.proving.streams import Streams
from tests.support.ports import free_ports

from .bus import TIERS, Phase, nothing, office

PATIENCE_S = 60.0


class Server:
    """One Redis at a port of 127.0.0.1 that keeps nothing, and leaves what it copies of its primary in ``folder``."""

    def __init__(self, folder: Path, port: int, primary: int | None = None) -> None:
        self.port = port
        self._folder = folder
        self._primary = primary
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        following = () if self._primary is None else ("--replicaof", f"127.0.0.1 {self._primary}")
        line = (str(find_binary()), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *following)
        null = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(*line, cwd=self._folder, stdout=null, stderr=null)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def client(self) -> Redis:
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=5)

    async def ready(self, *, linked: bool = False) -> None:
        """Return once it answers, and ``linked``: has copied what its primary has."""
        async with asyncio.timeout(PATIENCE_S), self.client() as client:
            while True:
                try:
                    told = await client.info("replication")
                    if not linked or told.get("master_link_status") == "up":
                        return
                except (RedisError, OSError):
                    pass
                await asyncio.sleep(0.05)


class Pair:
    """A primary, its replica, and the one address the gateways know."""

    def __init__(self, folder: Path, base_port: int) -> None:
        """``base_port`` and the two after it are used."""
        self.url = f"redis://127.0.0.1:{base_port}"
        self._port = base_port
        self._primary = Server(folder, base_port + 1)
        self._replica = Server(folder, base_port + 2, base_port + 1)
        self._front: Streams | None = None

    async def start(self) -> None:
        self._front = await Streams.open(("127.0.0.1", self._primary.port), self._port)
        await self._primary.start()
        await self._primary.ready()
        await self._replica.start()
        await self._replica.ready(linked=True)

    async def fail_over(self) -> None:
        """Kill the primary, promote the replica, lead the address there."""
        await self._primary.kill()
        async with self._replica.client() as client:
            await client.replicaof("NO", "ONE")
        assert self._front is not None
        self._front.turn(("127.0.0.1", self._replica.port))

    async def stop(self) -> None:
        for server in (self._primary, self._replica):
            await server.kill()
        if self._front is not None:
            await self._front.close()


async def prove(folder: Path, port: int, clicks: int, every_s: float) -> tuple[list[Phase], Verdict]:
    """Return what the failover cost, beside the calm before and after it, and what does not add up.

    Args:
        port: The first of eight that are free.
    """
    pair = Pair(folder, port + 5)
    async with office(folder, port, pair) as on:

        async def all_up() -> bool:
            return all([await on.chain.ready(tier) for tier in TIERS])

        async def settled() -> None:
            await on.chain.until(all_up, "every gateway has the new primary")

        phases = [
            await on.phase("calm", clicks, every_s, nothing),
            await on.phase("failing over", clicks, every_s, pair.fail_over),
            await on.phase("after it", clicks, every_s, settled),
        ]
        return phases, on.verdict()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long orders are clicked in each part")
    parser.add_argument("--every-ms", type=float, default=100.0)
    given = parser.parse_args()
    clicks = max(1, round(1000 * given.seconds / given.every_ms))
    with tempfile.TemporaryDirectory() as folder:
        phases, found = asyncio.run(prove(Path(folder), free_ports(8), clicks, given.every_ms / 1000))
    for phase in phases:
        print(f"{phase.name:<14}{phase.issued:>7} orders, {phase.lost} lost, {phase.p50_ms:>8} ms, {phase.slowest_ms}")
    added = phases[1].slowest_ms - phases[0].slowest_ms
    print(json.dumps({"phases": [asdict(p) for p in phases], "lost": len(found.lost), "shown_twice": len(found.twice),
                      "added_ms": round(added, 1)}))  # fmt: skip
    return 0 if found.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
