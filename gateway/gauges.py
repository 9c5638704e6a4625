"""What a scrape reads from the running node: the engine's counters, queues and links."""

from __future__ import annotations

from collections.abc import Iterator

from media.engine import Engine

from .conferences import Conferences
from .journal import Journal
from .links import Links
from .sessions import Sessions
from .telemetry import Reading

NANOSECONDS = 1e9
ENGINE_GAUGES = ("transports", "sources", "sinks")


class Gauges:
    """Give ``read`` to ``telemetry.on_scrape``."""

    def __init__(
        self, engine: Engine, journal: Journal, sessions: Sessions, links: Links, conferences: Conferences
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._sessions = sessions
        self._links = links
        self._conferences = conferences
        self._closed = False

    def close(self) -> None:
        """The node ends: from now on there is nothing to read."""
        self._closed = True

    def read(self) -> Iterator[Reading]:
        """Yield every series."""
        if self._closed:
            return
        yield from self._engine_series()
        yield "journal_head", {}, float(self._journal.head)
        yield "sessions", {}, float(len(self._sessions))
        yield "links", {}, float(len(self._links.up))
        for peer in sorted(self._links.up):
            rtt_s = self._links.rtt_s(peer)
            if rtt_s is not None:
                yield "link_rtt_seconds", {"peer": peer}, rtt_s
        yield "participants", {}, float(self._conferences.participants)
        for direction, tracks in self._conferences.carried.items():
            yield "link_tracks", {"direction": direction}, float(tracks)

    def _engine_series(self) -> Iterator[Reading]:
        stats = self._engine.stats()
        for reason, count in stats.drops.items():
            yield "engine_drops_total", {"reason": reason}, float(count)
        for direction in ("in", "out"):
            yield "engine_packets_total", {"direction": direction}, float(stats.engine.get(f"packets_{direction}", 0))
        for direction in ("in", "out"):
            yield "engine_bytes_total", {"direction": direction}, float(stats.engine.get(f"bytes_{direction}", 0))
        yield "engine_forwarded_total", {}, float(stats.engine.get("packets_forwarded", 0))
        yield "engine_worker_cpu_seconds_total", {}, stats.engine.get("worker_cpu_ns", 0) / NANOSECONDS
        for name in ENGINE_GAUGES:
            yield f"engine_{name}", {}, float(stats.engine.get(f"{name}_now", 0))
