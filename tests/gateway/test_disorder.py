"""Records that arrive twice and out of order: each is taken in once or refused by name, and nothing is shown twice.

TCP keeps what a bad network reorders and doubles beneath it from the links; this is the same at the level of records,
as a link that overtakes, or a neighbour that is wrong, could do it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from signaling.ids import DirectiveId, NodeCode
from signaling.records import AnyRecord, DirectiveIssued, DirectiveRequest, RefusalRecorded, ScopeItem, Stage, Urgency
from tests.support.loop import on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, TOWNSHIP, commander, terminal

ORDERS = 60
REORDERED, DOUBLED, WITHIN = 0.25, 0.05, 8


def disordered(records: Sequence[AnyRecord], draw: random.Random) -> list[AnyRecord]:
    """Return ``records``: of 100, 25 come up to eight places late, 5 twice."""
    places = [
        (index + (draw.uniform(1, WITHIN) if draw.random() < REORDERED else 0), index) for index in range(len(records))
    ]
    places += [(index + draw.uniform(0, WITHIN), index) for index in range(len(records)) if draw.random() < DOUBLED]
    return [records[index] for _, index in sorted(places)]


async def issued(county: Node, number: int) -> DirectiveId:
    request = DirectiveRequest(
        click_id=f"c-{number}", urgency=Urgency.P1, title=f"{number}", text="转移", scope=(ScopeItem(node=TOWNSHIP),)
    )
    header, _ = await county.directives.issue(commander(), request)
    return header.directive


async def orders(county: Node, draw: random.Random) -> list[AnyRecord]:
    """Issue, recall and close; return what the county's journal holds of it."""
    for number in range(ORDERS):
        directive = await issued(county, number)
        if draw.random() < 0.2:
            await county.directives.recall(commander(), directive, "雨停")
    return [row.record for row in county.journal.replay() if row.key.startswith("directive:")]


def open_at(node: Node, place: NodeCode = TOWNSHIP) -> list[str]:
    return sorted(view.title for view in node.directives.open_for(place))


def refusals(node: Node) -> set[str]:
    return {row.record.code for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)}


@pytest.mark.parametrize("seed", range(3))
@on_loop
async def test_orders_in_disorder_are_open_once_and_the_recalled_ones_not(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    county, town = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    said = await orders(county, draw)
    shown: list[DirectiveId] = []
    for record in disordered(said, draw):
        town.dispatch(record, COUNTY)
        await town.settle()
        shown += [view.directive for view in town.directives.open_for(TOWNSHIP) if view.mine and not view.mine.shown_at]
        for directive in set(shown[-1:]):
            await town.directives.receipt(terminal(TOWNSHIP), directive, Stage.SHOWN)
    for record in said:  # the cursor did not move: the link says it again, in order
        town.dispatch(record, COUNTY)
    await town.settle()
    assert len(shown) == len(set(shown)), f"seed {seed}: shown twice"
    recalled = {record.directive for record in said if not isinstance(record, DirectiveIssued)}  # type: ignore[union-attr]
    expected = [r.title for r in said if isinstance(r, DirectiveIssued) and r.directive not in recalled]
    assert open_at(town) == sorted(expected), f"seed {seed}"
    assert refusals(town) <= {"unknown-directive"}, f"seed {seed}: a recall that overtook its order"
    keys = [row.key for row in town.journal.replay() if row.key.startswith("directive:")]
    assert sorted(keys) == sorted(row.key for row in county.journal.replay() if row.key.startswith("directive:"))
    await county.close()
    await town.close()


@pytest.mark.parametrize("seed", range(3))
@on_loop
async def test_receipts_in_disorder_end_in_the_same_matrix(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    county, town = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    directives = [await issued(county, number) for number in range(ORDERS // 3)]
    await town.pull(county)
    for directive in directives:
        for stage in (Stage.DELIVERED, Stage.SHOWN):
            await town.directives.receipt(terminal(TOWNSHIP), directive, stage)
        await town.directives.sign(terminal(TOWNSHIP), directive, "赵支书")
    said = [row.record for row in town.journal.replay() if row.key.startswith("delivery:")]
    for record in disordered(said, draw):
        county.dispatch(record, TOWNSHIP)
    await county.settle()
    assert refusals(county) == set()
    for directive in directives:
        (row,) = county.directives.view(directive, commander()).recipients
        assert (row.stage, row.signed_by) == (Stage.SIGNED, "赵支书"), f"seed {seed}"
        assert None not in (row.delivered_at, row.shown_at, row.signed_at)
    keys = [row.key for row in county.journal.replay() if row.key.startswith("delivery:")]
    assert len(keys) == len(set(keys)) >= 3 * len(directives)
    await county.close()
    await town.close()
