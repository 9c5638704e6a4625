"""The score of a connection: its table, that worse is never better, and that what is shown is calm."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.quality import STEADY, Meter, Reading, Reason, Verdict, judge

READINGS = st.builds(
    Reading,
    loss=st.floats(0, 1),
    rtt_ms=st.floats(0, 5_000),
    jitter_ms=st.floats(0, 2_000),
    pictures=st.integers(0, 8),
    strain=st.integers(0, 3),
)


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading(), Verdict(4, Reason.WELL, 0)),
        (Reading(loss=0.01, rtt_ms=40, jitter_ms=5, pictures=1), Verdict(4, Reason.WELL, 0)),
        (Reading(loss=0.02, pictures=1), Verdict(3, Reason.LOSS, 2)),
        (Reading(loss=0.02), Verdict(4, Reason.WELL, 0)),  # sound hides what pictures show
        (Reading(loss=0.06, pictures=1), Verdict(2, Reason.LOSS, 6)),
        (Reading(loss=0.06), Verdict(3, Reason.LOSS, 6)),
        (Reading(loss=0.12, pictures=2), Verdict(1, Reason.LOSS, 12)),
        (Reading(loss=0.12), Verdict(2, Reason.LOSS, 12)),
        (Reading(loss=0.3), Verdict(1, Reason.LOSS, 30)),
        (Reading(rtt_ms=150), Verdict(4, Reason.WELL, 0)),
        (Reading(rtt_ms=600), Verdict(2, Reason.FAR, 600)),  # a satellite
        (Reading(rtt_ms=1_203), Verdict(1, Reason.FAR, 1_200)),
        (Reading(jitter_ms=120, rtt_ms=20), Verdict(3, Reason.JITTER, 120)),
        (Reading(pictures=4, lowered=1, estimate_bps=437_812), Verdict(3, Reason.SLOW, 430)),
        (Reading(pictures=4, paused=1), Verdict(2, Reason.PAUSED, 1)),
        (Reading(pictures=4, paused=4), Verdict(1, Reason.PAUSED, 4)),
        (Reading(pictures=4, thumbnails=1), Verdict(2, Reason.THUMBNAILS, 1)),
        (Reading(pictures=2, thumbnails=2), Verdict(1, Reason.THUMBNAILS, 2)),
        (Reading(pictures=2, thumbnails=1, paused=1), Verdict(1, Reason.PAUSED, 1)),
        (Reading(pictures=4, paused=1, loss=0.2), Verdict(1, Reason.LOSS, 20)),
        (Reading(pictures=4, lowered=4, strain=1), Verdict(3, Reason.BUSY, 1)),
        (Reading(pictures=4, strain=1), Verdict(4, Reason.WELL, 0)),
        (Reading(pictures=1, frozen=0.02), Verdict(3, Reason.FROZEN, 1)),
        (Reading(pictures=1, frozen=0.08), Verdict(2, Reason.FROZEN, 5)),
        (Reading(pictures=1, frozen=0.38, loss=0.03), Verdict(1, Reason.FROZEN, 30)),
        (Reading(silent=True, loss=0.5), Verdict(0, Reason.SILENT, 0)),
    ],
)
def test_a_reading_has_its_level_its_reason_and_its_number(reading: Reading, expected: Verdict) -> None:
    assert judge(reading) == expected


@given(READINGS, st.floats(0, 1), st.floats(0, 5_000), st.floats(0, 2_000))
def test_more_loss_delay_or_jitter_is_never_better(reading: Reading, loss: float, rtt: float, jitter: float) -> None:
    worse = replace(
        reading,
        loss=max(loss, reading.loss),
        rtt_ms=max(rtt, reading.rtt_ms),
        jitter_ms=max(jitter, reading.jitter_ms),
    )
    assert judge(worse).level <= judge(reading).level


@given(READINGS, st.integers(0, 8), st.integers(0, 8))
def test_a_picture_less_or_smaller_is_never_better(reading: Reading, paused: int, lowered: int) -> None:
    worse = replace(reading, paused=min(paused, reading.pictures), lowered=min(lowered, reading.pictures))
    assert judge(worse).level <= judge(reading).level


@given(READINGS)
def test_every_level_below_the_best_says_why(reading: Reading) -> None:
    verdict = judge(reading)
    assert 0 <= verdict.level <= 4
    assert (verdict.reason is Reason.WELL) == (verdict.level == 4)


def levels(*seen: int) -> list[int]:
    meter, shown = Meter(), []
    for level in seen:
        meter = meter.take(Verdict(level, Reason.LOSS if level < 4 else Reason.WELL))
        assert meter.shown is not None
        shown.append(meter.shown.level)
    return shown


def test_a_meter_falls_at_once_and_rises_after_being_better_for_a_while() -> None:
    assert levels(4, 1, 4, 4, 4) == [4, 1, 1, 1, 4]


def test_a_meter_that_wavers_shows_the_worse() -> None:
    assert levels(2, 4, 2, 4, 4, 2, 4) == [2] * 7


def test_a_meter_rises_to_the_lowest_of_the_better_levels() -> None:
    assert levels(1, 4, 2, 4) == [1, 1, 1, 2]
    assert levels(1, *[3] * STEADY)[-1] == 3


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_a_meter_never_shows_better_than_the_latest(seen: list[int]) -> None:
    assert all(shown <= level for shown, level in zip(levels(*seen), seen, strict=True))


def test_the_number_beside_an_unchanged_level_is_the_latest() -> None:
    meter = Meter().take(Verdict(2, Reason.LOSS, 6)).take(Verdict(2, Reason.LOSS, 8))
    assert meter.shown == Verdict(2, Reason.LOSS, 8)
