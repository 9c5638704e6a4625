"""A province's townships and villages folded onto one county and this machine: ``wuji bench tree``.

The shape is 1 province, 14 cities, 137 counties, 2006 townships and 29479 villages.  One gateway process is real, a
county; its children are ALL the townships given, where a county has 15: 137 times its share.  They are simulated in
the bench's process, over real WebSockets, and speak for their villages.  What is not shown: the four hops between a
province and its villages one after the other (see ``wuji bench directives``), and other machines' processors.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.auth import Auth
from gateway.clock import Clock
from gateway.config import load
from gateway.demo import wuji
from gateway.embedded import EmbeddedServer
from gateway.pki import PUBLIC_KEYS, files_of, make_node_keys
from gateway.reference import to_toml
from gateway.supervisor import Child
from gateway.tokens import Signer
from signaling.ids import DirectiveId, NodeCode
from signaling.records import Actor, Role

from .crowd import Crowd, Town

SHAPE = (1, 14, 137, 2006, 29_479)
PROVINCE, CITY, COUNTY = NodeCode("430000000000"), NodeCode("430400000000"), NodeCode("430423000000")
READY_S = 120.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
DONE_S = 600.0


@dataclass(frozen=True, slots=True)
class Fold:
    """``towns`` townships below the county, and their share of the villages."""

    towns: int
    seed: int = 1

    @property
    def villages(self) -> int:
        return round(SHAPE[4] * self.towns / SHAPE[3])

    def places(self) -> dict[NodeCode, tuple[NodeCode, ...]]:
        """Return the villages of each township; 14 or 15 each."""
        found = {}
        for town in range(self.towns):
            first, beyond = (self.villages * (town + n) // self.towns for n in (0, 1))
            code = f"44{town:07d}"
            found[NodeCode(f"{code}000")] = tuple(NodeCode(f"{code}{n:03d}") for n in range(1, beyond - first + 1))
        return found

    def table(self) -> Iterator[str]:
        """Yield the lines of the table of divisions."""
        yield "code12,name,parent,tier,lon_gcj02,lat_gcj02"
        for tier, (code, parent) in enumerate(((PROVINCE, ""), (CITY, PROVINCE), (COUNTY, CITY)), 1):
            yield f"{code},{code},{parent},{tier},112.8,27.2"
        for town, villages in self.places().items():
            yield f"{town},{town},{COUNTY},4,112.8,27.2"
            yield from (f"{village},{village},{town},5,112.8,27.2" for village in villages)


class County:
    """The one real gateway."""

    def __init__(self, directory: Path, fold: Fold, port: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        keys = directory / "keys"
        make_node_keys(keys, [COUNTY])
        self.key = Ed25519PrivateKey.generate()
        public = base64.b64encode(self.key.public_key().public_bytes_raw()).decode()
        with (keys / PUBLIC_KEYS).open("a", encoding="utf-8") as file:  # of simulated nodes: one key for all
            file.writelines(f'"{town}" = "{public}"\n' for town in fold.places())
        table = directory / "divisions.csv"
        table.write_text("\n".join(fold.table()) + "\n", encoding="utf-8")
        file_ = directory / "county.toml"
        settings: dict[str, dict[str, Any]] = {
            "node": {"code": COUNTY, "data_dir": str(directory / "data"), "reserve_bytes": 0},
            "http": {"port": port, "connections_per_address": 100_000},
            "tree": {"file": str(table)},
            "keys": {
                "private_key_file": str(files_of(keys, COUNTY).private_key),
                "public_keys_file": str(keys / PUBLIC_KEYS),
            },
        }
        file_.write_text(to_toml(settings), encoding="utf-8")
        self.config = load(file_)
        self.url = f"http://127.0.0.1:{port}"
        self.bus = EmbeddedServer(directory)
        self.child = Child(
            "county", wuji("node", "--config", str(file_)), directory / "county.log", print,
            {"WUJI__BUS__URL": self.bus.url},
        )  # fmt: skip

    def token(self) -> str:
        auth = Auth(self.config, Clock())
        try:
            return auth.mint(Actor("证明", Role.COMMANDER, COUNTY), 86_400)
        finally:
            auth.close()

    def cpu_s(self) -> float:
        """Return the seconds of processor the process has used.  Source: proc(5), fields 14 and 15 of ``stat``."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def peak_bytes(self) -> int:
        """Return the most memory the process has used.  Source: proc(5), VmHWM."""
        rows = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("VmHWM"))


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0


