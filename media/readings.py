"""From two snapshots of the engine's counters to what one connection's ways were like in between.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from .answer import Kind
from .quality import Reading
from .stats import Counters, Stats, growth

MICROSECONDS = 1_000.0
"""In a millisecond."""
NOTHING: Counters = {}

Stream = tuple[int, Kind]
"""Id of a source or sink, and what it carries."""


@dataclass(frozen=True, slots=True)
class Window:
    """Two snapshots, the older first."""

    before: Stats
    after: Stats

    def transport(self, transport: int) -> Counters:
        return _growth(transport, self.before.transports, self.after.transports)

    def source(self, source: int) -> Counters:
        return _growth(source, self.before.sources, self.after.sources)

    def sink(self, sink: int) -> Counters:
        return _growth(sink, self.before.sinks, self.after.sinks)


def uplink(
    window: Window, transport: int, sources: Iterable[Stream], *, silent: bool = False, loss: float = 0.0
) -> Reading | None:
    """Return what came in: as we counted it.  None when nothing flows.

    Args:
        loss: What it was before, 0..1: goes on while nothing new is known.
    """
    streams = [(window.source(source), kind) for source, kind in sources]
    if not silent and not any(counters.get("packets", 0) > 0 for counters, _ in streams):
        return None
    return Reading(
        loss=_share(streams, "missed", "expected", loss),
        rtt_ms=_milliseconds(window.transport(transport), "rtt_us_now"),
        jitter_ms=max((_milliseconds(counters, "jitter_us_now") for counters, _ in streams), default=0.0),
        pictures=_pictures(streams, _flows),
        silent=silent,
    )


def downlink(
    window: Window,
    transport: int,
    sinks: Iterable[Stream],
    *,
    silent: bool = False,
    strain: int = 0,
    loss: float = 0.0,
    frozen: float = 0.0,
) -> Reading | None:
    """Return what went out: as the receiver reported it.  None when nothing flows nor should.

    Args:
        strain: This gateway's, 0..3.
        frozen: Share of the time for which the receiver saw a picture stand still, 0..1.
        loss: What it was before, 0..1: receivers report sound every few seconds only.
    """
    streams = [(window.sink(sink), kind) for sink, kind in sinks]
    if not silent and not any(_due(counters) for counters, _ in streams):
        return None
    path = window.transport(transport)
    return Reading(
        loss=_share(streams, "lost_by_peer", "expected_by_peer", loss),
        rtt_ms=_milliseconds(path, "rtt_us_now"),
        jitter_ms=max((_milliseconds(counters, "jitter_us_now") for counters, _ in streams), default=0.0),
        pictures=_pictures(streams, _due),
        paused=_pictures(streams, _paused),
        thumbnails=_pictures(streams, _thumbnails),
        lowered=_pictures(streams, lambda counters: counters.get("lowered_now", 0) > 0),
        estimate_bps=path.get("estimate_bps_now", 0),
        strain=strain,
        frozen=frozen,
        silent=silent,
    )


def lowered(after: Stats) -> frozenset[int]:
    """Return the sinks whose picture is sent smaller than wanted."""
    return frozenset(sink for sink, counters in after.sinks.items() if counters.get("lowered_now", 0) > 0)


def _growth(number: int, before: Mapping[int, Counters], after: Mapping[int, Counters]) -> Counters:
    now = after.get(number)
    return NOTHING if now is None else growth(before.get(number, NOTHING), now)


def _flows(counters: Counters) -> bool:
    return counters.get("packets", 0) > 0


def _paused(counters: Counters) -> bool:
    return counters.get("paused_now", 0) > 0


def _thumbnails(counters: Counters) -> bool:
    return counters.get("thumbnails_now", 0) > 0


def _due(counters: Counters) -> bool:
    """Whether it flows, or should."""
    return _flows(counters) or _paused(counters) or _thumbnails(counters)


def _pictures(streams: Iterable[tuple[Counters, Kind]], which: Callable[[Counters], bool]) -> int:
    return sum(kind == "video" and which(counters) for counters, kind in streams)


def _share(streams: Iterable[tuple[Counters, Kind]], part: str, whole: str, known: float) -> float:
    """Return the share of all streams together; ``known`` when nothing was counted."""
    counted = [(max(0, c.get(part, 0)), max(0, c.get(whole, 0))) for c, _ in streams]
    total = sum(each for _, each in counted)
    return min(1.0, sum(each for each, _ in counted) / total) if total else known


def _milliseconds(counters: Counters, name: str) -> float:
    return counters.get(name, 0) / MICROSECONDS
