"""Which way records go, on the real tree: everybody concerned gets each once, nobody else gets any."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.ids import ConferenceId, NodeCode, UtcMs
from signaling.records import (
    AlarmState,
    AnyRecord,
    AuditRead,
    ConferenceConvened,
    ConferenceEnded,
    DirectiveExpired,
    ParticipantLeft,
    RefusalRecorded,
    Stage,
)
from signaling.routing import Router
from tests.support.facts import (
    approved,
    countersigned,
    drafted,
    order,
    pictured,
    raised,
    recall,
    relayed,
    returned,
    rostered,
    step,
    submitted,
    superseded,
    word,
)
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
    auditor,
    commander,
)

ALL = list(TREE)


def flood(record: AnyRecord, *before: AnyRecord) -> dict[NodeCode, int]:
    """Carry ``record`` from the node that wrote it as links would; return how often each node got it."""
    got = {record.node: 1}
    edge: list[tuple[NodeCode, NodeCode | None]] = [(record.node, None)]
    while edge:
        here, via = edge.pop()
        router = Router(here, TREE)
        for known in (*before, record):
            router.note(known)
        parent = TREE.parent(here)
        for neighbour in (*TREE.children(here), *((parent,) if parent else ())):
            if neighbour != via and router.concerns(record, neighbour):
                got[neighbour] = got.get(neighbour, 0) + 1
                assert got[neighbour] == 1, f"{neighbour} got it twice"
                edge.append((neighbour, here))
    return got


def ways(start: NodeCode, goals: list[NodeCode]) -> set[NodeCode]:
    met = {start}
    for goal in goals:
        here = start
        while here != goal:
            hop = TREE.next_hop(here, goal)
            assert hop is not None
            here = hop
            met.add(here)
    return met


@given(st.lists(st.sampled_from(ALL[2:]), min_size=1, max_size=12, unique=True))
def test_an_order_takes_exactly_the_ways_to_its_recipients(recipients: list[NodeCode]) -> None:
    issued = order(*recipients)
    assert flood(issued).keys() == ways(COUNTY, recipients)
    assert flood(recall(), issued).keys() == ways(COUNTY, recipients)


@pytest.mark.parametrize("issuer", [PROVINCE, CITY, COUNTY, TOWNSHIP, VILLAGE])
def test_a_receipt_goes_up_to_the_issuer_and_no_further(issuer: NodeCode) -> None:
    issued = order(VILLAGE, node=issuer, issuer=commander(issuer))
    path = TREE.path_up(VILLAGE)
    assert flood(word(Stage.SIGNED), issued).keys() == set(path[: path.index(issuer) + 1])


def test_what_was_relayed_is_told_up_to_the_issuer_and_no_further() -> None:
    issued = order(VILLAGE, node=CITY, issuer=commander(CITY))
    assert flood(relayed(node=TOWNSHIP, child=VILLAGE), issued).keys() == {TOWNSHIP, COUNTY, CITY}
    assert flood(relayed(node=CITY, child=COUNTY), issued).keys() == {CITY}


def test_the_expiry_of_an_order_stays_at_home() -> None:
    expired = DirectiveExpired(node=COUNTY, at=UtcMs(1), directive=order().directive)
    assert flood(expired, order()).keys() == {COUNTY}


def test_what_was_never_noted_goes_nowhere() -> None:
    assert flood(word(Stage.SIGNED)).keys() == {VILLAGE}
    assert flood(recall()).keys() == {COUNTY}


def test_what_is_said_of_an_order_goes_where_the_order_went_and_drafts_stay() -> None:
    issued = order(VILLAGE, OTHER_VILLAGE)
    for record in (superseded(), countersigned()):
        assert flood(record, issued).keys() == flood(issued).keys()
        assert flood(record).keys() == {COUNTY}
    for local in (drafted(), submitted(), approved(), returned()):
        assert flood(local).keys() == {COUNTY}


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_a_roster_is_known_on_the_line_of_its_division(division: NodeCode, at: NodeCode) -> None:
    if TREE.is_within(division, at):
        assert flood(rostered(division=division, node=at)).keys() == set(TREE.path_up(division))


@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_an_alarm_reaches_its_audience_wherever_it_was_raised(place: NodeCode, at: NodeCode) -> None:
    if not TREE.is_within(place, at):
        return
    for record in (raised(place=place, node=at), pictured(place=place, node=at)):
        assert flood(record).keys() == TREE.audience(place)
    assert flood(step(AlarmState.CONFIRMED, place=place, node=at)).keys() == TREE.audience(place)


@given(st.lists(st.sampled_from(ALL), min_size=1, max_size=8, unique=True))
def test_a_conference_is_known_at_every_site_and_on_the_way(sites: list[NodeCode]) -> None:
    convened = ConferenceConvened(
        node=COUNTY,
        at=UtcMs(1),
        conference=ConferenceId("c-1"),
        title="调度会",
        by=commander(),
        scope=(),
        sites=tuple(sites),
        exercise=False,
    )
    ended = ConferenceEnded(node=COUNTY, at=UtcMs(2), conference=ConferenceId("c-1"), by=commander())
    assert flood(convened).keys() == ways(COUNTY, sites)
    assert flood(ended, convened).keys() == ways(COUNTY, sites)


def test_those_who_are_audited_are_told() -> None:
    read = AuditRead(node=COUNTY, at=UtcMs(1), by=auditor(COUNTY), what="records", reason="年检")
    assert flood(read).keys() == set(TREE.subtree(COUNTY))
    below = AuditRead(node=COUNTY, at=UtcMs(1), by=auditor(TOWNSHIP), what="records", reason="年检")
    assert flood(below).keys() == {COUNTY, *TREE.subtree(TOWNSHIP)}


def test_a_refusal_is_told_one_tier_up() -> None:
    refused = RefusalRecorded(node=TOWNSHIP, at=UtcMs(1), by=None, action="x", target="y", code="z", via=VILLAGE)
    assert flood(refused).keys() == {TOWNSHIP, COUNTY}


def test_attendance_stays_at_home() -> None:
    left = ParticipantLeft(node=COUNTY, at=UtcMs(1), conference=ConferenceId("c"), participant="p", reason="")  # type: ignore[arg-type]
    assert flood(left).keys() == {COUNTY}


def test_a_hundred_thousand_directives_share_their_courses() -> None:
    router = Router(COUNTY, TREE)
    for number in range(1_000):
        router.note(order(VILLAGE if number % 2 else SIBLING, OTHER_VILLAGE, directive=f"d-{number}"))
    assert len(router._shared) == 1
    assert router.concerns(recall(directive="d-7"), TOWNSHIP)
    assert router.concerns(recall(directive="d-7"), OTHER_TOWNSHIP)
    assert not router.concerns(recall(directive="d-7"), CITY)
