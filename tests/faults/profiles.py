"""The bad networks of the report, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.proving.network import CLEAN, Impairment


@dataclass(frozen=True, slots=True)
class Profile:
    """Both directions of a link: ``up`` towards the parent, ``down`` towards the child."""

    name: str
    down: Impairment
    up: Impairment


def _alike(name: str, both: Impairment) -> Profile:
    return Profile(name, both, both)


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        _alike("clean", CLEAN),
        _alike("loss-5", Impairment(loss=0.05)),
        _alike("loss-10", Impairment(loss=0.10)),
        _alike("loss-30", Impairment(loss=0.30)),
        _alike("burst-10", Impairment(loss=0.10, burst=5)),
        _alike("jitter-50", Impairment(delay_ms=10, jitter_ms=50)),
        _alike("reorder-25", Impairment(delay_ms=10, reorder=0.25, reorder_ms=20, duplicate=0.05)),
        _alike("500k", Impairment(delay_ms=20, rate_bps=500_000, queue_ms=400)),
        _alike("64k", Impairment(delay_ms=20, rate_bps=64_000, queue_ms=1_000)),
        _alike("rtt-600", Impairment(delay_ms=300)),
        _alike("mtu-1280", Impairment(mtu_bytes=1_280)),
        _alike("mtu-1200", Impairment(mtu_bytes=1_200)),
        _alike("mtu-576", Impairment(mtu_bytes=576)),
        _alike("rough", Impairment(delay_ms=10, loss=0.10, reorder=0.25, reorder_ms=20, duplicate=0.05)),
        Profile("up-dead", CLEAN, Impairment(dead=True)),
        Profile("down-dead", Impairment(dead=True), CLEAN),
    )
}
