"""The benches finish and say what their callers read."""

from typing import Literal

import pytest

from media import _native

RELAY = {
    "us_per_packet", "floor_us_per_packet", "ratio", "ratio_trains", "packets_per_s_per_core", "loss", "p50_ms",
    "p99_ms",
}  # fmt: skip


@pytest.mark.parametrize("shape", ["broadcast", "meeting"])
def test_the_relay_bench_says_what_a_packet_costs(shape: Literal["broadcast", "meeting"]) -> None:
    figures = _native.bench_relay(subscribers=10, shape=shape, kind="video", payload_bytes=1100, seconds=0.4, seed=1)
    assert figures.keys() >= RELAY
    assert figures["loss"] < 1
    assert figures["ratio"] == pytest.approx(figures["us_per_packet"] / figures["floor_us_per_packet"])
    bare = figures["bare_us_per_packet"] / figures["floor_us_per_packet"]
    assert figures["bare_ratio"] == pytest.approx(bare)
    assert bare > 0
    assert figures["packets_per_send"] > 1, "packets to one destination travel together"
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["saturated_packets_per_s"] >= figures["packets_per_s"]
    assert figures["packets_per_s_per_core"] > 0


def test_the_relay_bench_has_sound_too() -> None:
    figures = _native.bench_relay(
        subscribers=10, shape="broadcast", kind="audio", payload_bytes=130, seconds=0.4, seed=1
    )
    assert figures["loss"] < 1
    assert figures["packets_per_send"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_the_hops_bench_says_what_each_node_adds() -> None:
    figures = _native.bench_hops(nodes=3, seconds=0.4, rate_per_s=200, seed=1)
    assert figures["loss"] < 1
    assert 0 < figures["p50_ms_per_hop"] <= figures["p99_ms_per_hop"] <= figures["p99_ms_worst_hop"]
    each = [figures[f"hop{hop}_p50_ms"] for hop in (1, 2, 3)]
    assert min(each) > 0
    assert figures["p50_ms"] > max(each), "the way through all takes longer than through any"


def test_half_load_is_below_what_the_chain_carries() -> None:
    figures = _native.bench_hops(nodes=2, seconds=0.4, rate_per_s=None, seed=1)
    assert figures["rate_per_s"] > 0
    assert figures["loss"] < 1


def test_a_bench_refuses_what_would_not_end() -> None:
    with pytest.raises(ValueError, match="seconds"):
        _native.bench_hops(nodes=3, seconds=1e9, rate_per_s=200, seed=1)
    with pytest.raises(ValueError, match="subscribers"):
        _native.bench_relay(subscribers=0, shape="broadcast", kind="video", payload_bytes=1100, seconds=1, seed=1)
    with pytest.raises(ValueError, match="subscribers"):
        _native.bench_relay(subscribers=1, shape="meeting", kind="video", payload_bytes=1100, seconds=1, seed=1)
