"""What the gateway counts, and what it writes to its log.

Counting: ``count("refused", code="not-permitted")`` makes ``wuji_refused_total{code="not-permitted"}``.
Label values may come off the wire, so each metric keeps at most ``MAX_SERIES`` of them; the rest is
``other``.  Logging: every line is checked for secrets after it is rendered, whatever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from structlog.typing import EventDict, WrappedLogger

from signaling.errors import LocalError

MAX_SERIES = 64
MAX_LABEL = 64
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BUCKETS: Mapping[str, Sequence[float]] = {
    "media_loss_ratio": (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
    "media_estimate_bits_per_second": tuple(1_000 * k for k in (32, 64, 128, 256, 512, 1_000, 2_000, 5_000, 10_000)),
}
"""Of histograms that are not of seconds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

HELP = {
    "http_requests": "Requests answered, by route and status.",
    "http_seconds": "Seconds from whole headers to the answer, by route.",
    "http_refused": "Connections and requests turned away before a handler saw them, by reason.",
    "http_connections": "Open TCP connections.",
    "ready": "1 while a check of /readyz is well, 0 while it is not.",
    "refused": "Lawful requests that were not granted, by code.",
    "alarms_refused": "Alarms that a source must say again, since too many wait for the disk, by urgency.",
    "pictures_refused": "Pictures that an alarm stands without, by its urgency and why.",
    "malformed": "Messages and requests that are not of the protocol, by where and code.",
    "sign_ins": "Sign-ins, by way and outcome.",
    "media_loss_ratio": "Share of packets lost on the way in two seconds, of each connection that sends or is sent.",
    "media_jitter_seconds": "Jitter of the worst stream of each connection, by direction.",
    "media_rtt_seconds": "Round trip of each connection.",
    "media_estimate_bits_per_second": "What the way to each connection is estimated to carry.",
    "media_frozen_seconds": "How long pictures stood still, as pages say.",
    "media_packets": "Media packets, by side (people, links), direction and kind.",
    "media_bytes": "Octets of their payloads.",
    "media_expected": "Packets that should have come, as whoever receives them counts.",
    "media_missed": "Of those, packets lost on the way, whether or not they came later.",
    "media_thumbnails": "Keyframes sent by themselves, where a line has room for no more.",
    "media_recovered": "Lost packets that came after all (in), or were sent again (out).",
    "media_keyframes": "Key frames that came.",
    "media_keyframe_requests": "Requests for key frames: made of senders (in), made by receivers (out).",
    "media_streams": "Streams that flowed in the last two seconds.",
    "media_worst_jitter_seconds": "Jitter of the worst of them.",
    "media_pictures": "Pictures sent, by layer (1 smallest, 0 nothing yet), thumbnails or paused.",
    "media_quality": "Connections of participants, by direction and level (4 best, 0 nothing arrives).",
    "camera_pictures": "Pictures asked of cameras, by outcome: taken, or why not.",
    "link_quality": "Level of a link's media, by peer and direction (4 best, 0 nothing arrives).",
    "link_loss_ratio": "Share of packets lost on a link in two seconds, by peer and direction.",
    "link_bytes": "Octets of a link's media since its transport is up, by peer and direction.",
    "link_estimate_bits_per_second": "What the way to a neighbour is estimated to carry.",
    "load": "The greater of worker share and event loop lag, in parts of their limits.",
    "load_worker_share": "Share of a core the busiest packet worker uses.",
    "load_lag_seconds": "How late the event loop runs.",
    "strain": "Steps by which all pictures are smaller because of the load, 0 to 3.",
    "strain_changes": "Changes of the strain, by direction.",
    "refusing_joins": "1 while joins are refused because of the load.",
    "engine_cache_hits": "Lost packets sent again from the cache.",
    "engine_nacks": "Packets asked for again: in by receivers, out of senders.",
    "engine_keyframe_requests": "Requests for key frames: in from receivers, out to senders.",
    "engine_lost": "Packets that did not come from senders.",
    "engine_recovered": "Of those, packets that came late or again.",
}

Reading = tuple[str, Mapping[str, str], float]
"""(name, labels, value) of one series; a name ending in ``_total`` is a counter."""


