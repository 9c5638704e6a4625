"""The benches finish, lose nothing to speak of, and say what their callers read."""

from typing import Literal

import pytest

from media import _native

RELAY = {"us_per_packet", "floor_us_per_packet", "ratio", "packets_per_s_per_core", "loss", "p50_ms", "p99_ms"}


@pytest.mark.parametrize("shape", ["broadcast", "meeting"])
def test_the_relay_bench_says_what_a_packet_costs(shape: Literal["broadcast", "meeting"]) -> None:
    figures = _native.bench_relay(subscribers=10, shape=shape, payload_bytes=1100, seconds=0.4, seed=1)
    assert figures.keys() >= RELAY
    assert 0 <= figures["loss"] < 0.05
    assert figures["ratio"] == pytest.approx(figures["us_per_packet"] / figures["floor_us_per_packet"])
    assert figures["packets_per_send"] > 1, "packets to one destination travel together"
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_the_hops_bench_says_what_a_node_adds() -> None:
    figures = _native.bench_hops(nodes=3, seconds=0.4, rate_per_s=200, seed=1)
    assert figures["loss"] < 0.05
    assert 0 < figures["p50_ms_per_hop"] <= figures["p99_ms_per_hop"]


def test_a_bench_refuses_what_would_not_end() -> None:
    with pytest.raises(ValueError, match="seconds"):
        _native.bench_hops(nodes=3, seconds=1e9, rate_per_s=200, seed=1)
    with pytest.raises(ValueError, match="subscribers"):
        _native.bench_relay(subscribers=0, shape="broadcast", payload_bytes=1100, seconds=1, seed=1)
