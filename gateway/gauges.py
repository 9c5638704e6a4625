"""What a scrape reads from the running node: the engine's counters, queues and links."""

from __future__ import annotations

from collections.abc import Iterator

from media.engine import Engine
from media.stats import Counters

from .conferences import Conferences
from .journal import Journal
from .links import Links
from .loads import Loads
from .sessions import Sessions
from .telemetry import Reading

NANOSECONDS = 1e9
ENGINE_GAUGES = ("transports", "sources", "sinks")


class Gauges:
    """Give ``read`` to ``telemetry.on_scrape``."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        sessions: Sessions,
        links: Links,
        conferences: Conferences,
        loads: Loads,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._sessions = sessions
        self._links = links
        self._conferences = conferences
        self._loads = loads
        self._closed = False

    def close(self) -> None:
        """The node ends: from now on there is nothing to read."""
        self._closed = True

    def read(self) -> Iterator[Reading]:
        """Yield every series."""
        if self._closed:
            return
        yield from self._engine_series()
        yield from self._load_series()
        yield from self._quality_series()
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

    def _load_series(self) -> Iterator[Reading]:
        load = self._loads.load
        yield "load", {}, load.level
        yield "load_worker_share", {}, load.worker_share
        yield "load_lag_seconds", {}, load.lag_s
        yield "strain", {}, float(load.strain)
        yield "refusing_joins", {}, float(load.refusing)

    def _quality_series(self) -> Iterator[Reading]:
        """Yield how well connections work: people's as counts, since they come and go, and each link's."""
        qualities = self._conferences.qualities
        for (direction, level), count in qualities.counts().items():
            yield "media_quality", {"direction": direction, "level": str(level)}, float(count)
        yield from qualities.flows.read()
        for peer, line in sorted(qualities.links.items()):
            for direction, way in (("up", line.up), ("down", line.down)):
                if way.shown is not None:
                    labels = {"peer": peer, "direction": direction}
                    yield "link_quality", labels, float(way.shown.level)
                    yield "link_loss_ratio", labels, way.loss

    def _engine_series(self) -> Iterator[Reading]:
        stats = self._engine.stats()
        for reason, count in stats.drops.items():
            yield "engine_drops_total", {"reason": reason}, float(count)
        for direction in ("in", "out"):
            yield "engine_packets_total", {"direction": direction}, float(stats.engine.get(f"packets_{direction}", 0))
        for direction in ("in", "out"):
            yield "engine_bytes_total", {"direction": direction}, float(stats.engine.get(f"bytes_{direction}", 0))
        yield from self._repair_series(stats.engine)
        yield "engine_forwarded_total", {}, float(stats.engine.get("packets_forwarded", 0))
        for number, worker in sorted(stats.workers.items()):
            labels = {"worker": str(number)}
            yield "engine_worker_cpu_seconds_total", labels, worker.get("cpu_ns", 0) / NANOSECONDS
            yield "engine_worker_forwarded_total", labels, float(worker.get("packets_forwarded", 0))
        for name in ENGINE_GAUGES:
            yield f"engine_{name}", {}, float(stats.engine.get(f"{name}_now", 0))
        for peer, transport in self._conferences.link_transports.items():
            link = stats.transports.get(transport, {})
            for direction in ("in", "out"):
                octets = float(link.get(f"bytes_{direction}", 0))
                yield "link_bytes_total", {"peer": peer, "direction": direction}, octets
            yield "link_estimate_bits_per_second", {"peer": peer}, float(link.get("estimate_bps_now", 0))

    @staticmethod
    def _repair_series(engine: Counters) -> Iterator[Reading]:
        for direction in ("in", "out"):
            yield "engine_nacks_total", {"direction": direction}, float(engine.get(f"nacks_{direction}", 0))
            asked = float(engine.get(f"keyframe_requests_{direction}", 0))
            yield "engine_keyframe_requests_total", {"direction": direction}, asked
        yield "engine_cache_hits_total", {}, float(engine.get("cache_hits", 0))
        yield "engine_lost_total", {}, float(engine.get("lost", 0))
        yield "engine_recovered_total", {}, float(engine.get("recovered", 0))
