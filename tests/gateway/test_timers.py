"""Clocks through real journals: fired once across restarts, in order, never early, and seen by whom they concern."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.adapters import Adapters, Notice
from gateway.contacts import Contact, Contacts
from gateway.journal import Row
from gateway.outbound import CallFailed
from gateway.people import People
from gateway.phone_book import PhoneBook
from gateway.redial import STALE_MS, Redial
from gateway.timers import BATCH
from signaling import clocks
from signaling.directive import SIGN_LIMIT_MS
from signaling.errors import Refused
from signaling.ids import NodeCode
from signaling.records import (
    AnyRecord,
    DirectiveExpired,
    DirectiveIssued,
    EscalationRaised,
    NoticeSent,
    RedialOrdered,
    RefusalRecorded,
    Stage,
    TimerFired,
    Urgency,
)
from tests.gateway.test_directives import request
from tests.support.loop import eventually, on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_VILLAGE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    auditor,
    commander,
    terminal,
)

MINUTE = 60_000
HOUR = 60 * MINUTE


def of(node: Node, kind: type[AnyRecord]) -> list[Any]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, kind)]


def kinds(node: Node) -> list[str]:
    return [r.kind for r in of(node, TimerFired)]


async def issue(node: Node, *places: NodeCode, urgency: Urgency = Urgency.P0, **changes: Any) -> DirectiveIssued:
    order, _ = await node.directives.issue(commander(node.code), request(*places, urgency=urgency, **changes))
    await node.settle()
    return order


async def passes(ms: int, *nodes: Node) -> None:
    for node in nodes:
        node.clock.advance(ms)
        await node.timers.fire()


async def sign(node: Node, order: DirectiveIssued, place: NodeCode = VILLAGE) -> None:
    await node.directives.receipt(terminal(place), order.directive, Stage.SHOWN)
    await node.directives.sign(terminal(place), order.directive)


@on_loop
async def test_nothing_fires_before_its_time_and_everything_at_it(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE)
    await passes(MINUTE - 1, county)
    assert kinds(county) == []
    await passes(1, county)
    assert kinds(county) == ["repeat"]
    await passes(2 * MINUTE - 1, county)
    assert kinds(county) == ["repeat", "repeat"]
    await passes(1, county)
    assert sorted(kinds(county)) == ["escalate", "limit", "redial", "repeat", "repeat", "repeat"]
    fired = of(county, TimerFired)
    assert all(r.at >= r.due for r in fired)
    assert [r.due for r in fired] == sorted(r.due for r in fired)
    await county.close()


@on_loop
async def test_a_signature_in_time_stops_every_clock_but_the_expiry(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    order = await issue(county, VILLAGE, urgency=Urgency.P1, expires_ms=HOUR)
    await sign(county, order)
    await passes(HOUR - 1, county)
    assert kinds(county) == []
    await passes(1, county)
    assert (kinds(county), len(of(county, DirectiveExpired))) == ([], 1)
    assert len(county.timers) == 0
    await county.close()


@pytest.mark.parametrize("end", ["signed", "closed", "expired"])
def test_a_second_name_is_owed_whatever_became_of_the_directive(tmp_path: Path, end: str) -> None:
    @on_loop
    async def run() -> None:
        county = Node(COUNTY, tmp_path)
        order = await issue(county, VILLAGE, expires_ms=MINUTE if end == "expired" else HOUR)
        await sign(county, order)
        if end == "closed":
            await county.directives.close(commander(), order.directive)
        await passes(30 * MINUTE - 1, county)
        assert kinds(county) == []
        county = await county.restart()
        await passes(1, county)
        assert kinds(county) == ["countersign"]
        county = await county.restart()
        await passes(HOUR, county)
        assert kinds(county) == ["countersign"]
        assert len(county.timers) == 0
        await county.close()

    run()


@on_loop
async def test_a_second_name_in_time_or_a_recall_stops_its_clock(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    named = await issue(county, VILLAGE, click_id="named")
    recalled = await issue(county, VILLAGE, click_id="recalled")
    other = msgspec.structs.replace(commander(), name="李副县长")
    await county.directives.countersign(other, named.directive)
    await county.directives.recall(commander(), recalled.directive, "雨停")
    await sign(county, named)
    await passes(2 * HOUR, county)
    assert kinds(county) == []
    await county.close()


@on_loop
async def test_a_signature_that_is_not_yet_durable_counts(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    order = await issue(county, VILLAGE)
    await county.directives.receipt(terminal(), order.directive, Stage.SHOWN)
    county.clock.advance(3 * MINUTE)
    signing = asyncio.create_task(county.directives.sign(terminal(), order.directive))
    await asyncio.sleep(0)
    assert not signing.done()
    await county.timers.fire()
    await signing
    assert kinds(county) == []
    await county.close()


@on_loop
async def test_what_fell_due_while_the_node_was_away_fires_once_in_order_and_without_a_storm(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    late = await issue(county, VILLAGE, SIBLING, OTHER_VILLAGE, click_id="a")
    await passes(MINUTE, county)
    later = await issue(county, VILLAGE, SIBLING, click_id="b")
    await county.close()
    county.clock.advance(HOUR)
    county = Node(COUNTY, tmp_path, county.clock)
    await county.timers.fire()
    fired = of(county, TimerFired)
    assert len({r.timer for r in fired}) == len(fired)
    for order in (late, later):
        mine = [r.due for r in fired if r.subject == order.directive]
        assert mine == sorted(mine)
    first = [min(i for i, r in enumerate(fired) if r.subject == order.directive) for order in (late, later)]
    assert first == sorted(first)
    raised = of(county, EscalationRaised)
    assert len(raised) == len({(r.directive, r.superior) for r in raised})
    assert len(raised) == 7  # two townships, county and city of one; township, county and city of the other
    before = county.journal.head
    for _ in range(3):
        county = await county.restart()
        await county.timers.fire()
    assert county.journal.head == before
    await county.close()


@on_loop
async def test_many_clocks_that_mean_nothing_keep_none_that_does_waiting(tmp_path: Path) -> None:
    """Found by the proof: a whole batch of signed directives ended the pass with the next one still due."""
    county = Node(COUNTY, tmp_path)
    for number in range(BATCH + 1):
        await sign(county, await issue(county, VILLAGE, urgency=Urgency.P1, click_id=f"{number}"))
    order = await issue(county, SIBLING, urgency=Urgency.P1, click_id="last")
    await passes(SIGN_LIMIT_MS[Urgency.P1] // 3, county)
    assert [r.subject for r in of(county, TimerFired)] == [order.directive]
    await county.close()


@on_loop
async def test_a_power_cut_between_the_limit_and_the_expiry_at_one_instant_loses_neither(tmp_path: Path) -> None:
    """Found by the proof: the limit of a directive that expires first falls due together with its expiry."""
    county = Node(COUNTY, tmp_path)
    order = await issue(county, VILLAGE, urgency=Urgency.P3, expires_ms=MINUTE)
    at = order.expires_at
    timers = clocks.due(order, order.recipients, COUNTY, TREE, order.at, at)
    await county.journal.append(*clocks.fire(order, timers, COUNTY, at))
    county.clock.advance(MINUTE)
    county = await county.restart()
    await county.timers.fire()
    assert (kinds(county), len(of(county, DirectiveExpired))) == (["escalate", "limit", "redial"], 1)
    await county.close()


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_of_the_wall_clock_moves_no_timer(tmp_path: Path, step: int) -> None:
    @on_loop
    async def run() -> None:
        county = Node(COUNTY, tmp_path)
        await issue(county, VILLAGE, click_id="before")
        await passes(30_000, county)
        county.clock.step(step)
        county.timers.look()
        await county.timers.fire()
        assert kinds(county) == []
        after = await issue(county, VILLAGE, click_id="after")
        await passes(30_000, county)
        assert kinds(county) == ["repeat"]
        await passes(30_000, county)
        assert [r.subject for r in of(county, TimerFired)].count(after.directive) == 1
        assert all(r.at >= r.due for r in of(county, TimerFired))
        assert county.telemetry.registry.get_sample_value("wuji_clock_steps_total") == 1
        await county.close()

    run()


@on_loop
async def test_a_clock_set_back_while_the_node_was_down_waits_no_longer_than_the_limit(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE)
    await county.close()
    county.clock.step(-HOUR)
    county = Node(COUNTY, tmp_path, county.clock)
    await passes(MINUTE - 1, county)
    assert kinds(county) == []
    await passes(1, county)
    assert kinds(county) == ["repeat"]
    await county.close()


@on_loop
async def test_the_driver_wakes_at_the_next_deadline_and_for_what_is_new(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    running = asyncio.create_task(county.timers.run())
    order = await issue(county, VILLAGE)
    assert county.timers.deadline() == pytest.approx(county.clock.now() + 60.0)
    county.clock.advance(MINUTE)
    await issue(county, SIBLING, click_id="wakes")  # what is new wakes it; the first is due meanwhile
    await eventually(lambda: [r.subject for r in of(county, TimerFired)] == [order.directive])
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await county.close()


# ---- escalation ----------------------------------------------------------------------------------


@on_loop
async def test_a_list_reaches_the_superior_is_struck_out_and_taken_in_hand(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    order = await issue(county, VILLAGE, SIBLING, urgency=Urgency.P2)
    await until_quiet(county, township, village)
    await passes(SIGN_LIMIT_MS[Urgency.P2], county, township, village)
    await until_quiet(county, township, village)
    name = f"{order.directive}:{TOWNSHIP}:1"
    for node in (county, township):
        (view,) = node.escalations.list(commander(node.code))
        assert (view.escalation, [r.node for r in view.rows], view.open) == (name, [VILLAGE, SIBLING], True)
    assert list(village.escalations.list(commander(VILLAGE))) == []
    await sign(village, order)
    await until_quiet(county, township, village)
    for node in (county, township):
        rows = {r.node: r for r in node.escalations.view(name, commander(node.code)).rows}
        assert (rows[VILLAGE].reached_by, rows[SIBLING].reached_at) == ("赵网格", None)
        assert node.escalations.of(order.directive, VILLAGE) == [name]
    await township.escalations.acknowledge(commander(TOWNSHIP), name, "已派人上门")
    await township.escalations.acknowledge(commander(TOWNSHIP), name, "再说一次")
    await until_quiet(county, township, village)
    view = county.escalations.view(name, commander())
    assert view.acknowledged_by == commander(TOWNSHIP)
    assert view.note == "已派人上门"
    with pytest.raises(Refused) as refused:
        await township.escalations.acknowledge(auditor(TOWNSHIP), name)
    assert refused.value.code == "not-permitted"
    with pytest.raises(Refused) as refused:
        township.escalations.view(name, commander(VILLAGE))
    assert refused.value.code == "not-permitted"
    await county.directives.recall(commander(), order.directive, "雨停")
    await until_quiet(county, township, village)
    assert list(township.escalations.list(commander(TOWNSHIP))) == []
    for node in (county, township, village):
        assert of(node, RefusalRecorded) == [r for r in of(node, RefusalRecorded) if r.code == "not-permitted"]
        await node.close()


@pytest.mark.parametrize(("urgency", "hears"), [(Urgency.P1, True), (Urgency.P2, False)])
def test_the_tier_above_the_issuer_hears_of_what_is_urgent_only(tmp_path: Path, urgency: Urgency, hears: bool) -> None:
    @on_loop
    async def run() -> None:
        city, county = Node(CITY, tmp_path), Node(COUNTY, tmp_path)
        order = await issue(county, TOWNSHIP, urgency=urgency)
        await passes(2 * SIGN_LIMIT_MS[urgency], county)
        await until_quiet(city, county)
        found = list(city.escalations.list(commander(CITY)))
        assert [(v.superior, v.title, [r.node for r in v.rows]) for v in found] == (
            [(CITY, order.title, [TOWNSHIP])] if hears else []
        )
        if hears:
            await city.escalations.acknowledge(commander(CITY), found[0].escalation)
            await until_quiet(city, county)
            assert county.escalations.view(found[0].escalation, commander()).acknowledged_by == commander(CITY)
        assert of(city, RefusalRecorded) == []
        await city.close()
        await county.close()

    run()


@on_loop
async def test_a_forged_or_misdirected_list_is_refused(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    order = await issue(county, VILLAGE)
    await passes(3 * MINUTE, county)
    good = next(r for r in of(county, EscalationRaised))
    forged = (
        (msgspec.structs.replace(good, title="别的"), COUNTY),
        (msgspec.structs.replace(good, not_reached=(SIBLING,)), COUNTY),
        (msgspec.structs.replace(good, superior=COUNTY), COUNTY),
        (msgspec.structs.replace(good, n=99), COUNTY),
        (msgspec.structs.replace(good, not_reached=()), COUNTY),
        (msgspec.structs.replace(good, node=VILLAGE), VILLAGE),
        (msgspec.structs.replace(good, directive=order.directive[:-1] + "0"), COUNTY),
    )
    await township.pull(county, limit=1)
    for record, via in forged:
        township.clock.advance(1)
        township.escalations.receive(record, via)
    await township.settle()
    assert of(township, EscalationRaised) == []
    assert len(of(township, RefusalRecorded)) == len(forged)
    await township.pull(county)
    assert of(township, EscalationRaised) == [good]
    await county.close()
    await township.close()


# ---- re-dial -------------------------------------------------------------------------------------


class Phone:
    """An adapter that remembers; ``broken``: it fails."""

    name = "phone"
    public = False

    def __init__(self) -> None:
        self.sent: list[Notice] = []
        self.broken = False

    async def send(self, notice: Notice) -> None:
        self.sent.append(notice)
        if self.broken:
            raise CallFailed("unreachable")


def redial(node: Node, phone: Phone) -> Redial:
    contacts = Contacts(
        [Contact(ref="v", division=VILLAGE, phone="13800000000"), Contact(ref="s", division=SIBLING, phone="139000000")]
    )
    ways = Adapters(node.code, node.journal, node.clock, node.telemetry, [phone])
    cards = node.alarms.incidents
    book = PhoneBook(node.directory / "phones.sqlite")
    whom = People(TREE, node.clock, node.refusals, contacts, node.rosters, book)
    return Redial(node.journal, node.clock, node.telemetry, ways, whom, node.directives, node.code, cards)


@on_loop
async def test_at_the_limit_those_who_have_not_signed_are_called_once(tmp_path: Path) -> None:
    county, phone = Node(COUNTY, tmp_path), Phone()
    calling = redial(county, phone)
    order = await issue(county, VILLAGE, SIBLING)
    await sign(county, order, SIBLING)
    await passes(3 * MINUTE, county)
    for _ in range(2):
        await calling.call()
    (notice,) = phone.sent
    assert (notice.places, notice.people, notice.title) == ((VILLAGE,), ("v",), order.title)
    county = await county.restart()
    await redial(county, phone).call()
    assert len(phone.sent) == 1
    assert [(r.adapter, r.outcome) for r in of(county, NoticeSent)] == [("phone", "sent")]
    await county.close()


@on_loop
async def test_a_call_the_power_cut_in_two_is_made_again_under_the_same_id(tmp_path: Path) -> None:
    county, phone = Node(COUNTY, tmp_path), Phone()
    await issue(county, VILLAGE)
    await passes(3 * MINUTE, county)
    county = await county.restart()  # the order to call is durable, nobody was called
    await redial(county, phone).call()
    assert [n.id for n in phone.sent] == [r.notice for r in of(county, RedialOrdered)]
    await county.close()


@on_loop
async def test_nobody_is_called_for_an_exercise_too_late_or_after_a_recall(tmp_path: Path) -> None:
    county, phone = Node(COUNTY, tmp_path), Phone()
    calling = redial(county, phone)
    await issue(county, VILLAGE, exercise=True, click_id="exercise")
    await passes(3 * MINUTE, county)
    await calling.call()
    assert [(r.adapter, r.outcome) for r in of(county, NoticeSent)] == [("", "exercise")]
    recalled = await issue(county, VILLAGE, click_id="recalled")
    await passes(3 * MINUTE, county)
    await county.directives.recall(commander(), recalled.directive, "雨停")
    await calling.call()
    await issue(county, VILLAGE, click_id="late")
    await passes(3 * MINUTE, county)
    county.clock.advance(STALE_MS + 1)
    await calling.call()
    assert phone.sent == []
    await county.close()


def rows_of(node: Node) -> list[Row]:
    return list(node.journal.replay())


@on_loop
async def test_what_follows_from_a_timer_stands_beside_it(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    await issue(county, VILLAGE)
    await passes(3 * MINUTE, county)
    types = [type(r.record).__name__ for r in rows_of(county)]
    at = types.index("EscalationRaised")
    assert types[at - 1] == "TimerFired"
    assert types[at : at + 2] == ["EscalationRaised", "RedialOrdered"]
    await county.close()
