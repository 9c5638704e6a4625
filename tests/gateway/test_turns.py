"""Who is on duty is known at once at every desk it concerns: when it is said, and when a shift begins or ends."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway import turns
from gateway.outgoing import Outgoing
from gateway.sessions import Visitor
from gateway.turns import Turns
from signaling import codec
from signaling.ids import NodeCode, SessionId, UtcMs
from signaling.messages import DeliveryChanged, DirectiveView, DutyChanged, DutyNow, GatewayMessage, Receipt, Welcome
from signaling.records import Actor, Mode, ScopeItem, Stage
from tests.support import facts
from tests.support.cluster import Cluster, cluster
from tests.support.loop import eventually, on_loop
from tests.support.nodes import Node
from tests.support.places import COUNTY, OTHER_VILLAGE, SIBLING, TOWNSHIP, TREE, VILLAGE, auditor, commander, terminal

POST = "值班员"
HOUR = facts.HOUR
SCOPE = [{"node": VILLAGE, "mode": "self", "post": POST}]


class Page(Visitor):
    """A session whose socket takes everything."""

    def __init__(self, who: Actor) -> None:
        self._queue = Outgoing()
        super().__init__(SessionId("s"), who, self._queue, "", lambda: None)

    def heard(self) -> list[GatewayMessage]:
        """Return what it was told since the last time."""
        return [codec.decode_gateway(data) for data in iter(self._queue.pop, None)]


def told(page: Page) -> list[DutyNow]:
    return [one for message in page.heard() if isinstance(message, DutyChanged) for one in message.posts]


def now(*people: str, division: NodeCode = VILLAGE) -> DutyNow:
    return DutyNow(division=division, post=POST, people=people)


async def put(node: Node, person: str, begin: int, end: int, division: NodeCode = VILLAGE) -> None:
    node.clock.advance(1)
    await node.rosters.set(commander(), division, POST, person, UtcMs(begin), UtcMs(end))


@on_loop
async def test_a_shift_is_told_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    begin = county.clock.at() + HOUR
    await put(county, "周主任", begin, begin + HOUR)
    await put(county, "吴书记", begin + HOUR, begin + 2 * HOUR)
    scope = (ScopeItem(node=VILLAGE, mode=Mode.SELF, post=POST),)
    order, _ = await county.directives.issue(commander(), facts.request(scope=scope))
    await county.settle()
    desk, village, elsewhere = Page(commander()), Page(terminal()), Page(terminal(SIBLING))
    foreign = Page(commander(SIBLING))
    made = Turns((desk, village, elsewhere, foreign), TREE, county.rosters, county.directives, county.clock)
    made.turn()
    assert not [*desk.heard(), *village.heard()]
    for people in [("周主任",), ("吴书记",), ()]:
        county.clock.advance(begin - county.clock.at())
        begin += HOUR
        made.turn()
        await eventually(lambda people=people: told(desk) == [now(*people)])
        (view,) = village.heard()
        assert isinstance(view, DirectiveView)
        assert (view.directive, view.mine and view.mine.on_duty) == (order.directive, "".join(people))
        assert not [*elsewhere.heard(), *foreign.heard()]
    await county.close()


@on_loop
async def test_posts_that_change_together_are_told_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TOGETHER", 2)
    county = Node(COUNTY, tmp_path)
    begin = county.clock.at() + HOUR
    for place in (VILLAGE, SIBLING, OTHER_VILLAGE):
        await put(county, "周主任", begin, begin + HOUR, place)
    desk, watcher = Page(commander()), Page(auditor(TOWNSHIP))
    made = Turns((desk, watcher), TREE, county.rosters, county.directives, county.clock)
    county.clock.advance(HOUR)
    made.turn()
    lengths: list[int] = []

    def all_told() -> bool:
        lengths.extend(len(message.posts) for message in desk.heard() if isinstance(message, DutyChanged))
        return sum(lengths) == 3

    await eventually(all_told)
    assert lengths == [2, 1]
    assert {one.division for one in told(watcher)} == {VILLAGE, SIBLING}
    await county.close()


def test_a_change_of_the_roster_is_on_every_desk_at_every_tier_and_whoever_joined_signs(tmp_path: Path) -> None:
    async def tell(tiers: Cluster) -> None:
        desks = [
            await tiers.sign_in(tiers.county, commander()),
            await tiers.sign_in(tiers.township, commander(TOWNSHIP)),
            await tiers.sign_in(tiers.village, commander(VILLAGE)),
        ]
        village = await tiers.sign_in(tiers.village, terminal())
        for page in (*desks, village):
            await page.hear(Welcome)
        order = {"click_id": "t1", "urgency": "P1", "title": "转移", "text": "立即转移", "scope": SCOPE}
        assert (await tiers.call(tiers.county, commander(), "POST", "directives", order))[0] == 201
        await village.hear(DirectiveView)
        for person, soon_ms in (("周主任", -1_000), ("吴书记", 1_500)):  # one has it already, the other's turn begins
            at = tiers.county.node.services.clock.at() + soon_ms
            line = {"division": VILLAGE, "post": POST, "person": person, "starts_at": at, "ends_at": at + HOUR}
            status, _ = await tiers.call(tiers.county, commander(), "POST", "roster", line)
            assert status == 201
            for page in desks:
                await page.hear(DutyChanged, lambda m, person=person: now(person) in m.posts)
            await village.hear(DirectiveView, lambda m, person=person: m.mine and m.mine.on_duty == person)

        line = {"division": VILLAGE, "post": POST, "person": "李支书", "starts_at": at, "ends_at": at + HOUR}
        second = await tiers.sign_in(tiers.village, terminal())
        assert (await tiers.call(tiers.county, commander(), "POST", "roster", line | {"change": "joins"}))[0] == 201
        for page in (village, second):
            view = await page.hear(DirectiveView, lambda m: m.mine and m.mine.also_on_duty == ("李支书",))
        await second.say(Receipt(directive=view.directive, stage=Stage.SHOWN))
        await second.hear(DirectiveView, lambda m: m.mine and m.mine.stage is Stage.SHOWN)
        path = f"directives/{view.directive}/sign"
        assert (await tiers.call(tiers.village, terminal(), "POST", path, {"name": "李支书"}))[0] == 200
        for page in (village, second):
            await page.hear(DirectiveView, lambda m: m.mine and m.mine.signed_by == "李支书")
        await desks[0].hear(DeliveryChanged, lambda m: m.recipient.signed_by == "李支书")

    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())
