"""What the model does to packets, in virtual time, against what its parameters say."""

from __future__ import annotations

import itertools

import pytest

from gateway.proving.network import CLEAN, HEADER_BYTES, Bottleneck, Impairment, Way

from .profiles import PROFILES

PACKETS = 20_000
GAP_S = 0.002


def arrivals(way: Way, packets: int = PACKETS, size: int = 4, gap_s: float = GAP_S) -> list[tuple[float, int, int]]:
    """Send numbered packets ``gap_s`` apart; return (delay, number, copy) of each arrival in order of arrival."""
    found = []
    for number in range(packets):
        sent = number * gap_s
        for copy, (at, packet) in enumerate(way.decide(number.to_bytes(4, "big").ljust(size, b"\0"), sent)):
            found.append((at, number, copy, at - sent, packet))
            assert packet[:4] == number.to_bytes(4, "big")
    return [(delay, number, copy) for _, number, copy, delay, _ in sorted(found)]


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_seed_is_the_same_fate(name: str) -> None:
    again = [arrivals(Way(PROFILES[name].down, "a"), 1_000) for _ in range(2)]
    assert again[0] == again[1]


def test_another_seed_is_another_fate() -> None:
    impairment = Impairment(loss=0.1)
    lists = [[n for _, n, _ in arrivals(Way(impairment, seed), 1_000)] for seed in ("a", "b")]
    assert lists[0] != lists[1]


def test_fates_do_not_depend_on_timing() -> None:
    impairment = Impairment(loss=0.1, burst=3, reorder=0.2, duplicate=0.1, jitter_ms=30)
    slow = {(n, copy) for _, n, copy in arrivals(Way(impairment, "s"), 2_000, gap_s=0.01)}
    fast = {(n, copy) for _, n, copy in arrivals(Way(impairment, "s"), 2_000, gap_s=0.0001)}
    assert slow == fast


def test_a_clean_way_changes_nothing() -> None:
    assert arrivals(Way(CLEAN, "c"), 500) == [(0.0, n, 0) for n in range(500)]


@pytest.mark.parametrize("loss", [0.05, 0.10, 0.30])
def test_independent_loss_is_of_its_size_and_without_memory(loss: float) -> None:
    here = {n for _, n, _ in arrivals(Way(Impairment(loss=loss), "x"))}
    gone = [n not in here for n in range(PACKETS)]
    assert sum(gone) / PACKETS == pytest.approx(loss, abs=0.01)
    after_a_loss = [b for a, b in itertools.pairwise(gone) if a]
    assert sum(after_a_loss) / len(after_a_loss) == pytest.approx(loss, abs=0.04)


def test_bursts_have_their_share_and_their_length() -> None:
    way = Way(Impairment(loss=0.10, burst=5), "burst")
    here = {n for _, n, _ in arrivals(way)}
    runs = [len(list(run)) for gone, run in itertools.groupby(range(PACKETS), lambda n: n not in here) if gone]
    assert way.lost_share == pytest.approx(0.10, abs=0.02)
    assert sum(runs) / len(runs) == pytest.approx(5, rel=0.15)


def test_delay_is_exact() -> None:
    assert {round(delay, 9) for delay, _, _ in arrivals(Way(Impairment(delay_ms=300), "d"), 100)} == {0.3}


def test_jitter_spreads_within_its_bound_and_keeps_order() -> None:
    seen = arrivals(Way(Impairment(delay_ms=10, jitter_ms=50), "j"))
    delays = sorted(delay for delay, _, _ in seen)
    assert [n for _, n, _ in seen] == list(range(PACKETS))
    assert delays[0] >= 0.01
    assert delays[-1] <= 0.0601
    assert delays[int(0.9 * PACKETS)] - delays[int(0.1 * PACKETS)] > 0.02


def test_reordered_packets_are_overtaken_and_copies_come() -> None:
    seen = arrivals(Way(Impairment(reorder=0.25, reorder_ms=20, duplicate=0.05), "r"))
    copies = sum(copy for _, _, copy in seen)
    late = [number for delay, number, copy in seen if copy == 0 and delay > 0.019]
    first = {}
    for place, (_, number, copy) in enumerate(seen):
        if copy == 0:
            first[number] = place
    assert copies / PACKETS == pytest.approx(0.05, abs=0.01)
    assert len(late) / PACKETS == pytest.approx(0.25, abs=0.02)
    overtaken = [n for n in late if n + 9 < PACKETS and any(first[n + k] < first[n] for k in range(1, 10))]
    assert len(overtaken) > 0.99 * (len(late) - 10)