class Telemetry:
    """A registry of its own: nothing global, so that several gateways fit in one test process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._lock = threading.Lock()
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._series: dict[str, set[tuple[str, ...]]] = {}
        ProcessCollector(registry=self.registry)

    def count(self, name: str, amount: float = 1, /, **labels: object) -> None:
        """Add ``amount`` to the counter ``wuji_{name}_total``."""
        if name not in self._counters:
            with self._lock:
                if name not in self._counters:
                    self._counters[name] = Counter(
                        f"wuji_{name}", _help(name), self._declare(name, labels), registry=self.registry
                    )
        values = self._values(name, labels)
        (self._counters[name].labels(*values) if values else self._counters[name]).inc(amount)

    def gauge(self, name: str, value: float, /, **labels: object) -> None:
        """Set the gauge ``wuji_{name}``."""
        if name not in self._gauges:
            with self._lock:
                if name not in self._gauges:
                    self._gauges[name] = Gauge(
                        f"wuji_{name}", _help(name), self._declare(name, labels), registry=self.registry
                    )
        values = self._values(name, labels)
        (self._gauges[name].labels(*values) if values else self._gauges[name]).set(value)

    def observe(self, name: str, amount: float, /, **labels: object) -> None:
        """Add one duration in seconds, or what ``BUCKETS`` says, to the histogram ``wuji_{name}``."""
        if name not in self._histograms:
            with self._lock:
                if name not in self._histograms:
                    self._histograms[name] = Histogram(
                        f"wuji_{name}",
                        _help(name),
                        self._declare(name, labels),
                        registry=self.registry,
                        buckets=BUCKETS.get(name, SECONDS),
                    )
        values = self._values(name, labels)
        (self._histograms[name].labels(*values) if values else self._histograms[name]).observe(amount)

    def value(self, name: str, /, **labels: str) -> float:
        """Return the counter or gauge as scraped, 0 while it was never touched."""
        for sample in (f"wuji_{name}_total", f"wuji_{name}"):
            found = self.registry.get_sample_value(sample, labels)
            if found is not None:
                return found
        return 0.0

    def on_scrape(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Ask ``read`` for its series at every scrape (engine counters, queue lengths)."""
        self.registry.register(_Readings(read))

    def render(self) -> bytes:
        """Return the Prometheus text page."""
        return generate_latest(self.registry)

    def _declare(self, name: str, labels: Mapping[str, object]) -> tuple[str, ...]:
        if name in self._labels:
            raise LocalError(f"metric {name} is already of another kind")
        self._labels[name] = tuple(sorted(labels))
        self._series[name] = set()
        return self._labels[name]

    def _values(self, name: str, labels: Mapping[str, object]) -> tuple[str, ...]:
        declared = self._labels[name]
        if declared != tuple(sorted(labels)):
            raise LocalError(f"metric {name} has labels {declared}, not {tuple(sorted(labels))}")
        values = tuple(str(labels[key])[:MAX_LABEL] for key in declared)
        known = self._series[name]
        if values not in known:
            if len(known) >= MAX_SERIES:
                return tuple("other" for _ in declared)
            known.add(values)
        return values


class _Readings:
    """Adapts a function to prometheus-client's collector protocol."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for name, labels, value in self._read():
            family = families.get(name)
            if family is None:
                kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                family = families[name] = kind(f"wuji_{name.removesuffix('_total')}", _help(name), labels=list(labels))
            family.add_metric([str(item) for item in labels.values()], value)
        yield from families.values()


def _help(name: str) -> str:
    return HELP.get(name.removesuffix("_total"), name.replace("_", " "))


default = Telemetry()
"""Of this process.  Modules call the functions below; tests may make their own ``Telemetry``."""

count = default.count
gauge = default.gauge
observe = default.observe
value = default.value
on_scrape = default.on_scrape
render = default.render


# ---- logging -------------------------------------------------------------------------------------

_NAMES = r"token|authorization|password|passwd|pwd|ice_pwd|ice-pwd|secret|token_secret|code_link|sdp|fingerprint"
_REDACTIONS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]*\.?[\w-]*"), "[token]"),
    (re.compile(r"(?i)\bbearer\s+[\w.~+/=-]+"), "Bearer [token]"),
    (re.compile(r"(?i)(ice-pwd:)\s*[^\s\\\"]+"), r"\1[redacted]"),
    (re.compile(r"(?i)(fingerprint:)\s*[\w-]+[ =]+[0-9A-F:]{20,}"), r"\1[redacted]"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}:){19,}[0-9A-Fa-f]{2}\b"), "[fingerprint]"),
    (re.compile(r"(\w://[^\s:/@]*:)[^\s/@]+@"), r"\1[redacted]@"),
    (re.compile(r"(#code=)[\w-]+"), r"\1[redacted]"),
    (re.compile(rf"(?i)(\\*[\"']?\b(?:{_NAMES})\\*[\"']?\s*[:=]\s*\\*[\"'])(?:[^\"'\\]|\\[^\"'])*"), r"\1[redacted]"),
    (re.compile(rf"(?i)\b((?:{_NAMES})=)(?![\"'\\\[])[^\s,;&\"')]+"), r"\1[redacted]"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END|$)", re.DOTALL), "[private key]"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def redact(line: str) -> str:
    """Return ``line`` without tokens, passwords, keys, ICE passwords and certificate fingerprints."""
    for pattern, instead in _REDACTIONS:
        line = pattern.sub(instead, line)
    return line


def one_line(line: str) -> str:
    """Return ``line`` with control characters and direction overrides spelled out, so that a name is no line."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", line)


class _Render:
    """Last processor: one safe line."""

    def __init__(self, format: str) -> None:
        self._json = format == "json"
        self._renderer: Callable[[WrappedLogger, str, EventDict], object] = (
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
            if self._json
            else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
        )

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        if not self._json:
            event = {
                key: one_line(item) if isinstance(item, str) and key != "exception" else item
                for key, item in event.items()
            }
        return redact(str(self._renderer(logger, name, event)))


def start_logging(level: str, format: str, stream: TextIO | None = None) -> None:
    """Send every logger of the process to ``stream`` (standard error) as safe lines.

    Args:
        level: debug, info, warning or error.
        format: json or console.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _written_at,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Render(format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("asyncio", "aiohttp.access", "aioice", "aiortc"):
        logging.getLogger(noisy).setLevel(max(_LEVELS[level], logging.WARNING))


def _written_at(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event["at_ms"] = int(record.created * 1000)
    return event
