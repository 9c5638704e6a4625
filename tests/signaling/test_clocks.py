"""When a directive rings again, when its time is over, who is told; and that nobody is told of what is signed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.clocks import LEVELS, REPEAT_THIRDS, due, dues, fire, superiors
from signaling.directive import SIGN_LIMIT_MS
from signaling.ids import NodeCode, UtcMs
from signaling.records import (
    DirectiveIssued,
    EscalationRaised,
    RedialOrdered,
    TimerFired,
    TimerKind,
    Urgency,
    key,
)
from tests.support.facts import order
from tests.support.places import (
    CITY,
    COUNTY,
    OTHER_TOWNSHIP,
    OTHER_VILLAGE,
    PROVINCE,
    SIBLING,
    TOWNSHIP,
    TREE,
    VILLAGE,
    commander,
)

DAY = 24 * 3_600_000
BEGIN = UtcMs(1_000)
EVER = UtcMs(BEGIN + DAY)


def issued(*recipients: NodeCode, urgency: Urgency = Urgency.P2, expires_ms: int = DAY) -> DirectiveIssued:
    return order(*recipients, urgency=urgency, expires_at=UtcMs(BEGIN + expires_ms))


def told(record: DirectiveIssued, *unsigned: NodeCode, after: int = BEGIN, upto: int = EVER) -> list[str]:
    return [t.id for t in due(record, unsigned or record.recipients, COUNTY, TREE, UtcMs(after), UtcMs(upto))]


@pytest.mark.parametrize(("urgency", "minutes"), [("P0", 3), ("P1", 5), ("P2", 15), ("P3", 120)])
def test_the_limit_of_each_urgency(urgency: str, minutes: int) -> None:
    record = issued(VILLAGE, urgency=Urgency(urgency))
    (limit,) = (t for t in due(record, (VILLAGE,), COUNTY, TREE, BEGIN, EVER) if t.kind is TimerKind.LIMIT)
    assert limit.due - record.at == minutes * 60_000
    assert limit.unsigned == (VILLAGE,)


def test_who_is_told_of_whom_and_where_it_ends() -> None:
    assert superiors(issued(VILLAGE), VILLAGE, TREE) == (TOWNSHIP, COUNTY)
    assert superiors(issued(VILLAGE, urgency=Urgency.P0), VILLAGE, TREE) == (TOWNSHIP, COUNTY, CITY)
    assert superiors(issued(TOWNSHIP), TOWNSHIP, TREE) == (COUNTY,)  # the city is not bothered
    assert superiors(issued(COUNTY), COUNTY, TREE) == (COUNTY,)
    own = order(VILLAGE, node=COUNTY, issuer=commander(TOWNSHIP), urgency=Urgency.P3)
    assert superiors(own, VILLAGE, TREE) == (TOWNSHIP,)
    top = order(VILLAGE, node=PROVINCE, issuer=commander(PROVINCE), urgency=Urgency.P0)
    assert superiors(top, VILLAGE, TREE) == (TOWNSHIP, COUNTY, CITY, PROVINCE)
    assert superiors(issued(VILLAGE), PROVINCE, TREE) == ()


def test_one_escalation_for_each_superior_with_everybody_it_answers_for() -> None:
    record = issued(VILLAGE, SIBLING, OTHER_VILLAGE, TOWNSHIP)
    limit = SIGN_LIMIT_MS[Urgency.P2]
    first = due(record, record.recipients, COUNTY, TREE, BEGIN, UtcMs(BEGIN + limit))
    raised = {t.place: t.unsigned for t in first if t.kind is TimerKind.ESCALATE}
    assert raised == {TOWNSHIP: (VILLAGE, SIBLING), OTHER_TOWNSHIP: (OTHER_VILLAGE,), COUNTY: (TOWNSHIP,)}
    second = due(record, (SIBLING, OTHER_VILLAGE), COUNTY, TREE, UtcMs(BEGIN + limit), UtcMs(BEGIN + 2 * limit))
    assert {t.place: t.unsigned for t in second if t.kind is TimerKind.ESCALATE} == {COUNTY: (SIBLING, OTHER_VILLAGE)}


def test_after_an_outage_each_superior_hears_once_and_every_timer_is_written_down() -> None:
    record = issued(VILLAGE, TOWNSHIP)
    timers = due(record, record.recipients, COUNTY, TREE, BEGIN, EVER)
    assert [t.due for t in timers] == sorted(t.due for t in timers)
    written = fire(record, timers, COUNTY, EVER)
    assert [r.timer for r in written if isinstance(r, TimerFired)] == [t.id for t in timers]
    assert [(r.superior, r.n, r.not_reached) for r in written if isinstance(r, EscalationRaised)] == [
        (COUNTY, 2, (TOWNSHIP, VILLAGE)),
        (TOWNSHIP, 1, (VILLAGE,)),
    ]
    assert [r.places for r in written if isinstance(r, RedialOrdered)] == [(VILLAGE, TOWNSHIP)]
    assert len({key(r) for r in written}) == len(written)


def test_who_has_signed_starts_nothing() -> None:
    record = issued(VILLAGE, SIBLING)
    assert due(record, (), COUNTY, TREE, BEGIN, EVER) == ()
    assert all(t.unsigned == (SIBLING,) for t in due(record, (SIBLING,), COUNTY, TREE, BEGIN, EVER))


def test_nodes_below_ring_again_for_their_own_and_do_nothing_else() -> None:
    record = issued(VILLAGE, OTHER_VILLAGE)
    below = due(record, record.recipients, TOWNSHIP, TREE, BEGIN, EVER)
    assert {t.kind for t in below} == {TimerKind.REPEAT}
    assert {t.unsigned for t in below} == {(VILLAGE,)}
    assert [t.due - BEGIN for t in below] == [n * SIGN_LIMIT_MS[Urgency.P2] // 3 for n in REPEAT_THIRDS]
    assert due(record, (OTHER_VILLAGE,), TOWNSHIP, TREE, BEGIN, EVER) == ()


def test_a_limit_beyond_the_expiry_is_reached_there_and_nothing_follows() -> None:
    record = issued(VILLAGE, urgency=Urgency.P3, expires_ms=60_000)
    assert dues(record, COUNTY)[-1] == record.expires_at
    timers = due(record, (VILLAGE,), COUNTY, TREE, BEGIN, EVER)
    assert {t.kind for t in timers} == {TimerKind.LIMIT, TimerKind.REDIAL, TimerKind.ESCALATE}
    assert {t.due for t in timers} == {record.expires_at}
    assert {t.place for t in timers if t.kind is TimerKind.ESCALATE} == {TOWNSHIP}


@given(
    st.sampled_from(Urgency),
    st.lists(st.sampled_from([VILLAGE, SIBLING, OTHER_VILLAGE, TOWNSHIP, COUNTY]), min_size=1, unique=True),
    st.integers(60_000, 2 * DAY),
    st.lists(st.integers(1, 2 * DAY), max_size=12),
    st.sampled_from([COUNTY, TOWNSHIP]),
)
def test_however_time_is_cut_the_same_timers_fire_once(
    urgency: Urgency, recipients: list[NodeCode], expires_ms: int, cuts: list[int], here: NodeCode
) -> None:
    record = issued(*recipients, urgency=urgency, expires_ms=expires_ms)
    whole = due(record, recipients, here, TREE, BEGIN, record.expires_at)
    bounds = [BEGIN, *sorted({UtcMs(min(BEGIN + c, record.expires_at)) for c in cuts}), record.expires_at]
    pieces = [t for a, b in itertools.pairwise(bounds) for t in due(record, recipients, here, TREE, a, b)]
    assert tuple(pieces) == whole
    assert {t.due for t in whole} <= set(dues(record, here))
    assert len({t.id for t in whole}) == len(whole)
    assert all(1 <= t.n <= max(LEVELS, len(REPEAT_THIRDS)) for t in whole)
    assert dues(record, here) == tuple(sorted(set(dues(record, here))))
