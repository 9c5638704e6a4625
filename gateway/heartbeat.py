"""The auditor's heartbeat: a small file with a number that grows, written by one process and watched by another.

Whether it beats is judged by the watcher's own steady clock and by the number alone, so that neither a stepped
wall clock nor an old file can pass for life.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from gateway import whole
from gateway.clock import Clock
from gateway.telemetry import Telemetry
from signaling.ids import Monotonic, UtcMs

log = logging.getLogger(__name__)

NAME = "auditor.heartbeat"
MAX_BYTES = 4_096
POLL_S = 1.0


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says.  ``run`` names the process, ``seq`` is how far in the journal it has read."""

    run: str
    number: int
    at: UtcMs
    seq: int
    missed: int = 0
    faults: int = 0


def write(directory: Path, beat: Beat) -> None:
    """Put ``beat`` in place of the one before; it is on the disk when this returns."""
    whole.put(directory / NAME, msgspec.json.encode(beat), mode=0o600)


def read(directory: Path) -> Beat | None:
    """Return the newest beat; None when there is none that can be read."""
    try:
        with (directory / NAME).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_BYTES), type=Beat)
    except (OSError, msgspec.DecodeError):
        return None


class Watch:
    """Says whether something that should beat does.  Ask at least now and then; silence is counted from ``begun``."""

    def __init__(self, clock: Clock, silent_s: float) -> None:
        self._clock = clock
        self._silent_s = silent_s
        self._last: object = None
        self._heard: Monotonic = clock.now()

    def silent_for(self, beat: object) -> float:
        """Return for how many seconds it has been silent, 0.0 while that is not too long.

        Args:
            beat: What it says now; anything new is life, None is silence.
        """
        now = self._clock.now()
        if beat is not None and beat != self._last:
            self._last, self._heard = beat, now
        quiet = now - self._heard
        return quiet if quiet > self._silent_s else 0.0


class AuditorWatch:
    """The node's eye on its auditor.  Run ``run`` in a task group.

    ``on_change``: it is heard for the first time, falls silent, is heard again, or has found something else.
    """

    def __init__(self, directory: Path, clock: Clock, silent_s: float, telemetry: Telemetry) -> None:
        self._directory = directory
        self._telemetry = telemetry
        self._watch = Watch(clock, silent_s)
        self.silent_s = 0.0
        """For how long it has been silent; 0.0 while it beats."""
        self.beat: Beat | None = None
        """The last that was heard."""
        self.on_change: Callable[[], None] = lambda: None

    @property
    def complaint(self) -> str:
        """What ``/readyz`` says of it, "" when it is well."""
        return f"silent for {self.silent_s:.0f} s" if self.silent_s else ""

    def look(self) -> None:
        """Read the newest beat."""
        before, said = self.silent_s, self._said()
        heard = read(self._directory)
        self.silent_s, self.beat = self._watch.silent_for(heard), heard or self.beat
        self._telemetry.gauge("auditor_silent_seconds", self.silent_s)
        if bool(before) != bool(self.silent_s):
            (log.error if self.silent_s else log.info)("auditor silent" if self.silent_s else "auditor heard again")
        if (bool(before), said) != (bool(self.silent_s), self._said()):
            self.on_change()

    def _said(self) -> tuple[int, int] | None:
        return None if self.beat is None else (self.beat.missed, self.beat.faults)

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(POLL_S)
