"""A province folded onto this machine: ``wuji bench tree``.

The real gateways are one line of descent, from the province down to a county, processes of their own with lines
between them that can be cut; or that county alone, with more townships than any has.  All their other children are
simulated in the bench's process, over real WebSockets, and say what a gateway in their place would say of every place
below: so the province takes each village's word through as many links as it has.  What is not shown: the processors
of the gateways that are simulated, and lines with delay or loss.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import logfile
from gateway.bench_tiers import cpu_s, peak_bytes
from gateway.clock import Clock
from gateway.config import load
from gateway.demo import TIERS, Node
from gateway.pki import PUBLIC_KEYS, files_of, make_node_keys
from gateway.reference import to_toml
from gateway.tokens import Signer
from signaling.ids import DirectiveId, NodeCode, Seq
from signaling.records import Actor, DeliveryAdvanced, DirectivesRelayed, Role, Stage

from .chain import Chain
from .crowd import Branch, Crowd, Seen
from .probe import Console, Probe
from .shape import Shape, place

BRANCH = ("province", "city", "county")
COUNTY = ("county",)
DONE_S = 900.0
LOOK_S = 0.2


@dataclass(frozen=True)
class Fold:
    """``shape``, of which the first gateways of ``tiers`` are real: neighbours in TIERS, from the top down."""

    shape: Shape
    tiers: tuple[str, ...] = BRANCH
    seed: int = 1

    @property
    def real(self) -> Mapping[str, NodeCode]:
        return {tier: place(TIERS.index(tier) + 1) for tier in self.tiers}

    @property
    def top(self) -> NodeCode:
        return self.real[self.tiers[0]]

    @functools.cached_property
    def parents(self) -> Mapping[NodeCode, str]:
        """The simulated gateways, each with the tier of the real one it is linked to."""
        tree, real = self.shape.tree, self.real
        return {code: tier for tier in self.tiers for code in tree.children(real[tier]) if code not in real.values()}

    def branches(self, seen: Seen) -> list[Branch]:
        """Return the simulated gateways."""
        tree = self.shape.tree
        return [
            Branch(code, tree, Signer("EdDSA", code, self.key, {}), seen, random.Random(f"{self.seed} {code}"))
            for code in self.parents
        ]

    @functools.cached_property
    def key(self) -> Ed25519PrivateKey:
        """Of all simulated gateways."""
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(f"fold {self.seed}".encode()).digest())

    def prepare(self, directory: Path, base_port: int) -> list[Node]:
        """Write the keys, the table of divisions and the configurations of the real gateways."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "log").mkdir(exist_ok=True)
        public = make_node_keys(directory / "keys", self.real.values())
        ours = base64.b64encode(self.key.public_key().public_bytes_raw()).decode()
        with public.open("a", encoding="utf-8") as file:
            file.writelines(f'"{code}" = "{ours}"\n' for code in self.parents)
        (directory / "divisions.csv").write_text("\n".join(self.shape.table()) + "\n", encoding="utf-8")
        return [self._configured(directory, tier, base_port + n) for n, tier in enumerate(self.tiers)]

    def _configured(self, directory: Path, tier: str, port: int) -> Node:
        code, keys = self.real[tier], directory / "keys"
        settings: dict[str, dict[str, Any]] = {
            "node": {"code": code, "data_dir": str(directory / tier), "reserve_bytes": 0},
            "http": {"port": port, "connections_per_address": 100_000},
            "tree": {"file": str(directory / "divisions.csv")},
            "uplink": {"url": "ws://127.0.0.1/link"},  # the chain knows better, and whether there is one
            "keys": {
                "private_key_file": str(files_of(keys, code).private_key),
                "public_keys_file": str(keys / PUBLIC_KEYS),
            },
        }
        file = directory / f"{tier}.toml"
        file.write_text(to_toml(settings), encoding="utf-8")
        return Node(tier, file, load(file))


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else 0.0


