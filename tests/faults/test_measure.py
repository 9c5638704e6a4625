"""A run made by hand gives the figures one counts by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from .measure import Picture, Run, Sample, concealed, figures, frozen_s, percentile
from .plot import LINE, STAND, lanes


def steady(start_s: float, end_s: float, height: int = 540, fps: int = 20) -> list[Picture]:
    count = round((end_s - start_s) * fps)
    times = [start_s + n / fps for n in range(count)]
    return [Picture(at, 100, round(1000 * at) % 65_536, height) for at in times]


def sample(at_s: float, *, played: int = 0, made_up: int = 0, freezes: int = 0, packets: int = 1) -> Sample:
    audio = {"totalSamplesReceived": played, "concealedSamples": made_up, "packetsReceived": packets}
    return Sample(at_s, audio, {"freezeCount": freezes})


def run_of(pictures: list[Picture], *samples: Sample) -> Run:
    return Run(samples, tuple(pictures))


def test_a_steady_run_has_nothing_to_report() -> None:
    found = figures(run_of(steady(0.5, 10.5), sample(0.5), sample(10.5, played=480_000)))
    assert found.first_s == 0.5
    assert found.fps == pytest.approx(19.9, abs=0.11)
    assert [found.freezes_per_min, found.frozen_share, found.concealed] == [0, 0, 0]
    assert list(found.age_ms) == [100, 100]
    assert found.heights == {540: 1.0}
    assert (found.again, found.damaged) == (0, 0)


def test_a_stand_is_counted_also_when_it_lasts_to_the_end() -> None:
    inside = steady(0, 4) + steady(6, 10)
    assert frozen_s(inside, 10.0) == pytest.approx(2.05, abs=0.01)
    assert frozen_s(steady(0, 5), 10.0) == pytest.approx(5.05, abs=0.01)
    assert frozen_s(steady(1, 1.05), 10.0) == 9.0


def test_pictures_of_the_later_half_are_counted_by_themselves() -> None:
    thumbnails = [Picture(at, 900, round(1_000 * at), 135) for at in (12.0, 14.5, 17.0, 19.5)]
    assert figures(run_of(steady(0, 4) + thumbnails, sample(0), sample(20.0, played=1))).later_per_min == 24


def test_freezes_per_minute_are_the_decoders_own() -> None:
    assert figures(run_of(steady(0, 30), sample(0), sample(30, played=1, freezes=3))).freezes_per_min == 6


def test_made_up_sound_is_a_share_of_what_was_played_since_the_first_packet() -> None:
    rows = [sample(0, played=50_000, made_up=50_000, packets=0), sample(1, played=60_000, made_up=50_000)]
    rows.append(sample(2, played=108_000, made_up=54_800))
    assert concealed([row.audio for row in rows]) == pytest.approx(0.1)


def test_nothing_heard_is_all_made_up_and_nothing_seen_is_all_frozen() -> None:
    found = figures(run_of([], sample(10, packets=0)))
    assert (found.first_s, found.concealed, found.frozen_share, found.fps) == (None, 1.0, 1.0, 0.0)


def test_a_picture_shown_again_or_out_of_order_is_counted_and_a_turn_of_the_stamp_is_not() -> None:
    stamps = [65_500, 14, 14, 64, 50, 100]
    pictures = [Picture(n / 20, 10, stamp, 540) for n, stamp in enumerate(stamps)]
    assert figures(run_of(pictures, sample(1))).again == 2


def test_the_first_picture_of_another_layer_may_be_the_same_moment() -> None:
    pictures = [Picture(0.0, 10, 500, 540), Picture(0.1, 10, 500, 270), Picture(0.2, 10, 566, 270)]
    assert figures(run_of(pictures, sample(1))).again == 0


def test_a_layer_counts_for_the_time_it_was_seen() -> None:
    found = figures(run_of([*steady(0, 3), *steady(3, 4, 135, fps=5)], sample(4)))
    assert found.heights == pytest.approx({540: 3 / 3.8, 135: 0.8 / 3.8}, abs=0.01)


def test_percentiles_of_few_values() -> None:
    assert (percentile([], 0.95), percentile([7], 0.95), percentile(list(range(100)), 0.95)) == (0, 7, 95)


def test_the_plot_is_valid_has_a_lane_per_run_and_marks_the_stand() -> None:
    runs = {"calm": steady(0.1, 10), "<bad>": [*steady(0.1, 4), *steady(7, 10, 135)], "nothing": []}
    text = lanes(runs, 10)
    root = ET.fromstring(text)
    assert text.count(f'stroke="{LINE}"') == 2, "a run without a picture has no line"
    bars = [e for e in root.iter() if e.get("fill") == STAND]
    assert [float(bar.get("width", "0")) / 78 for bar in bars] == pytest.approx([3.05, 10.0], abs=0.01)
    assert len(text) < 8_000
