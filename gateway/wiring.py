"""What the engine was told to carry where, and the least news that makes it carry what is desired.

Knows sinks, sources and tracks; not people, links or screens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace

from media import routes
from media.engine import Coming, Engine
from signaling.ids import TrackId
from signaling.wants import Want

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wired:
    """A sink, the track it should carry, and how its picture is wanted."""

    sink: int
    track: TrackId | None
    want: Want | None
    beside: int | None = None
    """The sink that carries the same larger, of one that carries a small copy."""


class Wiring:
    """The engine's side of what is shown and carried."""

    def __init__(self, engine: Engine) -> None:
        self.coming: dict[int, Coming] = {}
        """How the picture of each sink comes that the line is too narrow for, as the engine said."""
        self.lowered: frozenset[int] = frozenset()
        """Sinks whose picture it sends smaller than wanted, by the last look."""
        self._engine = engine
        self._installed: dict[int, int] = {}
        self._wanted: dict[int, Want] = {}
        """How the picture of each sink is wanted, as the engine was told."""

    def narrow(self, wired: Iterable[Wired]) -> set[TrackId]:
        """Return the pictures that somebody gets smaller than wanted or not at all."""
        cut = self.coming.keys() | self.lowered
        large = (one for one in wired if one.want is not None and one.beside is None)
        return {one.track for one in large if one.track is not None and one.sink in cut}

    def install(self, wired: Sequence[Wired], idle: Set[int], source: Callable[[TrackId], int | None]) -> None:
        """Carry exactly ``wired``.

        Args:
            idle: Sinks that carry nothing now but may again; the engine keeps what it knows of them.
            source: The engine's source of a track.
        """
        sinks = {one.sink for one in wired}
        desired = {
            one.sink: found for one in wired if one.track is not None and (found := source(one.track)) is not None
        }
        installed = {sink: found for sink, found in self._installed.items() if sink in sinks}
        self.coming = {sink: coming for sink, coming in self.coming.items() if sink in sinks | idle}
        self._want(wired, sinks | idle)
        for step in routes.plan(installed, desired):
            try:
                self._engine.route(step.sink, step.source if isinstance(step, routes.Route) else None)
            except ValueError as error:
                # A connection that just ended: its end is on the way to us and settles this again.
                log.debug("route refused", extra={"sink": step.sink, "error": str(error)})
                desired.pop(step.sink, None)
        self._installed = desired

    def _want(self, wired: Iterable[Wired], sinks: Set[int]) -> None:
        """Tell the engine how the picture of each sink is wanted, as far as it is news."""
        known = {sink: want for sink, want in self._wanted.items() if sink in sinks}  # a new one wants all there is
        for one in wired:
            if one.want is None:
                continue
            want = replace(one.want, small=False)  # of another sink
            if known.get(one.sink, Want()) != want:
                try:
                    self._engine.want(one.sink, want.height, want.priority, one.beside)
                except ValueError as error:  # as for routes
                    log.debug("want refused", extra={"sink": one.sink, "error": str(error)})
            known[one.sink] = want
        self._wanted = known
