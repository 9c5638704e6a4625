"""Clocks of alarms through real journals: told once, to whom it concerns, over when the state has moved on."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gateway.showing import Showing
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.messages import OverdueView
from signaling.overdue import GRID_MS
from signaling.records import (
    MAX_LATE,
    AlarmRaised,
    AlarmState,
    Late,
    NoticeSent,
    OverdueRaised,
    RefusalRecorded,
    TimerFired,
    TimerKind,
    Unit,
    UnitState,
    Urgency,
    signed_bytes,
)
from tests.gateway.test_alarms import request
from tests.gateway.test_timers import Phone, of, redial
from tests.support.clock import START
from tests.support.facts import raised
from tests.support.loop import on_loop
from tests.support.nodes import Node, keys_of, until_quiet
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    auditor,
    commander,
    device,
    terminal,
)

MINUTE = 60_000
HOUR = 60 * MINUTE
GRID = GRID_MS[0]


async def raise_at(node: Node, **changes: Any) -> AlarmId:
    made, _ = await node.alarms.raise_alarm(device(node.code), request(**changes))
    return made.alarm


async def passes(ms: int, *nodes: Node) -> None:
    for node in nodes:
        node.clock.advance(ms)
        await node.overdue_timers.fire()


def told(node: Node) -> list[tuple[NodeCode, list[tuple[str, int]]]]:
    return [(one.superior, [(late.kind, late.n) for late in one.late]) for one in of(node, OverdueRaised)]


def fired(node: Node) -> list[str]:
    return [record.timer for record in of(node, TimerFired)]


def open_lists(node: Node, place: NodeCode | None = None) -> list[OverdueView]:
    return list(node.overdue.list(commander(place or node.code)))


@on_loop
async def test_each_stage_tells_the_superior_and_then_that_ones(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    await raise_at(village)
    await passes(MINUTE - 1, village)
    assert told(village) == []
    await passes(1, village)
    assert told(village) == [(TOWNSHIP, [("response", 1)])]
    await passes(9 * MINUTE, village)
    county, township = (COUNTY, [("response", 2), ("on_site", 2)]), (TOWNSHIP, [("on_site", 1), ("handled", 1)])
    assert told(village)[1:] == [county, township]
    await passes(HOUR, village)
    assert told(village)[3:] == [(COUNTY, [("handled", 2)])]
    assert len(set(fired(village))) == len(fired(village)) == 6
    await village.close()


@on_loop
async def test_a_state_that_moves_on_stops_the_clocks_it_meets_and_ends_what_was_told(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    alarm = await raise_at(township, place=TOWNSHIP)
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.CONFIRMED)
    await passes(3 * MINUTE, township)
    assert told(township) == [(COUNTY, [("on_site", 1)])]
    (listed,) = open_lists(township, COUNTY)
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.DISPATCHED)
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.ON_SITE)
    view = township.overdue.view(listed.overdue, commander())
    assert (view.open, [(row.ended, row.ended_at) for row in view.rows]) == (False, [(True, township.clock.at())])
    assert open_lists(township, COUNTY) == []
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.HANDLED)
    await passes(HOUR, township)
    assert len(told(township)) == 1
    await township.close()


@on_loop
async def test_a_false_alarm_and_a_closed_one_tell_nobody(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    first, second = await raise_at(village), await raise_at(village, kind="flood")
    await village.alarms.advance(commander(VILLAGE), first, AlarmState.FALSE, "测试")
    for state in (AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE, AlarmState.HANDLED):
        await village.alarms.advance(commander(VILLAGE), second, state)
    await passes(HOUR, village)
    assert told(village) == []
    await village.close()


@on_loop
async def test_grouped_alarms_have_one_clock_the_cards(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    for number in range(50):
        await township.alarms.raise_alarm(device(TOWNSHIP), request(place=VILLAGE, source=f"烟感-{number}"))
        township.clock.advance(100)
    await passes(HOUR, township)
    assert len(fired(township)) == 6
    assert sum(len(one.late) for one in of(township, OverdueRaised)) == 6
    await township.close()


@pytest.mark.parametrize("count", [1_000, pytest.param(8_000, marks=pytest.mark.long)])
def test_a_storm_of_cards_makes_few_lists_and_no_superior_hears_more_than_they_hold(tmp_path: Path, count: int) -> None:
    """8,000 alarms that nothing groups are 24,000 stages; one gateway serves them all."""

    @on_loop
    async def run() -> None:
        county = Node(COUNTY, tmp_path)
        villages = (*TREE.children(TOWNSHIP), *TREE.children(OTHER_TOWNSHIP))
        storm = [
            raised(
                node=COUNTY, by=device(COUNTY), at=UtcMs(START + n), alarm=AlarmId(f"a-{n}"), kind="other",
                source=f"s-{n}", place=villages[n % len(villages)],
            )
            for n in range(count)
        ]  # fmt: skip
        await county.journal.append(*storm)
        for _ in range(12 * 6):
            await passes(GRID, county)
        assert len(fired(county)) == len(set(fired(county))) == 3 * 2 * count
        slots = Counter(one.at // GRID for one in of(county, TimerFired))
        heard: dict[tuple[NodeCode, int], list[OverdueRaised]] = {}
        for one in of(county, OverdueRaised):
            heard.setdefault((one.superior, one.at // GRID), []).append(one)
        for (_, slot), lists in heard.items():
            assert len(lists) <= 2 * (1 + slots[slot] // MAX_LATE)
        await county.close()

    run()


@on_loop
async def test_nothing_fires_twice_over_restarts_and_what_was_missed_is_one_list_each(
    tmp_path: Path,
) -> None:
    village = Node(VILLAGE, tmp_path)
    await raise_at(village)
    await passes(MINUTE, village)
    await raise_at(village, kind="flood")
    await village.close()
    village.clock.advance(HOUR)
    village = Node(VILLAGE, tmp_path, village.clock)
    await village.overdue_timers.fire()
    assert len(set(fired(village))) == len(fired(village)) == 12
    assert [superior for superior, _ in told(village)] == [TOWNSHIP, COUNTY, TOWNSHIP]
    before = village.journal.head
    for _ in range(3):
        village = await village.restart()
        await village.overdue_timers.fire()
    assert village.journal.head == before
    await village.close()


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_step_of_the_wall_clock_moves_no_timer(tmp_path: Path, step: int) -> None:
    @on_loop
    async def run() -> None:
        village = Node(VILLAGE, tmp_path)
        await raise_at(village)
        await passes(30_000, village)
        village.clock.step(step)
        await raise_at(village, kind="flood")
        await passes(30_000 - 1, village)
        assert fired(village) == []
        await passes(1, village)
        assert len(fired(village)) == 1
        await passes(30_000, village)
        assert len(fired(village)) == 2
        assert all(record.at >= record.due for record in of(village, TimerFired))
        await village.close()

    run()


@on_loop
async def test_a_step_that_is_not_yet_durable_counts(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    alarm = await raise_at(village)
    village.clock.advance(MINUTE)
    taking = asyncio.create_task(village.alarms.advance(commander(VILLAGE), alarm, AlarmState.CONFIRMED))
    await asyncio.sleep(0)
    assert not taking.done()
    await village.overdue_timers.fire()
    await taking
    assert fired(village) == []
    await village.close()


@on_loop
async def test_an_older_alarm_on_its_way_to_the_card_keeps_its_clock_waiting(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    await raise_at(township)
    township.clock.advance(MINUTE)
    older = raised(at=UtcMs(township.clock.at() - MINUTE - 1), alarm=AlarmId("a-older"))
    township.alarms.receive(older, VILLAGE)
    await township.overdue_timers.fire()
    await township.settle()
    assert fired(township) == []  # the village keeps that card's time
    await township.close()


@on_loop
async def test_the_driver_wakes_at_the_next_deadline_and_for_what_is_new(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    await raise_at(village)
    assert village.overdue_timers.deadline() == pytest.approx(village.clock.now() + 60)
    await raise_at(village, kind="flood")
    await passes(MINUTE, village)
    assert len(fired(village)) == 2
    await village.close()


# ---- to whom -------------------------------------------------------------------------------------


@on_loop
async def test_the_list_reaches_the_superior_is_struck_out_and_taken_in_hand(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    alarm = await raise_at(village)
    await until_quiet(county, township, village)
    await passes(3 * MINUTE - 20_000, village, township, county)
    await until_quiet(county, township, village)
    assert [told(node) for node in (township, county)] == [told(village), told(village)[:1]]
    (view,) = [one for one in open_lists(township) if one.superior == TOWNSHIP]
    assert [(row.kind, row.place, row.alarm, row.alarm_kind) for row in view.rows] == [
        ("response", VILLAGE, alarm, "fire")
    ]
    (own,) = [one for one in village.overdue.list(terminal()) if one.superior == TOWNSHIP]
    assert own.rows == view.rows
    for stranger in (terminal(SIBLING), commander(OTHER_TOWNSHIP), commander(SIBLING)):
        with pytest.raises(Refused) as refused:
            village.overdue.view(view.overdue, stranger)
        assert refused.value.code == "not-permitted"
    await township.overdue.acknowledge(commander(TOWNSHIP), view.overdue, "已派人")
    await township.overdue.acknowledge(commander(TOWNSHIP), view.overdue, "再说一次")
    await until_quiet(county, township, village)
    for node in (township, village):
        assert node.overdue.view(view.overdue, commander(TOWNSHIP)).note == "已派人"
    for nobody in (auditor(TOWNSHIP), terminal(TOWNSHIP)):
        with pytest.raises(Refused) as refused:
            await township.overdue.acknowledge(nobody, view.overdue)
        assert refused.value.code == "not-permitted"
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.CONFIRMED)
    await until_quiet(county, township, village)
    for node in (county, township, village):
        assert open_lists(node) == []
        assert {r.code for r in of(node, RefusalRecorded)} <= {"not-permitted"}
        await node.close()


@on_loop
async def test_a_department_that_does_not_answer_is_told_of_to_its_superior(tmp_path: Path) -> None:
    city, county, township = (Node(c, tmp_path) for c in (CITY, COUNTY, TOWNSHIP))
    alarm = await raise_at(township, urgency=Urgency.P1)
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.CONFIRMED)
    call = await township.alarms.call(terminal(TOWNSHIP), alarm, COUNTY, "水利局", "泵坏了")
    await until_quiet(city, county, township)
    await passes(5 * MINUTE, township)
    await until_quiet(city, county, township)
    (view,) = [one for one in open_lists(city) if one.superior == CITY]
    (row,) = [one for one in view.rows if one.kind == "call"]
    assert (row.place, row.name, row.since) == (COUNTY, "水利局", township.clock.at())
    assert [row for one in open_lists(county) for row in one.rows if row.kind == "call"] == [row]
    await county.alarms.answer(commander(), call, "已派抢修")
    await until_quiet(city, county, township)
    assert [one.kind for one in city.overdue.view(view.overdue, commander(CITY)).rows if not one.ended] == []
    for node in (city, county, township):
        assert of(node, RefusalRecorded) == []
        await node.close()


@on_loop
async def test_a_unit_that_does_not_arrive_rings_at_its_place_and_at_who_sent_it(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    alarm = await raise_at(township)
    await until_quiet(county, township, village)
    crew = Unit(unit="crew", name="八里村民兵", place=VILLAGE)
    await county.alarms.dispatch(commander(), alarm, crew, (), within_ms=2 * MINUTE)
    await until_quiet(county, township, village)
    await passes(2 * MINUTE, county)
    await until_quiet(county, township, village)
    assert told(county) == [(TOWNSHIP, [("unit", 1)])]
    (view,) = village.overdue.list(terminal())
    assert [(row.name, row.place) for row in view.rows] == [("八里村民兵", VILLAGE)]
    await village.alarms.report(terminal(), alarm, "crew", VILLAGE, UnitState.ON_SITE)
    await until_quiet(county, township, village)
    assert open_lists(township) == []
    await passes(HOUR, county)
    assert told(county) == [(TOWNSHIP, [("unit", 1)])]
    for node in (county, township, village):
        assert of(node, RefusalRecorded) == []
        await node.close()


@on_loop
async def test_a_forged_list_is_refused(tmp_path: Path) -> None:
    township, village = Node(TOWNSHIP, tmp_path), Node(VILLAGE, tmp_path)
    await raise_at(village)
    await passes(MINUTE, village)
    good = of(village, OverdueRaised)[0]
    await township.pull(village, limit=1)
    assert [type(row.record) for row in township.journal.replay()] == [AlarmRaised]
    township.overdue.receive(msgspec.structs.replace(good, urgency=Urgency.P3), VILLAGE)
    township.clock.advance(1)
    township.overdue.receive(msgspec.structs.replace(good, signature=""), VILLAGE)
    await township.settle()
    assert of(township, OverdueRaised) == []
    assert len(of(township, RefusalRecorded)) == 2
    await township.pull(village)
    assert of(township, OverdueRaised) == [good]
    await township.close()
    await village.close()


@on_loop
async def test_a_page_that_opens_is_told_every_list_of_a_night_on_which_every_village_is_late(tmp_path: Path) -> None:
    county, villages = Node(COUNTY, tmp_path), [place for place in TREE.subtree(COUNTY) if TREE.tier(place) == 5]
    for village in villages:
        alarm = AlarmId(f"a-{village}")
        via = TREE.path_up(village)[1]
        event = raised(node=village, by=commander(village), alarm=alarm, place=village, kind=f"level {village}")
        county.dispatch(event, via)
        late = Late(kind=TimerKind.RESPONSE, alarm=alarm, what="", place=village, name="", since=UtcMs(61_000), n=2)
        one = OverdueRaised(
            node=village,
            at=UtcMs(120_000),
            overdue=f"{village}-{COUNTY}-120000-r0",
            superior=COUNTY,
            late=(late,),
            urgency=Urgency.P1,
            exercise=False,
        )
        signature = keys_of(village).sign(signed_bytes(one))
        county.dispatch(msgspec.structs.replace(one, signature=signature), via)
    await county.settle()
    assert of(county, RefusalRecorded) == []
    opening: Any = Showing(
        sessions=(),  # type: ignore[arg-type]
        tree=TREE,
        directives=county.directives,
        escalations=county.escalations,
        alarms=county.alarms,
        overdue=county.overdue,
        circulars=county.circulars,
        conferences=SimpleNamespace(list=lambda who: ()),  # type: ignore[arg-type]
        presence=SimpleNamespace(online=dict),  # type: ignore[arg-type]
        turns=SimpleNamespace(said=None),  # type: ignore[arg-type]
    ).opening(SimpleNamespace(who=commander()))  # type: ignore[arg-type]
    shown = [message.rows[0].place for message in opening if isinstance(message, OverdueView)]
    assert len(villages) == 153
    assert sorted(shown) == sorted(villages)
    await county.close()


# ---- re-dial -------------------------------------------------------------------------------------


@on_loop
async def test_the_late_one_is_called_once_by_the_lists_name(tmp_path: Path) -> None:
    township, phone = Node(TOWNSHIP, tmp_path), Phone()
    calling = redial(township, phone)
    await raise_at(township, place=VILLAGE)
    exercise = await raise_at(township, place=SIBLING, exercise=True)
    await passes(MINUTE, township)
    for _ in range(2):
        await calling.call()
    (notice,) = phone.sent
    real = next(one for one in of(township, OverdueRaised) if not one.exercise)
    assert (notice.id, notice.places, notice.people) == (real.overdue, (VILLAGE,), ("v",))
    assert notice.text == "未响应：烟雾浓度超限"
    said = [(one.adapter, one.outcome) for one in of(township, NoticeSent)]
    assert sorted(said) == [("", "exercise"), ("phone", "sent")]
    township = await township.restart()
    await redial(township, phone).call()
    assert len(phone.sent) == 1
    assert not any(exercise in sent.text or SIBLING in sent.places for sent in phone.sent)
    await township.close()


@on_loop
async def test_who_has_done_it_meanwhile_is_not_called(tmp_path: Path) -> None:
    township, phone = Node(TOWNSHIP, tmp_path), Phone()
    calling = redial(township, phone)
    alarm = await raise_at(township, place=VILLAGE)
    await passes(MINUTE, township)
    await township.alarms.advance(commander(TOWNSHIP), alarm, AlarmState.CONFIRMED)
    await calling.call()
    assert phone.sent == []
    await township.close()
