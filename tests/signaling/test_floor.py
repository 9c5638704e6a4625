"""Who has the floor."""

from hypothesis import given
from hypothesis import strategies as st

from signaling.floor import STALE_S, TAKE_S, UNKNOWN_DBOV, Floor, hear, loudness, settle
from signaling.ids import Monotonic, ParticipantId, TrackId

ZHAO, LI = ParticipantId("zhao"), ParticipantId("li")
A, B = TrackId("a"), TrackId("b")
VOICES = {A: ZHAO, B: LI}


def at(seconds: float) -> Monotonic:
    return Monotonic(1000.0 + seconds)


def talk(floor: Floor, levels: dict[TrackId, int], seconds: float) -> Floor:
    return settle(hear(floor, levels, at(seconds)), VOICES, at(seconds))


def test_the_first_to_speak_has_the_floor_at_once() -> None:
    assert talk(Floor(), {A: -30, B: -90}, 0).speaker == ZHAO


def test_nobody_speaks_while_all_are_silent() -> None:
    assert talk(Floor(), {A: -90, B: -127}, 0).speaker is None


def test_a_cough_does_not_take_the_floor_but_a_speech_does() -> None:
    floor = talk(Floor(), {A: -30, B: -90}, 0)
    floor = talk(floor, {A: -30, B: -10}, 1)
    assert floor.speaker == ZHAO
    floor = talk(floor, {A: -30, B: -90}, 1.2)
    floor = talk(floor, {A: -90, B: -20}, 2)
    floor = talk(floor, {A: -90, B: -20}, 2 + TAKE_S)
    assert floor.speaker == LI


def test_two_equally_loud_people_do_not_swap_the_floor() -> None:
    floor = talk(Floor(), {A: -30}, 0)
    for step in range(50):
        floor = talk(floor, {A: -30, B: -27}, step * 0.2)
        assert floor.speaker == ZHAO


def test_the_speaker_keeps_the_floor_through_a_pause_and_loses_it_by_leaving() -> None:
    floor = talk(talk(Floor(), {A: -30}, 0), {A: -100}, 60)
    assert floor.speaker == ZHAO
    assert settle(floor, {B: LI}, at(61)).speaker is None


def test_a_voice_without_levels_ranks_below_speech_and_above_silence() -> None:
    floor = hear(Floor(), {A: -20}, at(0))
    assert -90 < loudness(floor, B) == UNKNOWN_DBOV < loudness(floor, A)
    assert loudness(hear(floor, {}, at(STALE_S)), A) == UNKNOWN_DBOV


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(-200, 50), st.floats(0, 5)), max_size=50))
def test_only_somebody_present_ever_has_the_floor(steps: list[tuple[TrackId, int, float]]) -> None:
    floor, now = Floor(), 0.0
    for track, dbov, wait in steps:
        now += wait
        floor = talk(floor, {track: dbov}, now)
        assert floor.speaker in (None, ZHAO, LI)
        assert all(-127 <= level <= 0 for level, _ in floor.levels.values())
