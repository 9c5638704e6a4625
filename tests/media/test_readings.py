"""What two snapshots of counters say about a connection."""

from __future__ import annotations

from typing import Any

from media import stats
from media.readings import Stream, Window, downlink, uplink

TRANSPORT = 1
CAMERA: Stream = (10, "video")
MICROPHONE: Stream = (11, "audio")
PICTURE: Stream = (20, "video")
OTHER: Stream = (21, "video")
VOICE: Stream = (22, "audio")


def window(*, before: dict[str, Any] | None = None, **after: Any) -> Window:
    return Window(stats.read(before or {}), stats.read(after))


def test_loss_of_what_comes_in_is_that_of_the_interval() -> None:
    seen = window(
        before={"sources": {10: {"packets": 900, "expected": 1_000, "missed": 100}}},
        sources={10: {"packets": 1_790, "expected": 1_900, "missed": 109, "jitter_us_now": 3_000}},
        transports={1: {"rtt_us_now": 48_000}},
    )
    reading = uplink(seen, TRANSPORT, [CAMERA])
    assert reading is not None
    assert (reading.loss, reading.rtt_ms, reading.jitter_ms, reading.pictures) == (0.01, 48, 3, 1)


def test_streams_of_a_connection_count_together() -> None:
    seen = window(
        sources={
            10: {"packets": 90, "expected": 100, "missed": 10},
            11: {"packets": 100, "expected": 100, "missed": 0},
        }
    )
    reading = uplink(seen, TRANSPORT, [CAMERA, MICROPHONE])
    assert reading is not None
    assert reading.loss == 0.05


def test_a_connection_that_sends_nothing_has_no_uplink_unless_it_is_silent() -> None:
    seen = window(sources={10: {"packets": 0}})
    assert uplink(seen, TRANSPORT, [CAMERA]) is None
    silent = uplink(seen, TRANSPORT, [CAMERA], silent=True)
    assert silent is not None
    assert silent.silent


def test_without_a_new_report_the_known_loss_goes_on() -> None:
    seen = window(sinks={22: {"packets": 100}})
    reading = downlink(seen, TRANSPORT, [VOICE], loss=0.07)
    assert reading is not None
    assert reading.loss == 0.07


def test_what_goes_out_is_judged_by_the_receivers_reports_and_by_what_fits() -> None:
    seen = window(
        transports={1: {"rtt_us_now": 20_000, "estimate_bps_now": 400_000}},
        sinks={
            20: {"packets": 50, "expected_by_peer": 50, "lost_by_peer": 5, "lowered_now": 1, "jitter_us_now": 2_000},
            21: {"packets": 0, "paused_now": 1},
            22: {"packets": 50, "expected_by_peer": 50, "lost_by_peer": 0},
        },
    )
    reading = downlink(seen, TRANSPORT, [PICTURE, OTHER, VOICE], strain=1)
    assert reading is not None
    assert (reading.loss, reading.pictures, reading.paused, reading.lowered) == (0.05, 2, 1, 1)
    assert (reading.estimate_bps, reading.strain, reading.jitter_ms) == (400_000, 1, 2)


def test_a_count_that_went_back_is_no_loss() -> None:
    seen = window(
        before={"sinks": {22: {"packets": 10, "expected_by_peer": 100, "lost_by_peer": 9}}},
        sinks={22: {"packets": 60, "expected_by_peer": 150, "lost_by_peer": 4}},
    )
    reading = downlink(seen, TRANSPORT, [VOICE])
    assert reading is not None
    assert reading.loss == 0


def test_a_dropped_stream_says_nothing() -> None:
    assert downlink(window(), TRANSPORT, [PICTURE]) is None