class Run:
    """What is done to the real gateways, and timed."""

    def __init__(self, chain: Chain, fold: Fold) -> None:
        self._chain = chain
        self._fold = fold
        self._top = fold.tiers[0]
        self._clock = Clock()
        self._token = chain.token(self._top, Actor("证明", Role.COMMANDER, fold.top))
        self._headers = {"Authorization": f"Bearer {self._token}"}
        self.orders: list[DirectiveId] = []
        seen = Seen(self._clock)
        self.crowd = Crowd(seen, fold.branches(seen))

    async def all(self) -> dict[str, Any]:
        """Return the figures, times in seconds from when each thing began.

        ``cpu`` is each real gateway's own, for each link and village: what grows with the crowd is not linear.
        ``console`` is one at the top, open all the while.
        """
        fold, crowd = self._fold, self.crowd
        console = Console()
        watching = asyncio.create_task(console.run(self._chain.http, self._url, self._token))
        used = [self._cpu_s()]
        began = self._clock.now()
        crowd.start(self._chain.http, [f"{self._chain.nodes[tier].url}/link" for tier in fold.parents.values()])
        joined = await self._linked(began, dict.fromkeys(fold.tiers[1:], 0.0))
        used.append(self._cpu_s())
        first = await self._order("first")
        used.append(self._cpu_s())
        dialled, ups = crowd.seen.dials, await self._ups()
        began = self._clock.now()
        self._cut()
        second = asyncio.create_task(self._order("second"))
        returned = await self._linked(began, ups)
        again = await second
        used.append(self._cpu_s())
        watching.cancel()
        return {
            "shape": str(fold.shape),
            "links": len(fold.parents) + len(fold.tiers) - 1,
            "villages": fold.shape.villages,
            "join": joined,
            "order": first,
            "storm": {**returned, "dials": crowd.seen.dials - dialled},
            "order_in_storm": again,
            "cpu": self._cpu(used),
            "peak_mb": {tier: round(peak_bytes(self._chain.pid(tier)) / 1e6) for tier in fold.tiers},
            "held_again": crowd.seen.again,
            "console": {"messages": console.messages, "cut_off": console.cut_off},
            "restarts": len(self._chain.restarts),
            "seed": fold.seed,
        }

    # ---- links -----------------------------------------------------------------------------------

    def _cut(self) -> None:
        """Every link of every tier breaks at the same moment."""
        self.crowd.cut()
        for line in self._chain.lines.values():
            line.cut()
            line.mend()

    async def _ups(self) -> dict[str, float]:
        """Return how often the link of each real gateway to its parent has come up."""
        return {
            lower: await self._chain.metric(upper, f'wuji_link_up_total{{peer="{self._fold.real[lower]}"}}')
            for upper, lower in itertools.pairwise(self._fold.tiers)
        }

    async def _linked(self, began: float, ups: Mapping[str, float]) -> dict[str, Any]:
        """Wait until all simulated gateways are linked, and the real ones once more than ``ups`` says."""
        linked, everybody = self.crowd.seen.linked, self._fold.parents

        async def real() -> None:
            while any(times <= ups[tier] for tier, times in (await self._ups()).items()):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)  # another process

        waiting = asyncio.create_task(asyncio.wait_for(real(), DONE_S))
        await self.crowd.until(lambda: len(linked) == len(everybody), DONE_S)
        took = {code: at - began for code, at in linked.items()}
        missing = len(everybody) - len(took)
        try:
            await waiting
        except TimeoutError:
            missing += len(ups)
        return {"missing": missing, **self._times(took), "with_real_s": round(self._clock.now() - began, 3)}

    def _times(self, took: Mapping[NodeCode, float]) -> dict[str, Any]:
        """Return percentiles, and of each tier the last."""
        tree = self._fold.shape.tree
        last: dict[str, float] = {}
        for code, seconds in took.items():
            tier = TIERS[tree.tier(code) - 1]
            last[tier] = round(max(seconds, last.get(tier, 0.0)), 3)
        values = took.values()
        return {"p50_s": percentile(values, 0.5), "p95_s": percentile(values, 0.95), "all_s": percentile(values, 1.0),
                "tiers_s": last}  # fmt: skip

    # ---- orders ----------------------------------------------------------------------------------

    async def _order(self, name: str) -> dict[str, Any]:
        """Send an order to every place; return when the gateways had it and when the top knew that villages show it.

        ``answers``: how long the top took to answer who asked something else meanwhile.
        """
        seen, everybody = self.crowd.seen, self._fold.parents
        order = {"click_id": name, "urgency": "P1", "title": "转移", "text": "立即转移低洼处群众",
                 "scope": [{"node": self._fold.top, "mode": "subtree"}]}  # fmt: skip
        began = self._clock.now()
        with Probe(self._chain.nodes[self._top].config.http.port, self._clock) as probe:
            async with self._chain.http.post(
                f"{self._url}/api/v1/directives", json=order, headers=self._headers
            ) as answer:
                directive = DirectiveId((await answer.json())["id"])
            self.orders.append(directive)
            issued_s = round(self._clock.now() - began, 3)
            held = seen.held.setdefault(directive, {})
            shown = asyncio.create_task(self._shown(directive))
            await self.crowd.until(lambda: len(held) == len(everybody), DONE_S)
            took = {code: at - began for code, at in held.items()}
            villages, known_s = await shown, round(self._clock.now() - began, 3)
        answers = {"p95_s": percentile(probe.took_s, 0.95), "max_s": percentile(probe.took_s, 1.0)}
        return {"issued_s": issued_s, "missing": len(everybody) - len(took), **self._times(took),
                "villages_shown": villages, "known_s": known_s, "answers": answers}  # fmt: skip

    @property
    def _url(self) -> str:
        return self._chain.nodes[self._top].url

    async def _shown(self, directive: DirectiveId) -> int:
        """Return how many villages the top knows to have shown it, once it is all of them."""
        shown = 0
        try:
            async with asyncio.timeout(DONE_S):
                while shown < self._fold.shape.villages:
                    await asyncio.sleep(LOOK_S)  # another process
                    async with self._chain.http.get(f"{self._url}/api/v1/directives", headers=self._headers) as answer:
                        views = (await answer.json())["directives"]
                    shown = next(view["counts"].get("shown", 0) for view in views if view["id"] == directive)
        except TimeoutError:
            pass
        return int(shown)

    # ---- what it took ----------------------------------------------------------------------------

    def _cpu_s(self) -> dict[str, float]:
        return {tier: cpu_s(self._chain.pid(tier)) for tier in self._fold.tiers}

    def _cpu(self, used: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """Return ms of each real gateway: for each of its links, and for each village below it that took an order."""
        tree, found = self._fold.shape.tree, {}
        for tier, code in self._fold.real.items():
            join, order, storm = (1_000 * (after[tier] - before[tier]) for before, after in itertools.pairwise(used))
            villages = sum(tree.tier(below) == len(TIERS) for below in tree.subtree(code))
            found[tier] = {
                "join_ms_a_link": round(join / len(tree.children(code)), 2),
                "order_ms_a_village": round(order / villages, 2),
                "storm_and_order_ms_a_village": round(storm / villages, 2),
            }
        return found


async def prove_tree(fold: Fold, directory: Path, base_port: int) -> dict[str, Any]:
    """Run the real gateways at ``base_port`` and the next, and the crowd; return the figures."""
    chain = Chain(directory, fold.tiers, base_port, prepare=fold.prepare)
    async with chain:
        run = Run(chain, fold)
        data_dir = chain.nodes[fold.tiers[0]].config.node.data_dir
        try:
            figures = await run.all()
            await _settled(fold, data_dir, run.orders)
        finally:
            await run.crowd.stop()
    return {**figures, "kept": kept(fold, data_dir, run.orders)}


async def _settled(fold: Fold, data_dir: Path, orders: Sequence[DirectiveId]) -> None:
    """Return once nothing is owed to the top's journal: who relayed an order is said after it was shown."""
    try:
        async with asyncio.timeout(DONE_S):
            while (await asyncio.to_thread(kept, fold, data_dir, orders))["lost"]:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)  # another process
    except TimeoutError:
        pass


