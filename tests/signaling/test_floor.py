"""Who has the floor."""

from hypothesis import given
from hypothesis import strategies as st

from signaling.floor import TAKE_S, Floor, settle
from signaling.ids import Monotonic, ParticipantId

ZHAO, LI, WANG = ParticipantId("zhao"), ParticipantId("li"), ParticipantId("wang")


def talk(floor: Floor, seconds: float, **levels: int) -> Floor:
    return settle(floor, {ParticipantId(who): dbov for who, dbov in levels.items()}, Monotonic(1000.0 + seconds))


def test_the_first_to_speak_has_the_floor_at_once() -> None:
    assert talk(Floor(), 0, zhao=-30, li=-90).speaker == ZHAO


def test_nobody_speaks_while_all_are_silent() -> None:
    assert talk(Floor(), 0, zhao=-90, li=-127).speaker is None


def test_a_cough_does_not_take_the_floor_but_a_speech_does() -> None:
    floor = talk(Floor(), 0, zhao=-30, li=-90)
    floor = talk(floor, 1, zhao=-30, li=-10)
    assert floor.speaker == ZHAO
    floor = talk(floor, 1.2, zhao=-30, li=-90)
    floor = talk(floor, 2, zhao=-90, li=-20)
    floor = talk(floor, 2 + TAKE_S, zhao=-90, li=-20)
    assert floor.speaker == LI


def test_two_equally_loud_people_do_not_swap_the_floor() -> None:
    floor = talk(Floor(), 0, zhao=-30)
    for step in range(50):
        floor = talk(floor, step * 0.2, zhao=-30, li=-27)
        assert floor.speaker == ZHAO


def test_two_challengers_who_outdo_each_other_do_not_keep_the_floor_with_one_who_is_silent() -> None:
    floor = talk(Floor(), 0, zhao=-30)
    for step in range(1, 6):
        floor = talk(floor, step * 0.2, zhao=-90, li=-30 + step % 2, wang=-31 + 2 * (step % 2))
    assert floor.speaker in (LI, WANG)


def test_the_speaker_keeps_the_floor_through_a_pause_and_loses_it_by_leaving() -> None:
    floor = talk(talk(Floor(), 0, zhao=-30, li=-90), 60, zhao=-100, li=-90)
    assert floor.speaker == ZHAO
    assert talk(floor, 61, li=-90).speaker is None


@given(st.lists(st.tuples(st.integers(-127, 0), st.integers(-127, 0), st.floats(0, 5)), max_size=50))
def test_whoever_takes_the_floor_was_speaking_and_clearly_louder(steps: list[tuple[int, int, float]]) -> None:
    floor, now = Floor(), 0.0
    for zhao, li, wait in steps:
        now += wait
        before, floor = floor.speaker, talk(floor, now, zhao=zhao, li=li)
        if floor.speaker != before:
            taken, other = (zhao, li) if floor.speaker == ZHAO else (li, zhao)
            assert taken >= -50
            assert before is None or other < -50 or taken >= other + 6
