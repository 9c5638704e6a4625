"""Load in virtual time: when strain rises and falls, and when newcomers are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gateway.load import MAX_CALM_S, MAX_STRAIN, Limits, Load, Sample, take
from signaling.ids import Monotonic

LIMITS = Limits(worker_share=0.8, lag_s=1.0)
STEP_S = 0.5


@dataclass(slots=True)
class Gateway:
    """One whose pictures cost less with every step of strain."""

    demand: float
    """Share of a core the worker would use without strain."""
    saved: float = 0.0
    """Part of it that each step saves."""
    load: Load = field(default_factory=lambda: Load(Monotonic(0)))
    strains: list[int] = field(default_factory=list)

    def live(self, seconds: float, lag_s: float = 0.0) -> Load:
        for _ in range(round(seconds / STEP_S)):
            share = min(1.0, self.demand * (1 - self.saved * self.load.strain))
            now = Monotonic(self.load.at + STEP_S)
            self.load = take(self.load, Sample(share, lag_s), LIMITS, now)
            self.strains.append(self.load.strain)
        return self.load

    @property
    def changes(self) -> int:
        return sum(a != b for a, b in zip(self.strains, self.strains[1:], strict=False))


def test_an_ordinary_load_strains_nobody() -> None:
    load = Gateway(0.7).live(600)
    assert (load.strain, load.refusing) == (0, False)


def test_a_short_peak_is_no_strain() -> None:
    gateway = Gateway(0.5)
    gateway.live(10)
    gateway.demand = 1.0
    gateway.live(1)
    gateway.demand = 0.5
    assert gateway.live(10).strain == 0


def test_a_lasting_overload_rises_step_by_step_to_the_end_and_refuses() -> None:
    gateway = Gateway(1.0)
    load = gateway.live(30)
    assert (load.strain, load.refusing) == (MAX_STRAIN, True)
    assert all(b - a in (0, 1) for a, b in zip(gateway.strains, gateway.strains[1:], strict=False))


def test_strain_stops_at_what_is_enough() -> None:
    load = Gateway(0.86, saved=0.15).live(120)
    assert (load.strain, load.refusing) == (1, False)


def test_newcomers_are_refused_before_the_worker_is_full_and_let_in_when_there_is_room() -> None:
    gateway = Gateway(0.95)
    assert gateway.live(15).refusing
    gateway.demand = 0.5
    assert not gateway.live(60).refusing


def test_when_the_load_is_gone_everything_is_as_before() -> None:
    gateway = Gateway(1.0)
    gateway.live(60)
    gateway.demand = 0.2
    load = gateway.live(120)
    assert (load.strain, load.refusing) == (0, False)


def test_a_late_event_loop_is_load_too() -> None:
    load = Gateway(0.1).live(30, lag_s=1.2)
    assert load.strain > 0
    assert load.refusing


def test_a_gateway_at_its_limit_does_not_waver() -> None:
    gateway = Gateway(0.82, saved=0.4)  # one step is enough, and looks like plenty of room
    gateway.live(600)
    first = gateway.changes
    gateway.live(600)
    assert gateway.changes - first <= 8
    assert gateway.load.calm_s == MAX_CALM_S


def test_calm_is_forgotten_after_a_long_quiet_time() -> None:
    gateway = Gateway(0.82, saved=0.4)
    gateway.live(600)
    gateway.demand = 0.3
    assert gateway.live(1_200).calm_s < MAX_CALM_S


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 60), st.floats(0, 100)), max_size=60))
def test_strain_moves_one_step_at_a_time_whatever_is_measured(seen: list[tuple[float, float, float]]) -> None:
    load = Load(Monotonic(0))
    for share, lag_s, after_s in seen:
        before = load
        load = take(load, Sample(share, lag_s), LIMITS, Monotonic(load.at + after_s))
        assert 0 <= load.strain <= MAX_STRAIN
        assert abs(load.strain - before.strain) <= 1
        assert load.refusing or load.strain < 2
