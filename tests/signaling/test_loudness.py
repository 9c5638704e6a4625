"""Levels become ranks: a cough stays low, a pause costs nothing."""

from hypothesis import given
from hypothesis import strategies as st

from signaling.ids import Monotonic
from signaling.loudness import HOLD_S, QUIET_DBOV, SILENT_DBOV, STALE_S, Voice, begin, loudness, measure

STEP_S = 0.2
SPEECH, NOISE = -30, -85


def at(seconds: float) -> Monotonic:
    return Monotonic(100.0 + seconds)


def listen(*levels: int, voice: Voice | None = None, since: float = 0.0) -> Voice:
    """Measure every 200 ms, beginning at ``since``."""
    for step, level in enumerate(levels):
        now = at(since + step * STEP_S)
        voice = begin(level, now) if voice is None else measure(voice, level, now)
    assert voice is not None
    return voice


def rank(voice: Voice, seconds: float) -> int:
    return loudness(voice, at(seconds)).rank


def test_whoever_goes_on_speaking_ranks_as_loud_as_he_is_within_a_second() -> None:
    voice = listen(NOISE, *[SPEECH] * 5)
    assert rank(voice, 1.0) == SPEECH


def test_a_cough_ranks_below_quiet_speech_however_loud_it_is() -> None:
    voice = listen(NOISE, 0, 0, NOISE)
    assert rank(voice, 0.6) < -45


def test_a_pause_within_a_speech_costs_nothing_and_a_long_silence_everything() -> None:
    voice = listen(*[SPEECH] * 6)
    paused = listen(*[NOISE] * 8, voice=voice, since=1.2)
    assert rank(paused, 1.0 + HOLD_S) == SPEECH
    assert rank(paused, 1.0 + HOLD_S + 2.0) == SPEECH - 30
    assert rank(paused, 60.0) == SILENT_DBOV


def test_a_new_word_after_a_pause_is_at_full_rank_at_once() -> None:
    paused = listen(*[NOISE] * 5, voice=listen(*[SPEECH] * 6), since=1.2)
    assert rank(measure(paused, SPEECH, at(2.2)), 2.2) == SPEECH


def test_a_gap_in_the_measurements_counts_as_no_sound_that_lasted() -> None:
    voice = measure(listen(NOISE), 0, at(30))
    assert rank(voice, 30) <= QUIET_DBOV + 15


def test_a_voice_of_another_node_goes_on_from_the_rank_it_was_told_to_have() -> None:
    voice = begin(SPEECH, at(0), rank=SPEECH)
    assert rank(measure(voice, SPEECH, at(0.2)), 0.2) == SPEECH


def test_whose_packets_stop_is_silent_at_once_and_forgotten_slowly() -> None:
    voice = listen(*[SPEECH] * 6)
    heard = loudness(voice, at(1.0 + STALE_S))
    assert (heard.level, heard.rank) == (SILENT_DBOV, SPEECH)


@given(st.lists(st.tuples(st.integers(-300, 300), st.floats(0, 10)), min_size=1, max_size=50))
def test_whatever_is_measured_stays_within_the_scale(steps: list[tuple[int, float]]) -> None:
    voice, now = None, 0.0
    for level, wait in steps:
        now += wait
        voice = begin(level, at(now)) if voice is None else measure(voice, level, at(now))
        heard = loudness(voice, at(now))
        assert SILENT_DBOV <= heard.level <= 0
        assert SILENT_DBOV <= heard.rank <= 0
