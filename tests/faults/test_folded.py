"""A province folded onto this machine: every village is reached through real gateways, once, and again after a storm.

Full size: ``wuji bench tree``, and one county with everybody ``wuji bench tree --towns 2006``.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.demo import TIERS
from gateway.journal import Journal
from gateway.proving.folded import COUNTY, Fold, kept, prove_tree, whole
from gateway.proving.shape import PROVINCE, Shape, place
from signaling import division
from signaling.ids import DirectiveId, UtcMs
from signaling.records import AnyRecord, DeliveryAdvanced, DirectivesRelayed, Stage
from tests.support.clock import FakeClock
from tests.support.loop import on_loop
from tests.support.ports import free_ports

SMALL = Shape.parse("1-3-6-24-96")
ORDER = DirectiveId("d-1")


def test_a_shape_is_a_tree_with_so_many_places_spread_evenly() -> None:
    tree = division.parse("\n".join(PROVINCE.table()))
    assert tuple(sum(tree.tier(code) == tier for code in tree) for tier in range(1, 6)) == PROVINCE.counts
    first = [len(tree.children(place(tier))) for tier in range(1, 5)]
    assert first == [14, 10, 15, 15]
    for tier, most in enumerate(first, 1):
        assert {len(tree.children(code)) for code in tree if tree.tier(code) == tier} <= {most, most - 1}
    assert [tree.parent(code) for code in PROVINCE.tree] == [tree.parent(code) for code in tree]
    assert Shape.of_county(2006).villages == PROVINCE.villages


@pytest.mark.parametrize(
    "text", ["", "1-2-3-4", "1-2-3-4-5-6", "2-2-3-4-5", "1-3-2-4-5", "1-2-3-4-x", "1-1-1-1-100000"]
)
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Shape.parse(text)


def test_all_children_of_the_real_gateways_but_themselves_are_simulated() -> None:
    tree, fold = PROVINCE.tree, Fold(PROVINCE)
    assert [tree.parent(lower) for lower in fold.real.values()] == [None, *list(fold.real.values())[:-1]]
    linked = [*fold.parents, *list(fold.real.values())[1:]]
    spoken_for = {below for code in linked for below in tree.subtree(code)}
    assert len(linked) == 14 + 10 + 15
    assert spoken_for == set(tree) - {fold.top}


@pytest.mark.parametrize("fold", [Fold(SMALL), Fold(Shape.of_county(12), COUNTY)], ids=["branch", "county"])
def test_every_village_is_reached_once_and_every_link_comes_back(fold: Fold, tmp_path: Path) -> None:
    figures = asyncio.run(prove_tree(fold, tmp_path, free_ports(len(TIERS))))
    assert whole(figures), json.dumps(figures)
    assert figures["links"] == len(fold.parents) + len(fold.tiers) - 1
    assert set(figures["cpu"]) == set(figures["peak_mb"]) == set(fold.tiers)


def said() -> list[AnyRecord]:
    """Return what the top of SMALL should keep of one order."""
    tree, at, words = SMALL.tree, UtcMs(1_000), list[AnyRecord]()
    for code in tree:
        if (parent := tree.parent(code)) is not None:
            words.append(DirectivesRelayed(node=parent, at=at, child=code, directives=(ORDER,)))
        if tree.tier(code) == len(TIERS):
            words.append(DeliveryAdvanced(node=code, at=at, directive=ORDER, recipient=code, stage=Stage.SHOWN))
    return words


async def tallied(directory: Path, words: list[AnyRecord]) -> dict[str, int]:
    journal = Journal.open(directory / "journal.sqlite", place(1), FakeClock())
    await journal.append(*words)
    await journal.close()
    return kept(Fold(SMALL), directory, [ORDER])


@on_loop
async def test_a_journal_that_says_everything_once_is_whole(tmp_path: Path) -> None:
    assert await tallied(tmp_path, said()) == {"told": 129 + 96, "lost": 0, "twice": 0}


@on_loop
async def test_a_village_that_is_missed_and_a_hop_told_twice_are_counted(tmp_path: Path) -> None:
    *words, village = said()
    assert isinstance(village, DeliveryAdvanced)
    again = DirectivesRelayed(node=place(1), at=UtcMs(2_000), child=place(2), directives=(ORDER,))
    assert await tallied(tmp_path, [*words, again]) == {"told": 129 + 96, "lost": 1, "twice": 1}


def test_one_thing_amiss_and_the_proof_does_not_stand() -> None:
    part = {"missing": 0, "villages_shown": 5}
    good: dict[str, Any] = {
        **dict.fromkeys(("join", "order", "storm", "order_in_storm"), part),
        "villages": 5, "held_again": 0, "console": {"cut_off": 0}, "restarts": 0, "kept": {"lost": 0, "twice": 0},
    }  # fmt: skip
    assert whole(good)
    for change in (
        {"join": {"missing": 1}},
        {"order": {**part, "villages_shown": 4}},
        {"order_in_storm": {**part, "missing": 1}},
        {"held_again": 1},
        {"console": {"cut_off": 1}},
        {"restarts": 1},
        {"kept": {"lost": 1, "twice": 0}},
        {"kept": {"lost": 0, "twice": 1}},
    ):
        assert not whole({**good, **change}), change
