"""CAP at one node: what goes out, what comes in once, and what earlier messages it touches."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from signaling import cap
from signaling.cap import Alert, CapError, MsgType, Scope, Status
from signaling.errors import Refused
from signaling.ids import AlarmId
from signaling.records import (
    Actor,
    AlarmRaised,
    AlarmState,
    CapReceived,
    DirectiveRequest,
    Mode,
    Role,
    ScopeItem,
    Urgency,
)
from tests.signaling.test_interchange import alert
from tests.support.loop import on_loop
from tests.support.nodes import Node, until_quiet
from tests.support.places import COUNTY, SIBLING, TOWNSHIP, VILLAGE, auditor, commander, device, terminal

GATE = Actor("预警接入", Role.DEVICE, COUNTY)


def later(kind: MsgType, of: Alert, identifier: str, **changes: Any) -> bytes:
    return cap.render(alert(kind, identifier=identifier, references=(of.reference,), **changes))


async def take(node: Node, data: bytes | Alert, actor: Actor = GATE) -> CapReceived:
    record, made = await node.interchange.take(actor, data if isinstance(data, bytes) else cap.render(data))
    assert made
    return record


def states(node: Node) -> dict[AlarmId, AlarmState]:
    """Every alarm by itself: an update and what it updates are one card."""
    found = (row.record.alarm for row in node.journal.replay() if isinstance(row.record, AlarmRaised))
    return {alarm: node.alarms.incidents.state(alarm, commander()).state for alarm in found}


def order(**changes: Any) -> DirectiveRequest:
    fields = {
        "click_id": "c",
        "urgency": Urgency.P0,
        "title": "转移群众",
        "text": "立即转移",
        "scope": (ScopeItem(TOWNSHIP, Mode.SUBTREE),),
    }
    return DirectiveRequest(**(fields | changes))


# ---- going out -----------------------------------------------------------------------------------


@on_loop
async def test_a_directive_goes_out_and_its_recall_cancels_that_message(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    issued, _ = await county.directives.issue(commander(), order())
    first = cap.parse(county.interchange.directive(issued.directive, commander()))
    assert (first.msg_type, first.identifier) == (MsgType.ALERT, issued.directive)
    await county.directives.recall(commander(), issued.directive, "天晴")
    second = cap.parse(county.interchange.directive(issued.directive, commander()))
    assert (second.msg_type, second.references) == (MsgType.CANCEL, (first.reference,))
    await county.close()


@on_loop
async def test_what_takes_a_directives_place_updates_its_message(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    old, _ = await county.directives.issue(commander(), order())
    first = cap.parse(county.interchange.directive(old.directive, commander()))
    new, _ = await county.directives.issue(commander(), order(click_id="d", supersedes=old.directive))
    update = cap.parse(county.interchange.directive(new.directive, commander()))
    assert (update.msg_type, update.references) == (MsgType.UPDATE, (first.reference,))
    cancelled = cap.parse(county.interchange.directive(old.directive, commander()))
    assert (cancelled.msg_type, cancelled.references) == (MsgType.CANCEL, (first.reference,))
    await county.close()


@on_loop
async def test_each_reads_the_part_that_is_theirs(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    scope = (ScopeItem(VILLAGE), ScopeItem(SIBLING))
    issued, _ = await county.directives.issue(commander(), order(scope=scope))
    await until_quiet(county, township)
    whole = cap.parse(county.interchange.directive(issued.directive, auditor(COUNTY)))
    part = cap.parse(township.interchange.directive(issued.directive, terminal(VILLAGE)))
    for message, places in ((whole, {VILLAGE, SIBLING}), (part, {VILLAGE})):
        assert {pair.value for pair in message.info[0].area[0].geocode} == places
    with pytest.raises(Refused) as caught:
        county.interchange.directive(issued.directive, device())
    assert caught.value.code == "not-permitted"
    for node in (county, township):
        await node.close()


@on_loop
async def test_an_alarm_goes_out_as_far_as_it_has_come(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    alarm = (await take(county, alert(places=(VILLAGE,)))).alarm
    assert alarm is not None
    first = cap.parse(county.interchange.alarm(alarm, commander()))
    await county.alarms.advance(commander(), alarm, AlarmState.CONFIRMED, "已核实")
    second = cap.parse(county.interchange.alarm(alarm, commander()))
    assert (second.msg_type, second.references) == (MsgType.UPDATE, (first.reference,))
    assert second.info[0].instruction == "已核实"
    await county.close()


# ---- coming in -----------------------------------------------------------------------------------


@on_loop
async def test_a_message_becomes_one_alarm_however_often_and_by_whomever_it_is_brought(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    data = cap.render(alert(places=(VILLAGE,)))
    brought = await asyncio.gather(*(county.interchange.take(who, data) for who in (GATE, GATE, commander(), GATE)))
    assert [made for _, made in brought].count(True) == 1
    assert len({record.alarm for record, _ in brought}) == 1
    county = await county.restart()
    again, made = await county.interchange.take(commander(), data)
    assert (again, made) == (brought[0][0], False)
    (card,) = county.alarms.incidents.list(commander())
    assert (card.alarm, card.place, card.urgency, card.exercise) == (again.alarm, VILLAGE, Urgency.P0, False)
    await county.close()


@on_loop
async def test_a_message_brought_to_two_nodes_of_one_line_is_one_alarm(tmp_path: Path) -> None:
    county, township = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path)
    first = await take(township, alert(places=(VILLAGE,)), device(TOWNSHIP))
    await until_quiet(county, township)
    assert (await take(county, alert(places=(VILLAGE,)))).alarm == first.alarm
    assert len(states(county)) == 1
    for node in (county, township):
        await node.close()


@on_loop
async def test_an_alarm_raised_before_the_power_went_is_found_again(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    asked = alert(places=(VILLAGE,))
    raised = await take(county, asked)
    other = Node(COUNTY, tmp_path / "other", county.clock)  # has the alarm, and no word of the message
    for row in county.journal.replay():
        if not isinstance(row.record, CapReceived):
            await other.journal.append(row.record)
    assert (await take(other, asked, commander())).alarm == raised.alarm
    for node in (county, other):
        await node.close()


@on_loop
async def test_an_update_is_a_new_alarm_that_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert()
    first = await take(county, earlier)
    second = await take(county, later(MsgType.UPDATE, earlier, "B-2"))
    assert (second.effect, second.note) == ("replaced", "")
    assert states(county) == {first.alarm: AlarmState.MERGED, second.alarm: AlarmState.TRIGGERED}
    assert [card.state for card in county.alarms.incidents.list(commander())] == [AlarmState.TRIGGERED]
    await county.close()


@on_loop
async def test_a_cancellation_withdraws_and_raises_nothing(tmp_path: Path) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert()
    first = await take(county, earlier)
    second = await take(county, later(MsgType.CANCEL, earlier, "B-2", note="雨已停"))
    assert (second.effect, second.alarm) == ("withdrawn", first.alarm)
    assert states(county) == {first.alarm: AlarmState.FALSE}
    assert first.alarm is not None
    step = county.alarms.incidents.state(first.alarm, commander()).steps[-1]
    assert (step.by, step.note) == (GATE, "发布方撤销：雨已停")
    await county.close()


@on_loop
async def test_a_cancellation_that_overtakes_its_alert_still_counts(tmp_path: Path) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert()
    noted = await take(county, later(MsgType.CANCEL, earlier, "B-2"))
    assert (noted.effect, noted.alarm, noted.note) == ("noted", None, "refers to a message unknown here")
    county = await county.restart()
    late = await take(county, earlier)
    assert late.effect == "withdrawn"
    assert states(county) == {late.alarm: AlarmState.FALSE}
    await county.close()


@on_loop
async def test_an_alarm_somebody_has_confirmed_is_not_taken_back_by_a_message(tmp_path: Path) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert()
    first = await take(county, earlier)
    assert first.alarm is not None
    await county.alarms.advance(commander(), first.alarm, AlarmState.CONFIRMED)
    for kind, identifier in ((MsgType.CANCEL, "B-2"), (MsgType.UPDATE, "B-3")):
        record = await take(county, later(kind, earlier, identifier))
        assert record.note == f"{first.alarm}: alarm-state"
    assert states(county)[first.alarm] is AlarmState.CONFIRMED
    await county.close()


@on_loop
async def test_only_who_raised_it_or_a_commander_takes_an_alarm_back(tmp_path: Path) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert()
    first = await take(county, earlier)
    other = Actor("别的设备", Role.DEVICE, COUNTY)
    record = await take(county, later(MsgType.CANCEL, earlier, "B-2"), other)
    assert (record.effect, record.note) == ("noted", f"{first.alarm}: not-permitted")
    assert (await take(county, later(MsgType.CANCEL, earlier, "B-3"), commander())).effect == "withdrawn"
    await county.close()


@on_loop
async def test_the_step_of_who_raised_it_is_admitted_at_every_hop(tmp_path: Path) -> None:
    county, township, earlier = Node(COUNTY, tmp_path), Node(TOWNSHIP, tmp_path), alert(places=(VILLAGE,))
    await take(township, earlier, device(TOWNSHIP))
    await take(township, later(MsgType.CANCEL, earlier, "B-2"), device(TOWNSHIP))
    await until_quiet(county, township)
    assert list(states(county).values()) == [AlarmState.FALSE]
    for node in (county, township):
        await node.close()


@pytest.mark.parametrize("kind", [MsgType.UPDATE, MsgType.CANCEL])
@pytest.mark.parametrize("status", [Status.ACTUAL, Status.EXERCISE])
@on_loop
async def test_an_exercise_and_a_real_alarm_never_touch_each_other(
    tmp_path: Path, kind: MsgType, status: Status
) -> None:
    county, earlier = Node(COUNTY, tmp_path), alert(status=status)
    first = await take(county, earlier)
    assert county.alarms.incidents.view(first.alarm or AlarmId(""), commander()).exercise is (status is Status.EXERCISE)
    other = Status.EXERCISE if status is Status.ACTUAL else Status.ACTUAL
    record = await take(county, later(kind, earlier, "B-2", status=other))
    assert "never touch" in record.note
    assert states(county)[first.alarm or AlarmId("")] is AlarmState.TRIGGERED
    await county.close()


@on_loop
async def test_tests_and_drafts_are_disregarded_and_written_down(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    for number, status in enumerate((Status.TEST, Status.DRAFT, Status.SYSTEM)):
        assert (await take(county, alert(status=status, identifier=f"T-{number}"))).effect == "ignored"
    assert (await take(county, alert(MsgType.ACK, identifier="K", note="已播发"))).effect == "acknowledged"
    assert states(county) == {}
    await county.close()


@on_loop
async def test_who_may_not_and_what_is_none_change_nothing(tmp_path: Path) -> None:
    county = Node(COUNTY, tmp_path)
    data = cap.render(alert())
    for who in (terminal(COUNTY), auditor(COUNTY), Actor("管理员", Role.ADMIN, COUNTY)):
        with pytest.raises(Refused) as caught:
            await county.interchange.take(who, data)
        assert caught.value.code == "not-permitted"
    for wrong, code in ((b"<alert/>", "cap-namespace"), (data.replace(b"Actual", b"Real"), "cap-value")):
        with pytest.raises(CapError) as broken:
            await county.interchange.take(GATE, wrong)
        assert broken.value.code == code
    with pytest.raises(Refused) as own:
        await county.interchange.take(GATE, cap.render(alert(sender=f"wuji.{VILLAGE}", scope=Scope.PUBLIC)))
    assert own.value.code == "cap-own"
    assert states(county) == {}
    await county.close()
