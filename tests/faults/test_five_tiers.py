"""Five tiers, Chromium at both ends, and a link that loses, copies, reorders, changes its port and dies one way.

Short, so that it runs every time; the figures of all networks are ``python -m tests.faults.report``.
"""

from __future__ import annotations

import time

from tests.e2e.running import COUNTY, TOWNSHIP, until

from .measure import Run, figures
from .watch import SIZE, Studio

LINK = "county-township"


def test_a_rough_link_delivers_picture_and_sound_and_nothing_twice(room: Studio) -> None:
    network = room.tree.network
    network.apply("rough", [LINK])
    runs: list[Run] = []

    def legible() -> bool:
        """Whether one spell of watching had more sound and pictures than gaps: a busy machine has bad spells too."""
        with room.viewer() as viewer:
            viewer.until(40)
            viewer.watch(3)
            runs.append(viewer.run())
        seen = figures(runs[-1])
        return seen.damaged < len(runs[-1].pictures) / 2 and seen.concealed < 0.4

    until(legible, what="a spell in which most of picture and sound came")
    network.apply("clean", ())
    for seen in map(figures, runs):
        print(seen)
        assert seen.again == 0
        assert max(seen.heights) <= SIZE[1], "of the layers sent; a busy machine makes them smaller"


def test_pictures_go_on_when_a_router_gives_the_link_another_port(room: Studio) -> None:
    network = room.tree.network
    datagrams = network.hops[LINK].datagrams
    with room.viewer() as viewer:
        viewer.until(20)
        before = network.do(lambda: datagrams.sources)
        changed_s = viewer.now_s()
        network.do(datagrams.rebind)
        viewer.until(20)
        gap_s = next(p.at_s for p in viewer.pictures()[-20:]) - changed_s
    print(f"rebinding gap {gap_s:.2f} s")
    assert not set(before) & set(network.do(lambda: datagrams.sources))


def test_both_tiers_notice_a_link_whose_way_up_is_dead(room: Studio) -> None:
    on = room.tree
    with room.viewer() as viewer:
        viewer.until(20)
        began_ms = time.time_ns() // 1_000_000
        on.network.apply("up-dead", [LINK])

        def seen() -> list[float | None]:
            sides = (("county", TOWNSHIP), ("township", COUNTY))
            return [on.noticed(tier, began_ms, "link media", "link down", peer=peer) for tier, peer in sides]

        until(lambda: None not in seen(), what="a tier never noticed")
        print(f"noticed at the county and at the township after {seen()} s")
        on.network.apply("clean", ())
        viewer.until(20)
