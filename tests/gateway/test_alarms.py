"""Alarms through real journals: one place calls, all concerned know; the picture follows."""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.forms import AlarmRequest
from signaling import geodesy
from signaling.errors import Refused
from signaling.ids import AlarmId, NodeCode, Sha256, UtcMs
from signaling.records import Actor, AlarmRaised, AlarmState, RefusalRecorded, Unit, UnitState, Urgency
from tests.support.facts import pictured, raised, step
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import (
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    auditor,
    commander,
    device,
    terminal,
)


@dataclass(frozen=True)
class Photo:
    jpeg: bytes = b"\xff\xd8\xff full picture" * 100
    thumbnail: bytes = b"\xff\xd8\xff thumbnail"


def request(**changes: Any) -> AlarmRequest:
    return AlarmRequest(**({"kind": "fire", "text": "烟雾浓度超限", "urgency": Urgency.P0} | changes))


def sha256(data: bytes) -> Sha256:
    return Sha256(hashlib.sha256(data).hexdigest())


def refusals(node: Node) -> list[str]:
    return [row.record.code for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)]


@on_loop
async def test_one_place_calls_and_all_concerned_know(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    sibling, elsewhere = Node(SIBLING, tmp_path), Node(OTHER_TOWNSHIP, tmp_path)
    alarm, created = await village.alarms.raise_alarm(device(), request())
    assert created
    assert (alarm.place, alarm.source) == (VILLAGE, "烟感-17")
    assert (alarm.longitude, alarm.latitude) == TREE.position(VILLAGE)
    await until_quiet(county, township, village)
    await sibling.pull(township)
    await elsewhere.pull(county)
    for node in (county, township, village, sibling):
        (card,) = node.alarms.incidents.list(commander(node.code))
        assert (card.alarm, card.text, card.state) == (alarm.alarm, "烟雾浓度超限", AlarmState.TRIGGERED)
    assert elsewhere.alarms.incidents.list(commander(OTHER_TOWNSHIP)) == []
    assert elsewhere.journal.head == 0
    for node in (county, township, village, sibling, elsewhere):
        await node.close()


@on_loop
async def test_the_same_event_of_the_same_source_is_one_alarm(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    answers = await asyncio.gather(*(village.alarms.raise_alarm(device(), request(event="17-1")) for _ in range(4)))
    assert len({alarm.alarm for alarm, _ in answers}) == 1
    assert [created for _, created in answers].count(True) == 1
    village = await village.restart()
    assert await village.alarms.raise_alarm(device(), request(event="17-1")) == (answers[0][0], False)
    assert (await village.alarms.raise_alarm(device(), request(event="17-2")))[1]
    assert (await village.alarms.raise_alarm(device(), request()))[1]
    assert (await village.alarms.raise_alarm(device(), request()))[1]
    assert [card.count for card in village.alarms.incidents.list(terminal())] == [4]
    await village.close()


@on_loop
async def test_the_thumbnail_is_wanted_at_once_and_the_picture_on_demand(tmp_path: Path) -> None:
    township, village = Node(TOWNSHIP, tmp_path), Node(VILLAGE, tmp_path)
    asked: list[Sha256] = []
    township.blobs.on_wanted(lambda known: asked.append(known.sha256))
    alarm, _ = await village.alarms.raise_alarm(device(), request())
    await until_quiet(township, village)
    assert township.alarms.incidents.list(commander(TOWNSHIP))[0].thumbnail is None
    photo = Photo()
    record = await village.alarms.picture(alarm.alarm, photo)
    assert (record.picture, record.thumbnail) == (sha256(photo.jpeg), sha256(photo.thumbnail))
    await until_quiet(township, village)
    card = township.alarms.incidents.view(alarm.alarm, commander(TOWNSHIP))
    assert (card.picture, card.thumbnail) == (record.picture, record.thumbnail)
    assert asked == [record.thumbnail]
    assert [k.sha256 for k in township.blobs.wanted(VILLAGE)] == [record.thumbnail]
    assert [(k.sha256, k.via) for k in township.alarms.missing_blobs()] == [(record.thumbnail, VILLAGE)]
    await township.blobs.put(photo.thumbnail)
    assert township.alarms.missing_blobs() == ()
    assert await township.alarms.blob(commander(TOWNSHIP), record.thumbnail) == photo.thumbnail
    with pytest.raises(Refused) as refused:
        await township.alarms.blob(commander(TOWNSHIP), record.picture)
    assert refused.value.code == "blob-pending"
    assert asked == [record.thumbnail, record.picture]
    township = await township.restart()
    assert [k.sha256 for k in township.blobs.wanted(VILLAGE)] == []
    await township.blobs.put(photo.jpeg)
    assert await township.alarms.blob(commander(TOWNSHIP), record.picture) == photo.jpeg
    assert township.alarms.alarm_of(record.picture) == alarm.alarm
    await township.close()
    await village.close()


@on_loop
async def test_pictures_are_only_for_those_who_are_told(tmp_path: Path) -> None:
    county, village = Node(COUNTY, tmp_path), Node(VILLAGE, tmp_path)
    alarm, _ = await village.alarms.raise_alarm(device(), request())
    record = await village.alarms.picture(alarm.alarm, Photo())
    for stranger in (terminal(OTHER_VILLAGE), commander(OTHER_TOWNSHIP), device(VILLAGE)):
        with pytest.raises(Refused) as refused:
            await village.alarms.blob(stranger, record.picture)
        assert refused.value.code == "not-permitted"
        assert not village.alarms.incidents.may_read(alarm.alarm, stranger)
    for told in (terminal(SIBLING), commander(COUNTY), auditor(COUNTY)):
        assert await village.alarms.blob(told, record.picture) == Photo().jpeg
    with pytest.raises(Refused) as refused:
        await village.alarms.blob(commander(COUNTY), sha256(b"never seen"))
    assert refused.value.code == "unknown-blob"
    await county.close()
    await village.close()


@on_loop
async def test_tiers_that_step_at_once_agree_when_the_line_is_back(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    alarm, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request())
    await until_quiet(county, township)
    await county.alarms.advance(commander(COUNTY), alarm.alarm, AlarmState.FALSE, "演练")
    await township.alarms.advance(commander(TOWNSHIP), alarm.alarm, AlarmState.CONFIRMED, "属实")
    await until_quiet(county, township)
    for node in (county, township):
        assert node.alarms.incidents.view(alarm.alarm, commander()).state is AlarmState.CONFIRMED
    await county.alarms.advance(commander(COUNTY), alarm.alarm, AlarmState.DISPATCHED)
    await until_quiet(county, township)
    await township.alarms.advance(terminal(TOWNSHIP), alarm.alarm, AlarmState.ON_SITE)
    await until_quiet(county, township)
    for node in (county, township):
        node = await node.restart()
        assert node.alarms.incidents.view(alarm.alarm, commander()).state is AlarmState.ON_SITE
        assert refusals(node) == []
        await node.close()


@on_loop
async def test_steps_that_may_not_be_taken_are_refused(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    alarm, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(place=VILLAGE))
    cases: list[tuple[Actor, AlarmId, AlarmState, str, str]] = [
        (terminal(VILLAGE), alarm.alarm, AlarmState.CONFIRMED, "", "not-permitted"),
        (device(VILLAGE), alarm.alarm, AlarmState.ON_SITE, "", "not-permitted"),
        (commander(SIBLING), alarm.alarm, AlarmState.CONFIRMED, "", "not-permitted"),
        (auditor(TOWNSHIP), alarm.alarm, AlarmState.CONFIRMED, "", "not-permitted"),
        (commander(COUNTY), alarm.alarm, AlarmState.CONFIRMED, "", "not-permitted"),
        (commander(TOWNSHIP), alarm.alarm, AlarmState.CLOSED, "", "alarm-state"),
        (commander(TOWNSHIP), alarm.alarm, AlarmState.CONFIRMED, "x\x1b[2J", "bad-text"),
        (commander(TOWNSHIP), AlarmId("a-unknown"), AlarmState.CONFIRMED, "", "unknown-alarm"),
    ]
    for actor, target, state, note, code in cases:
        with pytest.raises(Refused) as refused:
            await township.alarms.advance(actor, target, state, note)
        assert refused.value.code == code, (actor, state)
    for _ in range(2):
        await township.alarms.advance(commander(TOWNSHIP), alarm.alarm, AlarmState.CONFIRMED)
    assert township.alarms.incidents.view(alarm.alarm, commander()).state is AlarmState.CONFIRMED
    await township.close()


@pytest.mark.parametrize(
    ("actor", "changes", "code"),
    [
        (device(VILLAGE), {"place": SIBLING}, "not-permitted"),
        (device(VILLAGE), {"place": TOWNSHIP}, "not-permitted"),
        (device(COUNTY), {}, "not-permitted"),
        (auditor(TOWNSHIP), {}, "not-permitted"),
        (device(VILLAGE), {"place": NodeCode("1")}, "unknown-node"),
        (device(VILLAGE), {"kind": "火\n警"}, "bad-text"),
        (device(VILLAGE), {"kind": ""}, "bad-text"),
        (device(VILLAGE), {"text": "火" * 400}, "bad-text"),
        (device(VILLAGE), {"source": "x" * 61}, "bad-text"),
        (device(VILLAGE), {"longitude": 181.0, "latitude": 0.0}, "bad-record"),
        (device(VILLAGE), {"longitude": float("nan"), "latitude": 0.0}, "bad-record"),
    ],
)
@on_loop
async def test_an_alarm_that_may_not_be_is_refused(
    tmp_path: Path, actor: Actor, changes: dict[str, Any], code: str
) -> None:
    township = Node(TOWNSHIP, tmp_path)
    with pytest.raises(Refused) as refused:
        await township.alarms.raise_alarm(actor, request(**changes))
    assert refused.value.code == code
    await township.settle()
    assert not any(isinstance(row.record, AlarmRaised) for row in township.journal.replay())
    assert refusals(township) == (["not-permitted"] if code == "not-permitted" else [])
    await township.close()


@on_loop
async def test_what_a_neighbour_may_not_say_is_refused_and_the_rest_taken(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    good = raised()
    cases: list[tuple[Any, NodeCode, str]] = [
        (raised(node=COUNTY), VILLAGE, "wrong-direction"),
        (raised(), SIBLING, "wrong-direction"),
        (raised(place=SIBLING), VILLAGE, "not-permitted"),
        (raised(by=device(TOWNSHIP)), VILLAGE, "not-permitted"),
        (raised(by=auditor(VILLAGE)), VILLAGE, "not-permitted"),
        (raised(node=COUNTY, place=OTHER_VILLAGE, by=device(COUNTY)), COUNTY, "wrong-direction"),
        (raised(alarm="a b"), VILLAGE, "bad-record"),
        (raised(alarm=""), VILLAGE, "bad-record"),
        (pictured(), VILLAGE, "unknown-alarm"),
        (step(AlarmState.CONFIRMED, node=COUNTY, by=commander()), COUNTY, "unknown-alarm"),
        (good, VILLAGE, ""),
        (msgspec.structs.replace(good, text="没事"), VILLAGE, "alarm-conflict"),
        (pictured(node=COUNTY), COUNTY, "not-permitted"),
        (pictured(picture="../../etc/passwd"), VILLAGE, "bad-record"),
        (pictured(picture_bytes=5 << 20), VILLAGE, "bad-record"),
        (pictured(thumbnail_bytes=(64 << 10) + 1), VILLAGE, "bad-record"),
        (step(AlarmState.FALSE, node=VILLAGE, by=terminal()), VILLAGE, "not-permitted"),
        (step(AlarmState.FALSE, node=VILLAGE, by=commander(COUNTY)), VILLAGE, "not-permitted"),
        (pictured(), VILLAGE, ""),
        (good, VILLAGE, ""),
    ]
    for record, via, _ in cases:
        township.clock.advance(1)
        township.alarms.receive(record, via)
    await township.settle()
    assert refusals(township) == [code for *_, code in cases if code]
    card = township.alarms.incidents.view(good.alarm, commander())
    assert (card.text, card.picture, card.state) == (good.text, pictured().picture, AlarmState.TRIGGERED)
    await township.close()


# ---- cards of many alarms ------------------------------------------------------------------------


@on_loop
async def test_a_storm_is_one_card_at_every_node_and_the_ledger_keeps_every_alarm(tmp_path: Path) -> None:
    county, township, village = (Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    for n in range(30):
        village.clock.advance(100)
        await village.alarms.raise_alarm(
            device(), request(source=f"烟感-{n % 10}", text=f"第{n}次", urgency=Urgency.P2)
        )
    await until_quiet(county, township, village)
    for node in (county, township, village):
        (card,) = node.alarms.incidents.list(commander(node.code))
        assert (card.count, card.sources, card.text, card.card) == (30, 10, "第29次", card.alarm)
        raised_rows = [row.record for row in node.journal.replay() if isinstance(row.record, AlarmRaised)]
        assert len(raised_rows) == 30
        found, count = node.alarms.incidents.members(card.alarm, commander(node.code), 5, 10)
        assert ([r.text for r in found], count) == ([f"第{n}次" for n in range(5, 15)], 30)
        other = node.alarms.incidents.view(raised_rows[7].alarm, commander(node.code))
        assert (other.state, other.card, other.text) == (AlarmState.MERGED, card.alarm, "第7次")
        await node.close()


@on_loop
async def test_a_step_on_any_alarm_is_a_step_of_its_card(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    ids = []
    for n in range(3):
        alarm, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(source=f"烟感-{n}"))
        ids.append(alarm.alarm)
    for number, state in enumerate((AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE)):
        await township.alarms.advance(commander(TOWNSHIP), ids[number], state)
        assert township.alarms.incidents.view(ids[0], commander(TOWNSHIP)).state is state
    await township.alarms.advance(commander(TOWNSHIP), ids[2], AlarmState.CONFIRMED)
    with pytest.raises(Refused) as refused:
        await township.alarms.advance(commander(TOWNSHIP), ids[2], AlarmState.FALSE)
    assert refused.value.code == "alarm-state"
    await township.close()


@on_loop
async def test_what_comes_after_a_card_was_closed_opens_it_again(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    first, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request())
    line = (AlarmState.CONFIRMED, AlarmState.DISPATCHED, AlarmState.ON_SITE, AlarmState.HANDLED, AlarmState.CLOSED)
    for state in line:
        township.clock.advance(1_000)
        await township.alarms.advance(commander(TOWNSHIP), first.alarm, state, "扑灭")
    township.clock.advance(1_000)
    await township.alarms.raise_alarm(device(TOWNSHIP), request(text="复燃"))
    (card,) = township.alarms.incidents.list(commander(TOWNSHIP))
    assert (card.alarm, card.state, card.reopened, card.count) == (first.alarm, AlarmState.TRIGGERED, 1, 2)
    await township.alarms.advance(commander(TOWNSHIP), first.alarm, AlarmState.CONFIRMED)
    township = await township.restart()
    (card,) = township.alarms.incidents.list(commander(TOWNSHIP))
    assert card.state is AlarmState.CONFIRMED
    assert [clock.met_at is not None for clock in card.clocks] == [True, False, False]
    figures = township.alarms.incidents.scores(
        commander(TOWNSHIP), UtcMs(0), UtcMs(township.clock.at() + 3_600_000), exercise=False
    )
    assert (figures.alarms, figures.clocks["response"].percent, figures.golden.missed) == (2, 100.0, 1)
    await township.close()


@on_loop
async def test_an_alarm_is_taken_out_of_a_card_everywhere(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    one, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(source="烟感-1"))
    two, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(source="烟感-2"))
    far, _ = await county.alarms.raise_alarm(device(COUNTY), request(place=OTHER_VILLAGE))
    drill, _ = await county.alarms.raise_alarm(device(COUNTY), request(place=TOWNSHIP, exercise=True))
    await until_quiet(county, township)
    for target in (far, drill):
        with pytest.raises(Refused) as refused:
            await county.alarms.group(commander(), two.alarm, target.alarm)
        assert refused.value.code == "alarm-elsewhere"
    with pytest.raises(Refused) as refused:
        await township.alarms.group(terminal(TOWNSHIP), two.alarm, two.alarm)
    assert refused.value.code == "not-permitted"
    await county.alarms.group(commander(), two.alarm, two.alarm)
    await until_quiet(county, township)
    assert len(township.alarms.incidents.list(commander(TOWNSHIP))) == 3
    township.clock.advance(10)
    await township.alarms.group(commander(TOWNSHIP), two.alarm, one.alarm)
    await until_quiet(county, township)
    for node in (county, township):
        assert node.alarms.incidents.view(two.alarm, commander(node.code)).card == one.alarm
        assert [r.code for r in refused_rows(node) if r.code == "alarm-elsewhere"] == []
        await node.close()


def refused_rows(node: Node) -> list[RefusalRecorded]:
    return [row.record for row in node.journal.replay() if isinstance(row.record, RefusalRecorded)]


# ---- units ---------------------------------------------------------------------------------------

FIRE = Unit(unit="county-fire", name="县消防大队", place=COUNTY)
STATION = Unit(unit="station", name="镇救援站", place=TOWNSHIP)
MILITIA = Unit(unit="militia", name="村民兵排", place=VILLAGE)


@on_loop
async def test_units_are_sent_and_say_how_far_they_are_at_every_tier(tmp_path: Path) -> None:
    county, _, village = chain = tuple(Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    alarm, _ = await village.alarms.raise_alarm(device(), request())
    await until_quiet(*chain)
    await county.alarms.dispatch(commander(), alarm.alarm, FIRE, (STATION, MILITIA), 180_000, "带排烟机")
    await until_quiet(*chain)
    card = village.alarms.incidents.view(alarm.alarm, terminal())
    assert card.state is AlarmState.DISPATCHED
    assert [(d.unit, d.lead, d.state) for d in card.dispatches] == [
        ("county-fire", True, None),
        ("station", False, None),
        ("militia", False, None),
    ]
    assert card.dispatches[0].deadline == card.dispatches[0].called_at + 180_000
    for state in (UnitState.ACKNOWLEDGED, UnitState.ON_SITE, UnitState.HANDLED):
        await village.alarms.report(terminal(), alarm.alarm, "militia", VILLAGE, state)
    await until_quiet(*chain)
    card = county.alarms.incidents.view(alarm.alarm, commander())
    assert (card.state, card.dispatches[2].state) == (AlarmState.ON_SITE, UnitState.HANDLED)
    assert county.alarms.incidents.busy("militia") == (alarm.alarm, UnitState.HANDLED)
    await county.alarms.report(terminal(COUNTY), alarm.alarm, "county-fire", COUNTY, UnitState.HANDLED, "明火已灭")
    await county.alarms.report(terminal(COUNTY), alarm.alarm, "county-fire", COUNTY, UnitState.RETURNED)
    assert county.alarms.incidents.busy("county-fire") is None
    with pytest.raises(Refused) as refused:
        await county.alarms.advance(commander(), alarm.alarm, AlarmState.CLOSED, "  ")
    assert refused.value.code == "note-needed"
    await county.alarms.advance(commander(), alarm.alarm, AlarmState.CLOSED, "换下老化线路")
    await until_quiet(*chain)
    for node in chain:
        node = await node.restart()
        card = node.alarms.incidents.view(alarm.alarm, commander(node.code))
        assert (card.state, card.outcome, card.outcome_by) == (AlarmState.CLOSED, "换下老化线路", commander())
        assert refusals(node) == []
        assert node.alarms.incidents.busy("militia") is None
        await node.close()


@on_loop
async def test_units_that_may_not_be_sent_or_say_what_they_may_not_are_refused(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    alarm, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(place=VILLAGE))
    stray = Unit(unit="far", name="外镇队伍", place=OTHER_TOWNSHIP)
    twice = (STATION, msgspec.structs.replace(FIRE, name="同名"))
    for actor, lead, assist, code in (
        (terminal(VILLAGE), FIRE, (), "not-permitted"),
        (commander(SIBLING), FIRE, (), "not-permitted"),
        (commander(TOWNSHIP), stray, (), "unit-elsewhere"),
        (commander(TOWNSHIP), FIRE, twice, "bad-record"),
        (commander(TOWNSHIP), msgspec.structs.replace(FIRE, unit="a b"), (), "bad-record"),
        (commander(TOWNSHIP), msgspec.structs.replace(FIRE, name="x\n"), (), "bad-text"),
    ):
        with pytest.raises(Refused) as refused:
            await township.alarms.dispatch(actor, alarm.alarm, lead, assist, 180_000)
        assert refused.value.code == code
    await township.alarms.dispatch(commander(TOWNSHIP), alarm.alarm, STATION, (MILITIA,), 180_000)
    await township.alarms.report(terminal(TOWNSHIP), alarm.alarm, "station", TOWNSHIP, UnitState.OUT)
    for actor, unit, place, state, code in (
        (terminal(VILLAGE), "station", TOWNSHIP, UnitState.ON_SITE, "not-permitted"),
        (terminal(TOWNSHIP), "station", VILLAGE, UnitState.ON_SITE, "unknown-unit"),
        (terminal(TOWNSHIP), "county-fire", TOWNSHIP, UnitState.ON_SITE, "unknown-unit"),
        (terminal(TOWNSHIP), "station", TOWNSHIP, UnitState.ACKNOWLEDGED, "unit-state"),
    ):
        with pytest.raises(Refused) as refused:
            await township.alarms.report(actor, alarm.alarm, unit, place, state)
        assert refused.value.code == code
    await township.alarms.advance(commander(TOWNSHIP), alarm.alarm, AlarmState.ON_SITE)
    await township.alarms.advance(commander(TOWNSHIP), alarm.alarm, AlarmState.HANDLED)
    with pytest.raises(Refused) as refused:
        await township.alarms.dispatch(commander(TOWNSHIP), alarm.alarm, FIRE, (), 180_000)
    assert refused.value.code == "alarm-state"
    await township.close()


# ---- calls to departments above ------------------------------------------------------------------


@on_loop
async def test_a_village_calls_the_county_and_the_clock_is_on_the_county(tmp_path: Path) -> None:
    county, township, village = chain = tuple(Node(c, tmp_path) for c in (COUNTY, TOWNSHIP, VILLAGE))
    alarm, _ = await village.alarms.raise_alarm(terminal(), request(urgency=Urgency.P1))
    call = await village.alarms.call(terminal(), alarm.alarm, COUNTY, "水利局", "请派抽水机")
    await until_quiet(*chain)
    (told,) = county.alarms.incidents.view(alarm.alarm, commander()).calls
    assert (told.to, told.department, told.note, told.deadline - told.raised_at) == (
        COUNTY,
        "水利局",
        "请派抽水机",
        300_000,
    )
    late = UtcMs(told.deadline + 1)
    for node in chain:
        rows = node.alarms.incidents.overdue(commander(node.code), late)
        assert ("call", call) in [(one.kind, one.subject) for _, one in rows]
        assert ("call", call) not in [
            (one.kind, one.subject) for _, one in node.alarms.incidents.overdue(commander(node.code), told.deadline)
        ]
    with pytest.raises(Refused) as refused:
        await township.alarms.answer(commander(TOWNSHIP), call, "已派")
    assert refused.value.code == "not-permitted"
    for _ in range(2):
        await county.alarms.answer(terminal(COUNTY), call, "两台抽水机已出发")
    await until_quiet(*chain)
    for node in chain:
        node = await node.restart()
        (told,) = node.alarms.incidents.view(alarm.alarm, commander(node.code)).calls
        assert (told.answer, told.answered_by) == ("两台抽水机已出发", terminal(COUNTY))
        assert "call" not in [one.kind for _, one in node.alarms.incidents.overdue(commander(node.code), late)]
        await node.close()


@on_loop
async def test_calls_that_may_not_be_made_are_refused(tmp_path: Path) -> None:
    township = Node(TOWNSHIP, tmp_path)
    alarm, _ = await township.alarms.raise_alarm(device(TOWNSHIP), request(place=VILLAGE))
    for actor, to, note, code in (
        (terminal(VILLAGE), SIBLING, "来人", "not-above"),
        (terminal(VILLAGE), VILLAGE, "来人", "not-above"),
        (terminal(SIBLING), COUNTY, "来人", "not-permitted"),
        (device(VILLAGE), COUNTY, "来人", "not-permitted"),
        (terminal(VILLAGE), NodeCode("1"), "来人", "unknown-node"),
        (terminal(VILLAGE), COUNTY, "", "bad-text"),
    ):
        with pytest.raises(Refused) as refused:
            await township.alarms.call(actor, alarm.alarm, to, "", note)
        assert refused.value.code == code
    with pytest.raises(Refused) as refused:
        await township.alarms.answer(commander(TOWNSHIP), "w-none", "好")
    assert refused.value.code == "unknown-call"
    await township.close()


@on_loop
async def test_a_phone_says_where_it_is_in_its_own_datum(tmp_path: Path) -> None:
    village = Node(VILLAGE, tmp_path)
    where = {"longitude": 112.8, "latitude": 27.2}
    plain, _ = await village.alarms.raise_alarm(terminal(), request(**where))
    phone, _ = await village.alarms.raise_alarm(terminal(), request(**where, datum="wgs84"))
    assert (plain.longitude, plain.latitude) == (112.8, 27.2)
    assert (phone.longitude, phone.latitude) == geodesy.to_gcj02(112.8, 27.2) != (112.8, 27.2)
    with pytest.raises(Refused) as refused:
        await village.alarms.raise_alarm(terminal(), request(longitude=float("inf"), latitude=0.0, datum="wgs84"))
    assert refused.value.code == "bad-record"
    await village.close()
