"""30,000 datagrams a second against a gateway: calls lose next to nothing, and the event loop is not late for it."""

from __future__ import annotations

import asyncio

import pytest

from .flood import SPELLS, Spell, gateway, measure

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
SECONDS, PER_S, SEED = 5.0, 30_000, 1
ROUNDS = 3
LOSS, LAG_MS = 0.005, 20.0


@pytest.fixture(scope="module")
def spells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Spell]]:
    async def run() -> dict[str, list[Spell]]:
        async with gateway(tmp_path_factory.mktemp("flood")) as node:
            rounds = range(ROUNDS)
            return {name: [await measure(node, name, SECONDS, PER_S, SEED) for _ in rounds] for name in SPELLS}

    return asyncio.run(run())


@pytest.mark.parametrize("name", [name for name, flood in SPELLS.items() if flood])
def test_calls_go_on_beside_a_flood_and_the_loop_is_on_time(spells: dict[str, list[Spell]], name: str) -> None:
    quiet = spells["quiet"] + spells["quiet again"]
    flooded = spells[name]
    print([(f"{each.loss:.2%}", each.lag_ms) for each in (*quiet, *flooded)])
    assert all(each.thrown == SECONDS * PER_S for each in flooded)
    assert min(each.loss for each in flooded) <= max(each.loss for each in quiet) + LOSS
    assert min(each.lag_ms[1] for each in flooded) <= max(each.lag_ms[1] for each in quiet) + LAG_MS


def test_what_is_thrown_is_dropped_and_of_a_flood_of_pictures_a_part_goes_on(spells: dict[str, list[Spell]]) -> None:
    for spell in spells["stranger"]:
        assert sum(spell.drops.values()) == spell.thrown
    for spell in spells["participant's pictures"]:
        assert spell.passed <= 3_000 * (spell.took_s + 0.25)
        dropped = spell.drops["source_rate"] + spell.drops.get("rate", 0)
        assert dropped > spell.thrown / 2, "what the kernel had no room for is in neither count"
