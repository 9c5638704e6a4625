"""What flows through this node, added up by side, direction and kind: series that do not grow with the people.

Sides are ``people`` (whose connection ends here) and ``links``.  Directions are seen from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from media.readings import Stream, Window
from media.stats import Counters

from .telemetry import Reading

PEOPLE, LINKS = "people", "links"
UP, DOWN = "in", "out"
MICROSECONDS = 1e6
MAX_LAYER = 4
PAUSED, THUMBNAILS = "paused", "thumbnails"
SUMS: Mapping[str, Mapping[str, str]] = {
    UP: {
        "packets": "media_packets_total",
        "bytes": "media_bytes_total",
        "expected": "media_expected_total",
        "missed": "media_missed_total",
        "recovered": "media_recovered_total",
        "keyframes": "media_keyframes_total",
        "plis_sent": "media_keyframe_requests_total",
    },
    DOWN: {
        "packets": "media_packets_total",
        "bytes": "media_bytes_total",
        "expected_by_peer": "media_expected_total",
        "lost_by_peer": "media_missed_total",
        "retransmitted": "media_recovered_total",
        "thumbnails": "media_thumbnails_total",
        "plis_received": "media_keyframe_requests_total",
    },
}
"""The engine's counter of a source or a sink, and the series it adds to."""

Labels = tuple[str, str, str]
"""Side, direction, kind."""


class Flows:
    """Sums since the node began, and how it stood at the last look."""

    def __init__(self) -> None:
        self._sums: Counter[tuple[str, Labels]] = Counter()
        self._flowing: Counter[Labels] = Counter()
        self._jitter_us: dict[Labels, int] = {}
        self._layers: Counter[tuple[str, str]] = Counter()

    def begin(self) -> None:
        """A new look: what flows is counted anew."""
        self._flowing.clear()
        self._jitter_us.clear()
        self._layers.clear()

    def came(self, side: str, window: Window, sources: Iterable[Stream]) -> None:
        """Add what came in."""
        for source, kind in sources:
            self._add((side, UP, kind), window.source(source))

    def went(self, side: str, window: Window, sinks: Iterable[Stream]) -> None:
        """Add what went out; of pictures, also in which layer."""
        for sink, kind in sinks:
            counters = window.sink(sink)
            self._add((side, DOWN, kind), counters)
            if kind == "video" and counters:
                self._layers[side, _layer(counters)] += 1

    def _add(self, labels: Labels, counters: Counters) -> None:
        for name, series in SUMS[labels[1]].items():
            self._sums[series, labels] += max(0, counters.get(name, 0))
        if counters.get("packets", 0) > 0:
            self._flowing[labels] += 1
            self._jitter_us[labels] = max(self._jitter_us.get(labels, 0), counters.get("jitter_us_now", 0))

    def read(self) -> Iterator[Reading]:
        """Yield every series."""
        for (series, labels), total in self._sums.items():
            yield series, _named(labels), float(total)
        for labels, streams in self._flowing.items():
            yield "media_streams", _named(labels), float(streams)
            yield "media_worst_jitter_seconds", _named(labels), self._jitter_us[labels] / MICROSECONDS
        for (side, layer), pictures in self._layers.items():
            yield "media_pictures", {"side": side, "layer": layer}, float(pictures)


def _layer(counters: Counters) -> str:
    """Return 1 (the smallest) to 4, 0 while nothing is sent, or that it is paused or comes every few seconds."""
    if counters.get("thumbnails_now", 0):
        return THUMBNAILS
    return PAUSED if counters.get("paused_now", 0) else str(min(MAX_LAYER, counters.get("layer_now", 0)))


def _named(labels: Labels) -> Mapping[str, str]:
    side, direction, kind = labels
    return {"side": side, "direction": direction, "kind": kind}
