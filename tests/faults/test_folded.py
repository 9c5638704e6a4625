"""Many townships on one county: all join, all hold each order once, all come back after a cut of every link.

Full size: ``wuji bench tree --towns 2006``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.proving.folded import SHAPE, Fold, prove_tree, whole
from signaling import division
from tests.support.ports import free_ports


def test_a_fold_has_the_townships_share_of_the_villages_and_is_a_tree() -> None:
    assert Fold(SHAPE[3]).villages == SHAPE[4]
    fold = Fold(200)
    places = fold.places()
    assert (len(places), sum(map(len, places.values()))) == (200, fold.villages)
    tree = division.parse("\n".join(fold.table()))
    for town, villages in places.items():
        assert tree.children(town) == villages


def test_every_village_is_reached_and_every_link_comes_back(tmp_path: Path) -> None:
    figures = asyncio.run(prove_tree(Fold(20), tmp_path, free_ports(1)))
    assert whole(figures), figures
