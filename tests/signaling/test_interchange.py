"""What directives and alarms are in CAP, and what an alert of others means here."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import cap, geodesy, interchange
from signaling.alarm import MAX_TEXT_BYTES, Alarm
from signaling.cap import Alert, Area, Circle, Info, MsgType, Pair, Reference, Scope, Severity, Status, When
from signaling.directive import Directive, Header
from signaling.errors import Refused
from signaling.ids import AlarmId, DirectiveId, NodeCode, UtcMs
from signaling.interchange import Asks, Incoming
from signaling.records import AlarmAdvanced, AlarmRaised, AlarmState, DirectiveIssued, Mode, ScopeItem, Urgency
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    VILLAGES,
    commander,
    device,
)

AT = UtcMs(1_772_323_200_500)
LATER = UtcMs(AT + 60_000)


def issued(**changes: Any) -> DirectiveIssued:
    scope = (ScopeItem(TOWNSHIP, Mode.SUBTREE),)
    fields: dict[str, Any] = {
        "node": COUNTY,
        "at": AT,
        "directive": DirectiveId("d-1"),
        "click_id": "c",
        "issuer": commander(),
        "urgency": Urgency.P0,
        "title": "转移群众",
        "text": "立即转移低洼处群众",
        "scope": scope,
        "recipients": TREE.expand(scope),
        "exercise": False,
        "expires_at": UtcMs(AT + 3_600_000),
    }
    return DirectiveIssued(**(fields | changes))


def raised(**changes: Any) -> AlarmRaised:
    longitude, latitude = TREE.position(VILLAGE)
    fields: dict[str, Any] = {
        "node": VILLAGE,
        "at": AT,
        "alarm": AlarmId("a-1"),
        "by": device(),
        "source": "水位站",
        "place": VILLAGE,
        "kind": "flood",
        "urgency": Urgency.P1,
        "text": "超警戒 0.5 米",
        "longitude": longitude,
        "latitude": latitude,
        "exercise": False,
    }
    return AlarmRaised(**(fields | changes))


def advanced(state: AlarmState) -> Alarm:
    step = AlarmAdvanced(node=COUNTY, at=LATER, alarm=AlarmId("a-1"), place=VILLAGE, state=state, by=commander())
    return Alarm(raised(), state, (step,))


def codes(alert: Alert) -> list[str]:
    return [pair.value for area in alert.info[0].area for pair in area.geocode]


# ---- going out -----------------------------------------------------------------------------------


def test_a_directive_is_an_alert_to_the_very_places_it_was_sent_to() -> None:
    alert = interchange.of_directive(Directive(issued()), TREE, public=False)
    assert cap.parse(cap.render(alert)) == alert
    assert (alert.identifier, alert.sender, alert.sent) == ("d-1", f"wuji.{COUNTY}", "2026-03-01T08:00:00+08:00")
    assert (alert.status, alert.msg_type, alert.scope) == (Status.ACTUAL, MsgType.ALERT, Scope.RESTRICTED)
    (info,) = alert.info
    assert (info.language, info.headline, info.description) == ("zh-CN", "转移群众", "立即转移低洼处群众")
    assert (info.urgency, info.severity) == (When.IMMEDIATE, Severity.EXTREME)
    assert info.expires == "2026-03-01T09:00:00+08:00"
    assert info.area[0].area_desc == "开云镇"
    assert set(codes(alert)) == {TOWNSHIP, *VILLAGES}


def test_what_the_public_is_told_is_not_restricted() -> None:
    alert = interchange.of_directive(Directive(issued()), TREE, public=True)
    assert (alert.scope, alert.restriction) == (Scope.PUBLIC, None)


def test_a_recalled_directive_is_a_cancellation_that_names_the_first_message() -> None:
    first = interchange.of_directive(Directive(issued()), TREE, public=False)
    header = replace(Directive(issued()), state=Header.RECALLED, ended_at=LATER)
    alert = interchange.of_directive(header, TREE, public=False)
    assert (alert.msg_type, alert.references) == (MsgType.CANCEL, (first.reference,))
    assert alert.identifier != first.identifier
    assert alert.sent == "2026-03-01T08:01:00+08:00"
    assert cap.parse(cap.render(alert)) == alert


def test_a_superseded_directive_is_cancelled_and_its_successor_updates_it() -> None:
    old, new = issued(), issued(directive=DirectiveId("d-2"), at=LATER, supersedes=DirectiveId("d-1"))
    first = interchange.of_directive(Directive(old), TREE, public=False)
    over = replace(Directive(old), state=Header.SUPERSEDED, ended_at=LATER)
    cancelled = interchange.of_directive(over, TREE, public=False)
    update = interchange.of_directive(Directive(new), TREE, public=False, earlier=old)
    assert (cancelled.msg_type, cancelled.identifier) == (MsgType.CANCEL, "d-1.superseded")
    assert (update.msg_type, update.identifier) == (MsgType.UPDATE, "d-2")
    assert cancelled.references == update.references == (first.reference,)
    alone = interchange.of_directive(Directive(new), TREE, public=False)
    assert (alone.msg_type, alone.references) == (MsgType.ALERT, ())


def test_each_language_of_a_directive_is_a_block_of_its_own() -> None:
    texts = {"en": "Move people to high ground", "bo": "བོད་ཡིག", "not a language": "x"}
    numbered = issued(texts=texts, number="衡山应急令〔2026〕0001号", capacity="衡山县防汛抗旱指挥部")
    alert = interchange.of_directive(Directive(numbered), TREE, public=True)
    assert cap.parse(cap.render(alert)) == alert
    assert [(info.language, info.description) for info in alert.info] == [
        ("zh-CN", "立即转移低洼处群众"),
        ("en", "Move people to high ground"),
        ("bo", "བོད་ཡིག"),
    ]
    assert {info.sender_name for info in alert.info} == {"衡山县防汛抗旱指挥部"}
    assert Pair(value_name="文号", value="衡山应急令〔2026〕0001号") in alert.info[0].parameter


def test_an_exercise_is_one_in_every_message() -> None:
    drill = Directive(issued(exercise=True))
    alerts = [
        interchange.of_directive(drill, TREE, public=False),
        interchange.of_directive(replace(drill, state=Header.RECALLED, ended_at=LATER), TREE, public=False),
        interchange.of_alarm(Alarm(raised(exercise=True)), TREE, public=False),
        interchange.of_alarm(Alarm(raised(exercise=True), AlarmState.FALSE), TREE, public=False),
    ]
    for alert in alerts:
        assert alert.status is Status.EXERCISE
        assert alert.note is not None
        assert alert.note.startswith("演练 exercise ")
    assert alerts[0].info[0].headline == "【演练】转移群众"


def test_a_part_of_a_directive_names_no_place_outside_it_and_is_a_message_of_its_own() -> None:
    whole = interchange.of_directive(Directive(issued()), TREE, public=False)
    part = interchange.of_directive(Directive(issued()), TREE, public=False, within=VILLAGE)
    assert codes(part) == [VILLAGE]
    assert part.identifier == f"d-1.{VILLAGE}" != whole.identifier


def test_a_directive_to_more_places_than_fit_names_those_above_them() -> None:
    scope = (ScopeItem(PROVINCE, Mode.SUBTREE),)
    many = issued(scope=scope, recipients=tuple(NodeCode(f"{n:012d}") for n in range(1_001)))
    assert codes(interchange.of_directive(Directive(many), TREE, public=False)) == [PROVINCE]
    villages = tuple(code for code in TREE.subtree(COUNTY) if TREE.tier(code) == 5)
    each = tuple(ScopeItem(code) for code in villages)
    assert codes(interchange.of_directive(Directive(issued(scope=each, recipients=villages)), TREE, public=False)) == [
        *villages
    ]
    spoken = {f"x-{n}": "&" * 4_000 for n in range(7)}
    told = interchange.of_directive(
        Directive(issued(scope=each, recipients=villages, texts=spoken)), TREE, public=False
    )
    assert codes(told) == [COUNTY]
    assert cap.parse(cap.render(told)) == told


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (AlarmState.FALSE, MsgType.CANCEL),
        (AlarmState.MERGED, MsgType.CANCEL),
        (AlarmState.CONFIRMED, MsgType.UPDATE),
        (AlarmState.DISPATCHED, MsgType.UPDATE),
        (AlarmState.ON_SITE, MsgType.UPDATE),
        (AlarmState.HANDLED, MsgType.UPDATE),
        (AlarmState.CLOSED, MsgType.UPDATE),
    ],
)
def test_an_alarm_that_moved_on_is_a_message_that_names_the_first(state: AlarmState, kind: MsgType) -> None:
    first = interchange.of_alarm(Alarm(raised()), TREE, public=False)
    assert (first.msg_type, first.info[0].certainty) == (MsgType.ALERT, cap.Certainty.POSSIBLE)
    alert = interchange.of_alarm(advanced(state), TREE, public=False)
    assert (alert.msg_type, alert.references, alert.identifier) == (kind, (first.reference,), f"a-1.{state}")
    over = state in (AlarmState.HANDLED, AlarmState.CLOSED) or kind is MsgType.CANCEL
    assert (alert.info[0].urgency is When.PAST) == over
    assert cap.parse(cap.render(alert)) == alert


def test_an_alarm_stands_where_others_maps_have_it() -> None:
    (area,) = interchange.of_alarm(Alarm(raised()), TREE, public=False).info[0].area
    (circle,) = area.circle
    assert (circle.longitude, circle.latitude) != TREE.position(VILLAGE)
    back = geodesy.to_gcj02(circle.longitude, circle.latitude)
    assert back == pytest.approx(TREE.position(VILLAGE), abs=1e-5)
    assert (area.area_desc, area.geocode[0].value) == ("八里村委会", VILLAGE)


@pytest.mark.parametrize("urgency", Urgency)
def test_an_urgency_comes_back_as_it_went(urgency: Urgency) -> None:
    assert interchange.urgency_of(*interchange.OUT[urgency]) is urgency


def test_a_graver_or_sooner_message_is_never_less_urgent() -> None:
    grave = [Severity.MINOR, Severity.MODERATE, Severity.SEVERE, Severity.EXTREME]
    soon = [When.PAST, When.FUTURE, When.EXPECTED, When.IMMEDIATE]
    for column in ([interchange.urgency_of(when, severity) for severity in grave] for when in soon):
        assert column == sorted(column, reverse=True)
    for row in ([interchange.urgency_of(when, severity) for when in soon] for severity in grave):
        assert row == sorted(row, reverse=True)


# ---- coming in -----------------------------------------------------------------------------------


def alert(kind: MsgType = MsgType.ALERT, *, places: tuple[str, ...] = (), **changes: Any) -> Alert:
    area = Area(area_desc="某地", geocode=tuple(Pair(value_name="区划", value=code) for code in places))
    info = Info(
        language="zh-CN",
        category=(cap.Category.MET,),
        event="暴雨红色预警",
        urgency=When.IMMEDIATE,
        severity=Severity.EXTREME,
        certainty=cap.Certainty.LIKELY,
        headline="暴雨红色",
        description="三小时 100 毫米",
        sender_name="衡阳市气象台",
        area=(area,),
    )
    first = Reference(sender="qx.example", identifier="B-0", sent="2026-03-01T07:00:00+08:00")
    fields: dict[str, Any] = {
        "identifier": "B-1",
        "sender": "qx.example",
        "sent": "2026-03-01T08:00:00+08:00",
        "status": Status.ACTUAL,
        "msg_type": kind,
        "scope": Scope.PUBLIC,
        "references": () if kind is MsgType.ALERT else (first,),
        "info": (info,),
    }
    return Alert(**(fields | changes))


def read(given: Alert, within: NodeCode = COUNTY) -> Incoming:
    return interchange.incoming(given, TREE, within)


def test_an_alert_becomes_an_alarm_in_our_words() -> None:
    got = read(alert(places=(VILLAGE,)))
    assert (got.asks, got.place, got.kind, got.urgency) == (Asks.RAISE, VILLAGE, "暴雨红色预警", Urgency.P0)
    assert (got.source, got.text) == ("衡阳市气象台", "暴雨红色\n三小时 100 毫米")
    assert not got.exercise


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ((), COUNTY),
        ((VILLAGE,), VILLAGE),
        ((VILLAGE, SIBLING), TOWNSHIP),
        ((VILLAGE, OTHER_VILLAGE), COUNTY),
        ((TOWNSHIP, VILLAGE), TOWNSHIP),
        ((TOWNSHIP[:9],), TOWNSHIP),
        ((COUNTY[:6],), COUNTY),
        ((f" {VILLAGE}\n",), VILLAGE),
        ((CITY,), COUNTY),
        (("110000000000",), COUNTY),
        (("110000000000", VILLAGE), VILLAGE),
        (("４３０４２３１００２２７", "x" * 12, ""), COUNTY),
    ],
)
def test_its_place_is_the_lowest_that_has_all_it_names_here(places: tuple[str, ...], expected: NodeCode) -> None:
    assert read(alert(places=places)).place == expected


def test_a_shape_gives_the_position_in_the_coordinates_of_our_maps() -> None:
    corners = ((27.0, 112.0), (27.0, 113.0), (28.0, 113.0), (28.0, 112.0), (27.0, 112.0))
    shapes = (
        Area(area_desc="圆", circle=(Circle(latitude=27.5, longitude=112.5, radius_km=3.0),)),
        Area(area_desc="多边形", polygon=(corners,)),
    )
    for shape in shapes:
        info = msgspec.structs.replace(alert().info[0], area=(shape,))
        got = read(alert(info=(info,)))
        assert (got.longitude, got.latitude) == geodesy.to_gcj02(112.5, 27.5)
    assert read(alert()).longitude is None


def test_the_chinese_text_is_taken_where_there_are_several() -> None:
    english = msgspec.structs.replace(alert().info[0], language="en-US", event="Rainstorm")
    assert read(alert(info=(english, alert().info[0]))).kind == "暴雨红色预警"
    assert read(alert(info=(english,))).kind == "Rainstorm"


@pytest.mark.parametrize(
    ("kind", "asks"),
    [
        (MsgType.ALERT, Asks.RAISE),
        (MsgType.UPDATE, Asks.REPLACE),
        (MsgType.CANCEL, Asks.WITHDRAW),
        (MsgType.ACK, Asks.NOTE),
        (MsgType.ERROR, Asks.NOTE),
    ],
)
def test_each_kind_of_message_asks_something_of_its_own(kind: MsgType, asks: Asks) -> None:
    assert read(alert(kind)).asks is asks
    for status in (Status.TEST, Status.DRAFT, Status.SYSTEM):
        assert read(alert(kind, status=status)).asks is Asks.NOTHING
    drill = read(alert(kind, status=Status.EXERCISE))
    assert (drill.asks, drill.exercise) == (asks, True)


def test_a_later_message_names_the_earlier_as_its_alarm_does() -> None:
    earlier = alert(identifier="B-0", sent="2026-03-01T07:00:00+08:00")
    assert read(alert(MsgType.CANCEL)).about == (read(earlier).event,)
    assert len(read(earlier).event) <= 64


def test_a_message_made_in_this_tree_does_not_come_back_as_an_alarm() -> None:
    ours = interchange.of_alarm(Alarm(raised()), TREE, public=True)
    with pytest.raises(Refused) as caught:
        read(ours)
    assert caught.value.code == "cap-own"
    assert read(alert(sender="wuji.110000000000")).asks is Asks.RAISE


def test_a_signature_nobody_checked_is_said_to_be_there() -> None:
    assert "未验证" in read(alert(signed=True)).text


HOSTILE = st.text(max_size=2_000)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_whatever_text_others_write_can_be_an_alarm(event: str, description: str, sender_name: str) -> None:
    info = msgspec.structs.replace(
        alert().info[0], event=event, headline=None, description=description, sender_name=sender_name
    )
    got = read(alert(info=(info,)))
    assert 0 < len(got.kind) <= 60
    assert len(got.source) <= 60
    assert len(got.text.encode()) <= MAX_TEXT_BYTES
    shown = got.kind + got.source + got.text.replace("\n", "").replace("\t", "")
    assert "\u202e" not in shown
    assert all(ord(character) >= 32 for character in shown)
