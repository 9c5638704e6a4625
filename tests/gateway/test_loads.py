"""What the gateway does about its load: the engine strains, and newcomers are refused."""

from __future__ import annotations

import pytest

from gateway.load import Limits, Sample
from gateway.loads import SAMPLE_S, Loads, sample
from signaling.errors import Refused
from signaling.ids import Monotonic
from tests.support.clock import FakeClock

LIMITS = Limits(worker_share=0.8, lag_s=1.0)
BUSY, IDLE = Sample(1.0, 0.0), Sample(0.1, 0.0)


class Engine:
    def __init__(self) -> None:
        self.strains: list[int] = []

    def strain(self, level: int) -> None:
        self.strains.append(level)


def pass_by(loads: Loads, measured: Sample, seconds: float) -> None:
    for _ in range(round(seconds / SAMPLE_S)):
        loads.take(measured, Monotonic(loads.load.at + SAMPLE_S))


def test_the_engine_strains_step_by_step_and_newcomers_are_refused_until_it_is_over() -> None:
    engine = Engine()
    loads = Loads(FakeClock(), engine, LIMITS)  # type: ignore[arg-type]
    loads.check()
    pass_by(loads, BUSY, 30)
    assert engine.strains == [1, 2, 3]
    with pytest.raises(Refused) as refused:
        loads.check()
    assert refused.value.code == "node-busy"
    pass_by(loads, IDLE, 60)
    assert engine.strains == [1, 2, 3, 2, 1, 0]
    loads.check()


def test_the_busiest_worker_counts() -> None:
    assert sample([0, 0], [100_000_000, 400_000_000], 0.5) == Sample(0.8, 0.0)


def test_time_above_the_pause_is_lag_and_no_share_of_work() -> None:
    measured = sample([0], [500_000_000], 2.5)
    assert (measured.worker_share, measured.lag_s) == (0.2, 2.0)


@pytest.mark.parametrize(("before", "after"), [([], []), ([5], [3]), ([1, 2], [1])])
def test_clocks_that_come_go_or_step_back_are_no_work(before: list[int], after: list[int]) -> None:
    assert sample(before, after, 0.5) == Sample(0.0, 0.0)
