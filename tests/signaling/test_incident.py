"""Cards of many alarms: the same for everybody who knows the same, and none lost."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.ids import AlarmId, NodeCode, UtcMs
from signaling.incident import LONGEST_MS, WINDOW_MS, Board
from signaling.records import AlarmGrouped, AlarmRaised, Urgency
from tests.support.facts import raised
from tests.support.places import COUNTY, OTHER_VILLAGE, SIBLING, TOWNSHIP, TREE, VILLAGE, VILLAGES, commander

S = 1_000


def alarm(name: str, at: int, source: str = "烟感-1", place: NodeCode = VILLAGE, **changes: Any) -> AlarmRaised:
    return raised(alarm=AlarmId(name), at=UtcMs(at), source=source, place=place, **changes)


def moved(name: str, incident: str, at: int = 9_000_000, node: NodeCode = TOWNSHIP) -> AlarmGrouped:
    return AlarmGrouped(
        node=node, at=UtcMs(at), alarm=AlarmId(name), place=VILLAGE, incident=AlarmId(incident), by=commander(TOWNSHIP)
    )


def board(*records: AlarmRaised | AlarmGrouped) -> Board:
    made = Board(TREE)
    for record in records:
        if isinstance(record, AlarmGrouped):
            made.move(record)
        else:
            made.note(record)
    return made


def shown(made: Board) -> list[tuple[str, ...]]:
    """The alarms of each card, its lead first."""
    cards = sorted(made.cards(), key=lambda card: (card.lead.at, card.lead.alarm))
    for card in cards:
        members = made.members(card)
        assert members[0] is card.lead
        assert members[-1] is card.newest
        assert card.count == len(members)
        assert card.urgency == min(m.urgency for m in members)
        assert card.sources == {(m.place, m.source) for m in members}
        assert all(made.card(m.alarm) is card for m in members)
    return [tuple(m.alarm for m in made.members(card)) for card in cards]


def test_many_sources_of_one_township_are_one_card() -> None:
    said = [alarm(f"a{n:03}", n * 10, f"烟感-{n}", VILLAGES[n % len(VILLAGES)]) for n in range(300)]
    made = board(*said)
    assert [len(card) for card in shown(made)] == [300]
    (card,) = made.cards()
    assert (card.lead, card.newest, len(card.sources)) == (said[0], said[-1], 300)


@pytest.mark.parametrize(
    "changes",
    [{"kind": "flood"}, {"place": OTHER_VILLAGE}, {"place": COUNTY}, {"exercise": True}, {"at": UtcMs(WINDOW_MS + 1)}],
)
def test_another_kind_township_time_or_an_exercise_is_another_card(changes: dict[str, Any]) -> None:
    first = alarm("a", 0)
    other = alarm("b", 0, "烟感-2", **changes) if "at" not in changes else alarm("b", changes["at"], "烟感-2")
    assert shown(board(first, other)) == [("a",), ("b",)]


def test_kinds_that_name_no_event_join_only_their_own_repeats() -> None:
    said = [alarm("a", 0, "甲", kind="other"), alarm("b", 1, "乙", kind="other"), alarm("c", 2, "甲", kind="other")]
    assert shown(board(*said)) == [("a", "c"), ("b",)]


def test_a_flapping_source_is_one_card_for_as_long_as_it_goes_on() -> None:
    said = [alarm(f"a{n:04}", n * 30 * S) for n in range(100)]
    assert [len(card) for card in shown(board(*said))] == [100]


def test_a_flapping_source_keeps_no_card_open_for_others() -> None:
    said = [alarm(f"a{n:04}", n * 30 * S) for n in range(10)]
    late = alarm("b", 5 * 30 * S + 1, "烟感-2", SIBLING)
    assert [card[0] for card in shown(board(*said, late))] == ["a0000", "b"]


def test_a_card_takes_new_sources_for_ten_minutes() -> None:
    said = [alarm(f"a{n:02}", n * 50 * S, f"烟感-{n}") for n in range(30)]
    made = shown(board(*said))
    assert [len(card) for card in made] == [13, 13, 4]
    assert 13 * 50 * S > LONGEST_MS >= 12 * 50 * S


def test_an_urgent_alarm_raises_the_card_it_joins() -> None:
    made = board(alarm("a", 0, urgency=Urgency.P3), alarm("b", 1, "烟感-2", urgency=Urgency.P0))
    (card,) = made.cards()
    assert card.urgency is Urgency.P0
    made = board(
        alarm("a", 0, urgency=Urgency.P3), alarm("b", 1, urgency=Urgency.P1), alarm("c", 2, urgency=Urgency.P2)
    )
    rising = (Urgency.P3, Urgency.P1, Urgency.P2)
    made = board(*(alarm(f"a{n}", n, urgency=urgency) for n, urgency in enumerate(rising)))
    (card,) = made.cards()
    assert card.urgency is Urgency.P1


MOMENTS = st.integers(0, 40).map(lambda n: n * 17 * S)
ALARMS = st.lists(
    st.tuples(MOMENTS, st.sampled_from(["甲", "乙", "丙"]), st.sampled_from([VILLAGE, SIBLING, OTHER_VILLAGE])),
    max_size=24,
)


def said(times: Iterable[tuple[int, str, NodeCode]]) -> list[AlarmRaised]:
    return [alarm(f"a{n:02}", at, source, place) for n, (at, source, place) in enumerate(times)]


@given(ALARMS, st.randoms(use_true_random=False), st.data())
def test_cards_do_not_depend_on_the_order_in_which_alarms_became_known(
    times: list[tuple[int, str, NodeCode]], random: Any, data: st.DataObject
) -> None:
    alarms = said(times)
    names = [str(a.alarm) for a in alarms]
    moves = data.draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=4)) if names else []
    words = [moved(name, incident, 9_000_000 + n) for n, (name, incident) in enumerate(moves)]
    straight = shown(board(*sorted(alarms, key=lambda a: (a.at, a.alarm)), *words))
    assert sorted(itertools.chain(*straight)) == names
    shuffled, told = list(alarms), list(words)
    random.shuffle(shuffled)
    random.shuffle(told)
    assert shown(board(*shuffled, *told)) == straight
    mixed = board()
    for one in shuffled:
        mixed.note(one)
        for word in told:
            mixed.move(word)
        mixed.changed()
    assert shown(mixed) == straight


@given(ALARMS, st.randoms(use_true_random=False))
def test_whoever_follows_the_changes_sees_the_cards(times: list[tuple[int, str, NodeCode]], random: Any) -> None:
    alarms = said(times)
    random.shuffle(alarms)
    made, page = Board(TREE), set[AlarmId]()
    for one in alarms:
        made.note(one)
        if random.random() < 0.5:
            leads, gone = made.changed()
            page = (page | leads) - gone
    leads, gone = made.changed()
    page = (page | leads) - gone
    assert page == {card.lead.alarm for card in made.cards()}
    assert made.changed() == (set(), set())


def test_an_alarm_is_taken_out_and_put_back() -> None:
    three: Sequence[AlarmRaised] = [alarm(n, k, f"烟感-{k}") for k, n in enumerate("abc")]
    assert shown(board(*three, moved("a", "a"))) == [("a",), ("b", "c")]
    assert shown(board(*three, moved("b", "b", 1), moved("b", "c", 2))) == [("a", "b", "c")]
    assert shown(board(*three, moved("b", "c", 2), moved("b", "b", 1))) == [("a", "b", "c")]


def test_cards_are_put_together_by_hand() -> None:
    far = alarm("z", 3_000_000, place=OTHER_VILLAGE)
    assert shown(board(alarm("a", 0), far, moved("z", "a"))) == [("a", "z")]
    assert shown(board(alarm("a", 0), far, moved("z", "a", 1), moved("a", "z", 2))) == [("a",), ("z",)]
    assert shown(board(alarm("a", 0), far, moved("z", "nowhere"))) == [("a",), ("z",)]
    assert shown(board(alarm("a", 0), moved("unknown", "a"))) == [("a",)]


def test_repeats_change_nothing() -> None:
    made = board(alarm("a", 0), moved("a", "a"))
    made.changed()
    made.note(alarm("a", 0))
    made.move(moved("a", "a"))
    assert made.changed() == (set(), set())
