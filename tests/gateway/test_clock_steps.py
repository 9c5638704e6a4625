"""Clocks that step an hour, in either direction, at either end: what was issued first is first everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from signaling.records import DirectiveIssued, Stage
from tests.support.clock import FakeClock
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE, commander, terminal

from .test_directives import request

HOUR_MS = 3_600_000


@pytest.mark.parametrize("steps", [(-1, -1, 2, -1), (1, 1, -2, 1)], ids=["back", "ahead"])
def test_orders_keep_the_order_of_issue_over_steps_of_the_clock(tmp_path: Path, steps: tuple[int, ...]) -> None:
    @on_loop
    async def story() -> None:
        clocks = {code: FakeClock(serial=int(code)) for code in (COUNTY, TOWNSHIP, VILLAGE)}
        chain = [Node(code, tmp_path, clock) for code, clock in clocks.items()]
        county, _, village = chain
        issued = []
        for number, step in enumerate(steps):
            order, _ = await county.directives.issue(commander(), request(VILLAGE, click_id=f"c{number}"))
            issued.append(order.directive)
            clocks[COUNTY].advance(step * HOUR_MS)
            clocks[VILLAGE].advance(-step * HOUR_MS)
            await until_quiet(*chain)
        assert [view.directive for view in village.directives.open_for(VILLAGE)] == issued
        held = [row.record.directive for row in village.journal.replay() if isinstance(row.record, DirectiveIssued)]
        assert held == issued
        for directive in issued:
            await village.directives.receipt(terminal(), directive, Stage.SHOWN)
            await village.directives.sign(terminal(), directive)
        await until_quiet(*chain)
        for directive in issued:
            (row,) = county.directives.view(directive, commander()).recipients
            assert row.stage is Stage.SIGNED
        for node in chain:
            await node.close()

    story()
