"""When this gateway has more to do than it can: smaller pictures first, then nobody new, never silence.

Pure.  A ``Sample`` says how busy the packet workers are and how late the event loop runs; ``take`` smooths
it over about two seconds and returns the next ``Load``.  Strain 0..3 makes every picture one step smaller each
and at 3 keeps only those that matter most; it rises while the load is above its bar for ``RISE_S``, one step at
a time, and falls when the load was well below for a while.  A step down that had to be taken back makes the next
one wait twice as long, so that a gateway at its limit does not waver.  Newcomers are refused from a higher bar
on, or while strain is 2 or more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from signaling.ids import Monotonic

SMOOTH_S = 2.0
RISE_S = 4.0
"""Longer than smoothing takes to show what the step before has saved."""
CALM_S = 10.0
MAX_CALM_S = 160.0
RELAPSE_S = 60.0
"""Strain that comes back within this was taken away too early."""
STEADY_S = 300.0
"""After so long without strain, what wavered before is forgotten."""

STRAINED = 1.0
CALM = 0.7
FULL = 1.1
ROOM = 0.85
MAX_STRAIN = 3
REFUSING_STRAIN = 2


@dataclass(frozen=True, slots=True)
class Limits:
    """The load at which pictures become smaller.

    Args:
        worker_share: Share of one core the busiest packet worker may use, 0..1.
        lag_s: How late the event loop may run, seconds.
    """

    worker_share: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What was measured since the sample before: share of one core (0..1) and lateness in seconds."""

    worker_share: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """How it stands.  ``level`` is 1 at the limit."""

    at: Monotonic
    worker_share: float = 0.0
    lag_s: float = 0.0
    level: float = 0.0
    strain: int = 0
    refusing: bool = False
    above_since: Monotonic | None = None
    below_since: Monotonic | None = None
    calm_s: float = CALM_S
    """How long the load must be low before strain falls."""
    eased_at: Monotonic | None = None
    """When strain fell last."""


def take(load: Load, sample: Sample, limits: Limits, now: Monotonic) -> Load:
    """Return the load after ``sample``, taken at ``now``."""
    weight = -math.expm1(-max(0.0, now - load.at) / SMOOTH_S)
    share = load.worker_share + weight * (sample.worker_share - load.worker_share)
    lag_s = load.lag_s + weight * (sample.lag_s - load.lag_s)
    level = max(share / limits.worker_share, lag_s / limits.lag_s)
    above = (load.above_since or now) if level >= STRAINED else None
    below = (load.below_since or now) if level < CALM else None
    seen = replace(load, at=now, worker_share=share, lag_s=lag_s, level=level, above_since=above, below_since=below)
    return _refuse(_strain(seen, now))


def _strain(load: Load, now: Monotonic) -> Load:
    if load.above_since is not None and now - load.above_since >= RISE_S and load.strain < MAX_STRAIN:
        wavered = load.eased_at is not None and now - load.eased_at < RELAPSE_S
        calm_s = min(MAX_CALM_S, 2 * load.calm_s) if wavered else load.calm_s
        return replace(load, strain=load.strain + 1, above_since=now, calm_s=calm_s)
    if load.below_since is not None and now - load.below_since >= load.calm_s and load.strain > 0:
        return replace(load, strain=load.strain - 1, below_since=now, eased_at=now)
    if load.strain == 0 and load.eased_at is not None and now - load.eased_at >= STEADY_S:
        return replace(load, calm_s=CALM_S, eased_at=None)
    return load


def _refuse(load: Load) -> Load:
    if load.level >= FULL or load.strain >= REFUSING_STRAIN:
        return replace(load, refusing=True)
    if load.level < ROOM:
        return replace(load, refusing=False)
    return load
