"""Carries out what a ``Way`` decided: calls that are due at a moment, in order, with one timer of the loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable


class Scheduler:
    """Calls at their moments on the running loop's clock.  Equal moments keep their order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def at(self, moment: float, act: Callable[[], None]) -> None:
        """Call ``act`` at ``moment``; at once when that is now or past and nothing waits before it."""
        if moment <= self._loop.time() and not self._waiting:
            act()
            return
        heapq.heappush(self._waiting, (moment, next(self._numbers), act))
        if self._waiting[0][0] == moment:
            self._arm()

    def clear(self) -> None:
        """Forget everything on its way."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._waiting[0][0], self._run)

    def _run(self) -> None:
        self._timer = None
        while self._waiting and self._waiting[0][0] <= self._loop.time():
            heapq.heappop(self._waiting)[2]()
        if self._waiting:
            self._arm()