def kept(fold: Fold, data_dir: Path, orders: Sequence[DirectiveId]) -> dict[str, int]:
    """Count what the top's journal says of the orders against what it should.

    ``lost``: villages that did not show one, and hops nobody relayed it over; ``twice``: either, said once more.
    """
    tree = fold.shape.tree
    below = [code for code in tree.subtree(fold.top) if code != fold.top]
    owed = {(order, f"hop {code}") for order in orders for code in below}
    owed |= {(order, f"shown {code}") for order in orders for code in below if tree.tier(code) == len(TIERS)}
    told: Counter[tuple[DirectiveId, str]] = Counter()
    connection = logfile.connect(data_dir / "journal.sqlite")
    try:
        head = connection.execute("SELECT max(seq) FROM records").fetchone()[0]
        for row in logfile.scan(connection, Seq(head or 0), ("delivery:", "relayed:")):
            match row.record:
                case DeliveryAdvanced(directive=order, recipient=code, stage=Stage.SHOWN):
                    told[order, f"shown {code}"] += 1
                case DirectivesRelayed(directives=together, child=code):
                    told.update((order, f"hop {code}") for order in together)
                case _:
                    pass
    finally:
        connection.close()
    return {"told": told.total(), "lost": len(owed - told.keys()), "twice": told.total() - len(told.keys() & owed)}


def whole(figures: Mapping[str, Any]) -> bool:
    """Return whether everybody was linked, held both orders once and was known once to have shown them."""
    missing = [figures[part]["missing"] for part in ("join", "order", "storm", "order_in_storm")]
    shown = [figures[part]["villages_shown"] for part in ("order", "order_in_storm")]
    wrong = (*missing, figures["held_again"], figures["console"]["cut_off"], figures["restarts"],
             figures["kept"]["lost"], figures["kept"]["twice"])  # fmt: skip
    return not any(wrong) and shown == [figures["villages"]] * 2
