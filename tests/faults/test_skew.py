"""Tiers of different versions: each neighbouring pair, either end the newer, works or says which end to upgrade.

What the older end cannot read waits with it, and is shown, once, after its upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway import logfile
from gateway.demo import TIERS
from gateway.proving.chain import Chain
from gateway.proving.history import History
from gateway.proving.people import Screen, title_of
from signaling.ids import Seq
from signaling.records import Actor, RecordHeld, RecordTaken, Role
from tests.support.ports import free_ports

PAIRS = tuple(itertools.pairwise(TIERS))
PLAIN = 5
ANSWER_S = 300.0


class RefusedError(Exception):
    """What a gateway answered instead."""


class Mixed(Chain):
    """Five tiers, each a process of its own build (``tests.support.builds``)."""

    def __init__(self, directory: Path, base_port: int, builds: Mapping[str, str], *, linked: bool = True) -> None:
        super().__init__(directory, TIERS, base_port)
        self.builds = dict(builds)
        self._linked = linked

    def program(self, tier: str) -> list[str]:
        file = str(self.nodes[tier].file)
        return [sys.executable, "-m", "tests.support.builds", self.builds[tier], "node", "--config", file]

    async def ready(self, tier: str) -> bool:
        return await super().ready(tier) if self._linked else bool(await self.checks(tier))

    def upgrade(self, tier: str) -> None:
        self.builds[tier] = "newer"
        self.replace(tier)

    async def ask(self, tier: str, role: Role, method: str, path: str, body: object = None) -> dict[str, Any]:
        token = self.token(tier, Actor("赵支书", role, self.nodes[tier].code))
        url = f"{self.nodes[tier].url}/api/v1/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(method, url, json=body, headers=headers) as answer:
            found: dict[str, Any] = await answer.json()
            if answer.status >= 300:
                raise RefusedError(found)
            return found

    async def signed(self, tier: str, directive: str) -> bool:
        """Sign for it; False while its receipt is on its way."""
        try:
            await self.ask(tier, Role.TERMINAL, "POST", f"directives/{directive}/sign", {"name": "赵支书"})
        except RefusedError:
            return False
        return True

    async def issue(self, tier: str, number: int, plan: str = "") -> str:
        """Issue at ``tier`` to every place below it; return the id."""
        below = [self.nodes[name].code for name in TIERS[TIERS.index(tier) + 1 :]]
        order = {
            "click_id": f"c-{number}", "urgency": "P1", "title": title_of(number), "text": "转移", "plan": plan,
            "scope": [{"node": code} for code in below],
        }  # fmt: skip
        return str((await self.ask(tier, Role.COMMANDER, "POST", "directives", order))["id"])

    def kept(self, tier: str) -> list[RecordHeld | RecordTaken]:
        with contextlib.closing(
            logfile.connect(self.nodes[tier].config.node.data_dir / "journal.sqlite")
        ) as connection:
            head = connection.execute("SELECT max(seq) FROM records").fetchone()[0]
            rows = [row.record for row in logfile.scan(connection, Seq(head), ("held:",))]
        return [row for row in rows if isinstance(row, RecordHeld | RecordTaken)]

    def holds(self, tier: str, of: str) -> bool:
        code = self.nodes[of].code
        return any(isinstance(row, RecordHeld) and row.via == code for row in self.kept(tier))


def alternate(first: str, second: str) -> dict[str, str]:
    return {tier: (first, second)[index % 2] for index, tier in enumerate(TIERS)}


@contextlib.asynccontextmanager
async def screens(chain: Mixed) -> AsyncIterator[dict[str, Screen]]:
    """A terminal at each tier below the province."""
    history, made = History(), {}
    for tier in TIERS[1:]:
        token = chain.token(tier, Actor("赵支书", Role.TERMINAL, chain.nodes[tier].code))
        made[tier] = Screen(chain.http, chain.nodes[tier].url, token, tier, history)
    tasks = [asyncio.create_task(screen.run()) for screen in made.values()]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(chain: Mixed, what: str, condition: Any) -> None:
    async def true() -> bool:
        return bool(await asyncio.to_thread(condition))

    await chain.until(true, what, ANSWER_S)


async def newer_words(chain: Mixed, plain: str, newer: Sequence[str]) -> dict[str, set[str]]:
    """Say at each newer tier what an older cannot read, down and up; return which orders each tier is to show."""
    due: dict[str, set[str]] = {tier: {str(n) for n in range(PLAIN)} for tier in TIERS[1:]}
    for number, tier in enumerate(newer, 100):
        if tier != TIERS[-1]:
            await chain.issue(tier, number, plan="防汛预案")
            for below in TIERS[TIERS.index(tier) + 1 :]:
                due[below].add(str(number))
        if tier != TIERS[0]:
            await chain.until(lambda tier=tier: chain.signed(tier, plain), f"{tier} signs", ANSWER_S)
            await chain.ask(tier, Role.TERMINAL, "POST", f"directives/{plain}/feedback", {"values": {"已转": 7}})
    return due


async def work(chain: Mixed) -> list[str]:
    """Return the pairs that worked: what both know crosses, what one does not know waits and comes."""
    newer = [tier for tier, build in chain.builds.items() if build == "newer"]
    older = [tier for tier in TIERS if tier not in newer]
    async with screens(chain) as places:
        plain, *_ = [await chain.issue(TIERS[0], number) for number in range(PLAIN)]
        await eventually(chain, "plain orders cross", lambda: all(len(s.numbers) == PLAIN for s in places.values()))
        due = await newer_words(chain, plain, newer)
        works = []
        for upper, lower in PAIRS:
            old, new = (upper, lower) if upper in older else (lower, upper)
            await eventually(chain, f"{old} keeps what {new} says", lambda old=old, new=new: chain.holds(old, new))
            works.append(f"{upper}-{lower}")
        for tier in older:
            chain.upgrade(tier)
        await eventually(chain, "all is shown", lambda: all(places[tier].numbers == due[tier] for tier in due))

        def nothing_waits() -> bool:
            rows = [row for tier in TIERS for row in chain.kept(tier)]
            return 2 * sum(isinstance(row, RecordTaken) and row.taken for row in rows) == len(rows)

        await eventually(chain, "what was kept was taken in", nothing_waits)

        async def told_above() -> bool:
            view = await chain.ask(TIERS[0], Role.COMMANDER, "GET", f"directives/{plain}")
            codes = {chain.nodes[tier].code for tier in newer if tier != TIERS[0]}
            return {row["node"] for row in view["recipients"] if row["values"] == {"已转": 7}} == codes

        await chain.until(told_above, "the province knows what was fed back", ANSWER_S)
        assert all(len(screen.shown) == len(screen.numbers) for screen in places.values())
    return works


def said_in(log: Path) -> list[str]:
    """Return the sentences in a log and whom they are about."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return [f"{line.get('peer')} {line['sentence']}" for line in lines if "sentence" in line]


