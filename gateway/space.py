"""Room on the disk of a node: who must do without when it runs out, and who is told.

Pictures go first: they are refused while less is free than the reserve is large.  Directives, alarms and audit are
written until the reserve is used up (``reserve.py``).  Whoever stands above learns of it from an alarm of this node.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from .reserve import Reserve
from .telemetry import Telemetry

log = logging.getLogger(__name__)

LOOK_S = 1.0
ROOMY = 2.0
"""So many times the reserve must be free before it is taken again: else it would be given back at once."""

Tell = Callable[[int], Awaitable[None]]
"""Tell the node's superiors how many bytes are left, reserve included."""


class Space:
    """Looks at the disk every second.  Run ``run`` in a task group."""

    def __init__(self, directory: Path, reserve: Reserve, telemetry: Telemetry, tell: Tell) -> None:
        self._directory = directory
        self._reserve = reserve
        self._telemetry = telemetry
        self._tell = tell
        self._told = False

    def free(self) -> int:
        """Return the bytes that anybody may still write."""
        return shutil.disk_usage(self._directory).free

    def admits(self, size: int) -> bool:
        """Return whether ``size`` bytes of something that can be done without may be written."""
        if self._has_room(size):
            return True
        self._telemetry.count("shed", kind="picture")
        return False

    @property
    def problem(self) -> str:
        """What ``/readyz`` says, "" while there is room."""
        if self._reserve.held < self._reserve.size:
            return f"the disk is full; {self._reserve.held} bytes are kept for directives"
        return "" if self._has_room(0) else "little room on the disk; no pictures are kept"

    def close(self) -> None:
        self._reserve.close()

    def _has_room(self, size: int) -> bool:
        return self._reserve.size == 0 or self.free() - size >= self._reserve.size

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take the reserve again if there is room; tell of a shortage once, until it is over."""
        free, reserve = self.free(), self._reserve
        if free >= ROOMY * reserve.size:
            await asyncio.to_thread(reserve.fill)
        short = bool(self.problem)
        if short and not self._told:
            log.error("disk nearly full", extra={"free": free, "reserve": reserve.held})
            await self._tell(free + reserve.held)
        elif self._told and not short:
            log.info("disk has room again", extra={"free": free})
        self._told = short
