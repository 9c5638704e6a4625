"""Two hundred talkers at ten nodes of five tiers: who is heard, who speaks, and what the links carry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from signaling.conference import OFFERED
from signaling.ids import NodeCode, ParticipantId
from signaling.messages import LinkVoices
from tests.scenarios.talking import MEETING, Hall, Talker

PARENTS: dict[str, str | None] = {
    "province": None,
    "city": "province",
    "county": "city",
    "town-a": "county",
    "town-b": "county",
    **{f"village-{number}": "town-a" if number < 3 else "town-b" for number in range(5)},
}
LOUD, NORMAL = -20, -28


@pytest.fixture
def hall() -> Iterator[Hall]:
    """The tree, quiet for a while; no link ever carries more than three voices one way."""
    made = Hall(PARENTS, talkers=200, seed=7)
    made.run(1_500)
    yield made
    assert made.widest == OFFERED


def at(hall: Hall, node: str, number: int = 0) -> Talker:
    return [talker for talker in hall.talkers if talker.node == node][number]


def speakers(hall: Hall) -> set[ParticipantId | None]:
    return {node.floors.speaker(MEETING) for node in hall.nodes.values()}


def hearing(hall: Hall, talker: Talker) -> set[ParticipantId]:
    """Return who hears ``talker``, all the links in between carrying him."""
    found: set[ParticipantId] = set()
    for node in hall.nodes.values():
        if node.name == talker.node or node.comes(talker):
            found.update(who for who, seating in node.plan.seatings.items() if talker.track in seating.voices)
    return found


def everybody_hears(hall: Hall, talker: Talker) -> bool:
    return len(hearing(hall, talker)) == len(hall.talkers) - 1


def names(talkers: list[Talker]) -> set[ParticipantId]:
    return {ParticipantId(talker.name) for talker in talkers}


def agreed(hall: Hall, talker: Talker) -> bool:
    return speakers(hall) == {ParticipantId(talker.name)}


def test_a_quiet_meeting_costs_each_link_three_voices_and_few_words(hall: Hall) -> None:
    hall.said.clear()
    hall.run(3_000)
    assert max(hall.said.values()) <= 3 * (4 + 1)
    assert speakers(hall) == {None}


def test_a_villager_who_speaks_is_heard_by_all_and_named_by_all_within_two_seconds(hall: Hall) -> None:
    villager = at(hall, "village-4")
    villager.speaks = NORMAL
    took = hall.until(lambda: everybody_hears(hall, villager) and agreed(hall, villager), 2_000)
    named = [node.history[-1][0] for node in hall.nodes.values()]
    assert max(named) - min(named) <= 200
    assert took > 0


def test_the_speaker_moves_to_another_tier_everywhere_at_about_the_same_time(hall: Hall) -> None:
    first, second = at(hall, "village-0"), at(hall, "province")
    first.speaks = NORMAL
    hall.until(lambda: agreed(hall, first), 3_000)
    first.speaks, second.speaks = None, NORMAL
    hall.until(lambda: agreed(hall, second), 2_500)
    named = [node.history[-1][0] for node in hall.nodes.values()]
    assert max(named) - min(named) <= 1_000


def test_two_who_begin_at_once_at_opposite_ends_are_one_speaker_everywhere(hall: Hall) -> None:
    ends = at(hall, "village-0"), at(hall, "village-4")
    for talker in ends:
        talker.speaks = NORMAL
    hall.until(lambda: any(agreed(hall, talker) for talker in ends), 3_000)
    (speaker,) = speakers(hall)
    for _ in range(12):
        hall.run(250)
        assert speakers(hall) == {speaker}


def test_a_talker_keeps_his_slot_and_the_floor_through_a_pause(hall: Hall) -> None:
    talker = at(hall, "village-3")
    talker.speaks = NORMAL
    hall.until(lambda: everybody_hears(hall, talker) and agreed(hall, talker), 3_000)
    hall.run(2_000)
    talker.speaks = None
    for _ in range(20):
        hall.run(100)
        assert everybody_hears(hall, talker)
        assert agreed(hall, talker)


def test_a_cough_takes_neither_a_slot_from_those_who_speak_nor_the_floor(hall: Hall) -> None:
    panel = [at(hall, "province"), at(hall, "county"), at(hall, "village-2")]
    for talker in panel:
        talker.speaks = NORMAL
    hall.until(lambda: all(everybody_hears(hall, talker) for talker in panel), 4_000)
    hall.run(1_000)
    before = speakers(hall)
    cougher = at(hall, "village-1")
    cougher.speaks = -5
    hall.run(300)
    cougher.speaks = None
    for _ in range(15):
        hall.run(100)
        assert hearing(hall, cougher) <= names(panel)  # who do not hear themselves, and so have room
        assert all(everybody_hears(hall, talker) for talker in panel)
        assert speakers(hall) == before


def test_a_fourth_who_goes_on_speaking_gets_the_slot_of_one_who_has_fallen_silent(hall: Hall) -> None:
    panel = [at(hall, "province"), at(hall, "county"), at(hall, "village-2")]
    for talker in panel:
        talker.speaks = NORMAL
    hall.until(lambda: all(everybody_hears(hall, talker) for talker in panel), 4_000)
    fourth = at(hall, "village-4", 3)
    panel[1].speaks, fourth.speaks = None, NORMAL
    hall.until(lambda: everybody_hears(hall, fourth), 5_000)
    assert everybody_hears(hall, panel[0])
    assert everybody_hears(hall, panel[2])
    hall.until(lambda: hearing(hall, panel[1]) <= names([panel[0], panel[2], fourth]), 1_000)


def test_two_hundred_who_shout_together_cost_each_link_three_voices(hall: Hall) -> None:
    for number, talker in enumerate(hall.talkers):
        talker.speaks = -20 - number % 17
    hall.said.clear()
    hall.run(3_000)
    assert max(hall.said[key] for key in hall.said if key[2] is LinkVoices) <= 3 * (4 + 6)
    assert len(speakers(hall)) == 1


def test_a_cut_off_township_goes_on_by_itself_and_comes_back_to_the_common_speaker(hall: Hall) -> None:
    above, below = at(hall, "province"), at(hall, "village-0")
    above.speaks = NORMAL
    hall.until(lambda: agreed(hall, above), 3_000)
    hall.cut(NodeCode("town-a"), NodeCode("county"))
    below.speaks = LOUD
    cut_off = [hall.nodes[NodeCode(name)] for name in ("town-a", "village-0", "village-2")]
    hall.until(lambda: {n.floors.speaker(MEETING) for n in cut_off} == {ParticipantId(below.name)}, 3_000)
    assert hall.nodes[NodeCode("city")].floors.speaker(MEETING) == ParticipantId(above.name)
    below.speaks = None
    hall.run(500)
    hall.link(NodeCode("town-a"), NodeCode("county"))
    hall.until(lambda: agreed(hall, above) and everybody_hears(hall, above), 3_000)