async def refuse(chain: Mixed) -> list[str]:
    """Return the pairs of which both ends say what to upgrade."""
    said = []
    for upper, lower in PAIRS:

        async def told(lower: str = lower) -> bool:
            return "协议版本" in (await chain.checks(lower)).get("uplink", "")

        await chain.until(told, f"{lower} says why it is not linked", ANSWER_S)
        log = chain.directory / "log" / f"{upper}.log"
        code = chain.nodes[lower].code
        await eventually(
            chain,
            f"{upper} says why {lower} is not linked",
            lambda log=log, code=code: any(code in line and "须升级到版本" in line for line in said_in(log)),
        )
        said.append(f"{upper}-{lower}")
    return said


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_each_pair_of_neighbours_works_or_says_which_end_to_upgrade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run() -> dict[str, list[str]]:
        found = {}
        for name, builds in (("above", alternate("newer", "older")), ("below", alternate("older", "newer"))):
            async with Mixed(tmp_path / f"newer-{name}", free_ports(5), builds) as chain:
                found[f"N+1 and N, {name} first"] = await work(chain)
        for name, builds in (("above", alternate("later", "older")), ("below", alternate("older", "later"))):
            async with Mixed(tmp_path / f"later-{name}", free_ports(5), builds, linked=False) as chain:
                found[f"N+2 and N, {name} first"] = await refuse(chain)
        return found

    matrix = asyncio.run(run())
    passed = sum(map(len, matrix.values()))
    with capsys.disabled():
        print(f"\nversion skew: {passed} of {len(matrix) * len(PAIRS)} pass: {matrix}")
    assert passed == 4 * len(PAIRS)