class Run:
    """What is done to the county, and timed."""

    def __init__(self, county: County, fold: Fold, http: aiohttp.ClientSession) -> None:
        signer = Signer("EdDSA", "", county.key, {})
        towns = [
            Town(code, COUNTY, villages, Signer(signer.algorithm, code, county.key, {}))
            for code, villages in fold.places().items()
        ]
        self.crowd = Crowd(towns, Clock(), fold.seed)
        self._county = county
        self._fold = fold
        self._http = http
        self._headers = {"Authorization": f"Bearer {county.token()}"}

    async def all(self) -> dict[str, Any]:
        """Return the figures, times in seconds from when each thing began.

        ``cpu`` is the county's own, for each town and village: what grows with the crowd is not linear.
        """
        fold, crowd = self._fold, self.crowd
        used = [self._county.cpu_s()]
        began = crowd.seen.clock.now()
        crowd.start(self._http, f"{self._county.url}/link".replace("http", "ws"))
        joined = await self._linked(began)
        used.append(self._county.cpu_s())
        first = await self._order("first")
        used.append(self._county.cpu_s())
        dialled = crowd.seen.dials
        began = crowd.seen.clock.now()
        crowd.cut()
        second = asyncio.create_task(self._order("second"))
        returned = await self._linked(began)
        again = await second
        used.append(self._county.cpu_s())
        join_s, order_s, storm_s = (after - before for before, after in itertools.pairwise(used))
        return {
            "towns": fold.towns,
            "villages": fold.villages,
            "join": joined,
            "order": first,
            "storm": {**returned, "dials": crowd.seen.dials - dialled},
            "order_in_storm": again,
            "cpu": {
                "join_ms_a_town": round(1_000 * join_s / fold.towns, 2),
                "order_ms_a_village": round(1_000 * order_s / fold.villages, 2),
                "storm_and_order_ms_a_village": round(1_000 * storm_s / fold.villages, 2),
            },
            "held_again": crowd.seen.again,
            "county_peak_mb": round(self._county.peak_bytes() / 1e6),
            "seed": fold.seed,
        }

    async def _linked(self, began: float) -> dict[str, float]:
        linked = self.crowd.seen.linked
        await self.crowd.until(lambda: len(linked) == self._fold.towns, DONE_S)
        took = [at - began for at in linked.values()]
        return {"missing": self._fold.towns - len(took), "p50_s": percentile(took, 0.5),
                "p95_s": percentile(took, 0.95), "all_s": percentile(took, 1.0)}  # fmt: skip

    async def _order(self, name: str) -> dict[str, float]:
        """Send an order to every township and village; return when they had it and when the county knew."""
        seen = self.crowd.seen
        order = {"click_id": name, "urgency": "P1", "title": "转移", "text": "立即转移低洼处群众",
                 "scope": [{"node": COUNTY, "mode": "subtree"}]}  # fmt: skip
        began = seen.clock.now()
        async with self._http.post(
            f"{self._county.url}/api/v1/directives", json=order, headers=self._headers
        ) as answer:
            directive = DirectiveId((await answer.json())["id"])
        issued_s = round(seen.clock.now() - began, 3)
        held = seen.held.setdefault(directive, {})
        await self.crowd.until(lambda: len(held) == self._fold.towns, DONE_S)
        took = [at - began for at in held.values()]
        shown = await self._shown(directive)
        return {"issued_s": issued_s, "missing": self._fold.towns - len(took), "p50_s": percentile(took, 0.5),
                "p95_s": percentile(took, 0.95), "all_s": percentile(took, 1.0), "villages_shown": shown,
                "known_s": round(seen.clock.now() - began, 3)}  # fmt: skip

    async def _shown(self, directive: DirectiveId) -> int:
        """Return how many villages the county knows to have shown it, once it is all of them."""
        shown = 0
        try:
            async with asyncio.timeout(DONE_S):
                while shown < self._fold.villages:
                    await asyncio.sleep(0.2)  # another process
                    async with self._http.get(f"{self._county.url}/api/v1/directives", headers=self._headers) as answer:
                        views = (await answer.json())["directives"]
                    shown = next(view["counts"].get("shown", 0) for view in views if view["id"] == directive)
        except TimeoutError:
            pass
        return int(shown)


async def prove_tree(fold: Fold, directory: Path, port: int) -> dict[str, Any]:
    """Run the county at ``port`` and its crowd; return the figures."""
    county = County(directory, fold, port)
    await county.bus.start()
    keeping = asyncio.create_task(county.child.keep())
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            await _ready(http, county.url)
            run = Run(county, fold, http)
            try:
                return await run.all()
            finally:
                await run.crowd.stop()
    finally:
        await county.child.stop()
        await keeping
        await county.bus.stop()


async def _ready(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                async with http.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.1)


def whole(figures: dict[str, Any]) -> bool:
    """Return whether everybody was linked, held both orders once and was known to have shown them."""
    missing = [figures[part]["missing"] for part in ("join", "order", "storm", "order_in_storm")]
    shown = [figures[part]["villages_shown"] for part in ("order", "order_in_storm")]
    return not any(missing) and shown == [figures["villages"]] * 2