@pytest.mark.parametrize("rate_bps", [64_000, 500_000])
def test_a_bottleneck_passes_its_rate_and_bounds_its_queue(rate_bps: int) -> None:
    size, seconds = 1_000, 20
    way = Way(Impairment(rate_bps=rate_bps, queue_ms=400), "rate")
    gap_s = size * 8 / (3 * rate_bps)  # three times what fits
    seen = arrivals(way, int(seconds / gap_s), size, gap_s)
    carried_bps = len(seen) * (size + HEADER_BYTES) * 8 / seconds
    assert carried_bps == pytest.approx(rate_bps, rel=0.05)
    serial_s = (size + HEADER_BYTES) * 8 / rate_bps
    assert max(delay for delay, _, _ in seen) <= 0.4 + serial_s + 1e-9
    assert way.counts["full"] > 0


def test_below_its_rate_a_bottleneck_drops_and_queues_nothing() -> None:
    way = Way(Impairment(rate_bps=500_000), "idle")
    seen = arrivals(way, 1_000, 500, gap_s=0.02)
    assert len(seen) == 1_000
    assert way.bottleneck is not None
    assert max(way.bottleneck.waits_ms) == 0


def test_streams_and_datagrams_share_one_bottleneck() -> None:
    line = Bottleneck(64_000, 1_000)
    datagrams, stream = (Way(Impairment(rate_bps=64_000), seed, line) for seed in ("d", "s"))
    assert datagrams.decide(bytes(800 - HEADER_BYTES), 0.0) == [(0.1, bytes(800 - HEADER_BYTES))]
    assert stream.stream(1_600 - HEADER_BYTES, 0.0) == pytest.approx(0.3)


def test_a_stream_loses_nothing_and_keeps_its_order() -> None:
    way = Way(Impairment(loss=0.3, delay_ms=50), "stream")
    times = [0.0]
    for n in range(2_000):
        at = way.stream(1_000, 0.01 * n, times[-1])
        assert at is not None
        times.append(at)
    assert times == sorted(times)
    assert max(at - 0.01 * n for n, at in enumerate(times[1:])) > 0.25, "losses make it late"


def test_another_connection_does_not_wait_for_what_one_lost() -> None:
    way = Way(Impairment(delay_ms=50), "stream")
    assert way.stream(10, 0.0, before=9.0) == 9.0
    assert way.stream(10, 0.0) == pytest.approx(0.05)


def test_a_dead_way_lets_nothing_through() -> None:
    way = Way(Impairment(dead=True), "dead")
    assert arrivals(way, 100) == []
    assert way.stream(10, 0.0) is None
    assert way.lost_share == 1.0


def test_what_exceeds_the_mtu_with_its_headers_is_dropped() -> None:
    way = Way(Impairment(mtu_bytes=1_280), "mtu")
    fates = [len(way.decide(bytes(size), 0.0)) for size in (100, 1_252, 1_253, 1_500)]
    assert fates == [1, 1, 0, 0]
    assert way.counts == {"passed": 2, "big": 2}


@pytest.mark.parametrize(
    ("octets", "what"),
    [
        ((0x80, 111), "sound"),
        ((0x90, 0x80 | 63), "sound with earlier sound"),
        ((0x80, 96), "pictures"),
        ((0x80, 0x80 | 97), "repeats"),
        ((0x80, 201), "receiver report"),
        ((0x8F, 205), "feedback"),
        ((0, 1), "checks"),
        ((22, 254), "handshake"),
        ((0x80, 1), "other media"),
        ((64, 0), "other"),
        ((0x80,), "other"),
    ],
)
def test_the_line_counts_what_each_kind_of_datagram_took(octets: tuple[int, ...], what: str) -> None:
    way = Way(Impairment(), "kinds")
    way.decide(bytes(octets), 0.0)
    assert way.octets == {what: len(octets) + HEADER_BYTES}


def test_the_line_counts_streams_with_all_else_but_not_what_it_dropped() -> None:
    way = Way(Impairment(rate_bps=8_000, queue_ms=50), "kinds")
    way.stream(72, 0.0)
    way.decide(bytes((0x80, 111)), 0.0)
    assert (way.octets, way.counts["full"]) == ({"links": 100}, 1)
