"""The benches run and end with the figures that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def figures(*arguments: str) -> Any:
    """Run ``wuji bench`` with ``--json`` and return its last line."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "bench", *arguments, "--json"],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_relay_says_what_a_packet_costs_and_what_the_floor_is() -> None:
    found = figures("relay", "--subscribers", "10", "--seconds", "1")
    assert {
        "us_per_packet", "floor_us_per_packet", "ratio", "packets_per_s_per_core", "loss", "p50_ms", "p99_ms",
    } <= found.keys()  # fmt: skip
    assert found["loss"] < 1
    assert found["ratio"] > 0
    assert abs(found["ratio"] - found["us_per_packet"] / found["floor_us_per_packet"]) < 0.01
    assert found["p50_ms"] <= found["p99_ms"]


def test_the_meeting_shape_runs_too() -> None:
    found = figures("relay", "--shape", "meeting", "--seconds", "1")
    assert found["loss"] < 1
    assert found["us_per_packet"] > 0


def test_small_packets_are_taken_for_sound() -> None:
    found = figures("relay", "--subscribers", "10", "--payload", "130", "--seconds", "1")
    assert found["loss"] < 1


def test_hops_says_what_a_hop_adds() -> None:
    found = figures("hops", "--nodes", "3", "--seconds", "1")
    assert 0 < found["p50_ms_per_hop"] <= found["p99_ms_per_hop"]


def test_directives_ring_over_five_tiers_at_every_rate() -> None:
    found = figures("directives", "--rate", "5", "--rate", "20", "--seconds", "1")
    assert [(row["rate_per_s"], row["issued"]) for row in found] == [(5, 5), (20, 20)]
    for row in found:
        assert (row["lost"], row["shown_twice"]) == (0, 0)
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["max_ms"]
        assert row["cpu_ms"] > 0


def test_one_click_rings_at_every_village_of_a_township() -> None:
    found = figures("ring", "--townships", "1", "--clicks", "2")
    assert (found["lost"], found["shown_twice"]) == (0, 0)
    assert found["villages"] > 1
    assert 0 < found["p50_ms"] <= found["max_ms"]
