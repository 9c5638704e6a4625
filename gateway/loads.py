"""Measures how busy this gateway is and acts on it: smaller pictures for everybody, and no newcomers.

When that is, says ``load.py``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from media.engine import Engine
from signaling.errors import Refused
from signaling.ids import Monotonic

from . import telemetry
from .clock import Clock
from .load import Limits, Load, Sample, take

log = logging.getLogger(__name__)

SAMPLE_S = 0.5
NANOSECONDS = 1e9


class Loads:
    """The load of one node."""

    def __init__(self, clock: Clock, engine: Engine, limits: Limits) -> None:
        self.load = Load(clock.now())
        self._clock = clock
        self._engine = engine
        self._limits = limits

    @property
    def strain(self) -> int:
        """0..3."""
        return self.load.strain

    def check(self) -> None:
        """Return if there is room for one more.

        Raises:
            Refused: ``node-busy``.
        """
        if self.load.refusing:
            raise Refused("node-busy", f"load {self.load.level:.2f}, strain {self.load.strain}")

    async def run(self) -> None:
        """Measure until cancelled."""
        at, used = self._clock.now(), self._engine.worker_cpu_ns()
        while True:
            await asyncio.sleep(SAMPLE_S)
            now, using = self._clock.now(), self._engine.worker_cpu_ns()
            self.take(sample(used, using, now - at), now)
            at, used = now, using

    def take(self, measured: Sample, now: Monotonic) -> None:
        """Act on a sample."""
        before, self.load = self.load, take(self.load, measured, self._limits, now)
        after = self.load
        if after.strain != before.strain:
            self._engine.strain(after.strain)
            telemetry.count("strain_changes", direction="up" if after.strain > before.strain else "down")
        if (after.strain, after.refusing) != (before.strain, before.refusing):
            level = logging.WARNING if after.strain or after.refusing else logging.INFO
            extra = {
                "strain": after.strain,
                "refusing": after.refusing,
                "worker_share": round(after.worker_share, 3),
                "lag_ms": round(1_000 * after.lag_s),
            }
            log.log(level, "load", extra=extra)


def sample(before: Sequence[int], after: Sequence[int], elapsed_s: float) -> Sample:
    """Return what the time between two readings of the workers' clocks (ns) says.

    Args:
        elapsed_s: Seconds between them; what is above ``SAMPLE_S`` is how late the event loop was.
    """
    elapsed_s = max(elapsed_s, SAMPLE_S)
    used = [max(0, b - a) for a, b in zip(before, after, strict=False)]
    return Sample(min(1.0, max(used, default=0) / NANOSECONDS / elapsed_s), elapsed_s - SAMPLE_S)
