"""Telling of changes at most so often: the first at once, what changes meanwhile together, a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pace:
    """Calls ``tell`` when ``ring`` was called, never twice within ``interval_s``.  Use it on a running loop."""

    def __init__(self, tell: Callable[[], None], interval_s: float) -> None:
        self._tell = tell
        self._interval_s = interval_s
        self._resting: asyncio.TimerHandle | None = None
        self._rung = False

    def ring(self) -> None:
        """Something changed."""
        if self._resting is not None:
            self._rung = True
            return
        self._rung = False
        self._resting = asyncio.get_running_loop().call_later(self._interval_s, self._rested)
        self._tell()

    def _rested(self) -> None:
        self._resting = None
        if self._rung:
            self.ring()
