"""The only door to the native packet engine: its events on the event loop, its calls with types.

Events cross as small frozen values.  A handler that raises is a bug of ours: it is logged, and the next
event is handled.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, cast

from . import stats
from .answer import Codec, Extension, Kind

log = logging.getLogger(__name__)

EVENTS_PER_TURN = 1_024
Coming = Literal["flows", "thumbnails", "paused"]
"""How a picture comes: as it is wanted, as a keyframe every few seconds, or not at all."""


@dataclass(frozen=True, slots=True)
class Path:
    """An authenticated ICE check arrived from a new address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Nominated:
    """The pair in use."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Dtls:
    """A DTLS datagram from a verified path."""

    datagram: bytes


@dataclass(frozen=True, slots=True)
class Silent:
    """Nothing authenticated arrived for the engine's ``silent_ms``."""


@dataclass(frozen=True, slots=True)
class Alive:
    """Authenticated traffic again after ``Silent``."""


Event = Path | Nominated | Dtls | Silent | Alive
Handler = Callable[[Event], None]
Levels = tuple[tuple[int, int], ...]

_EVENTS: Mapping[str, Callable[..., Event]] = {
    "path": Path,
    "nominated": Nominated,
    "dtls": Dtls,
    "silent": Silent,
    "alive": Alive,
}


class Native(Protocol):
    """What we use of ``media._native.Engine``; the other implementation is the tests' engine in memory."""

    @property
    def port(self) -> int: ...
    def event_fd(self) -> int: ...
    def poll_events(self, limit: int = 1024) -> list[tuple[Any, ...]]: ...
    def close(self) -> None: ...
    def add_transport(
        self,
        transport: int,
        *,
        local_ufrag: str,
        local_pwd: str,
        remote_ufrag: str,
        remote_pwd: str,
        controlling: bool,
        candidates: Sequence[tuple[str, int]] = (),
        extensions: Sequence[tuple[Extension, int]] = (),
        group: str = "",
    ) -> None: ...
    def restart_ice(
        self, transport: int, *, local_ufrag: str, local_pwd: str, remote_ufrag: str, remote_pwd: str
    ) -> None: ...
    def adopt_stream(self, fd: int) -> None: ...
    def dial_stream(self, transport: int, fd: int) -> None: ...
    def set_keys(
        self, transport: int, profile: Any, *, rx_key: bytes, rx_salt: bytes, tx_key: bytes, tx_salt: bytes
    ) -> None: ...
    def send_dtls(self, transport: int, datagram: bytes) -> None: ...
    def drop_transport(self, transport: int) -> None: ...
    def add_source(
        self,
        source: int,
        transport: int,
        *,
        kind: Kind,
        mid: str | None,
        ssrcs: Sequence[tuple[int, int | None]],
        rids: Sequence[str],
        codecs: Sequence[tuple[int, Codec, int | None]],
    ) -> None: ...
    def drop_source(self, source: int) -> None: ...
    def add_sink(
        self,
        sink: int,
        transport: int,
        *,
        kind: Kind,
        mid: str | None,
        ssrc: int,
        rtx_ssrc: int | None,
        cname: str,
        codecs: Sequence[tuple[Codec, int, int | None]],
    ) -> None: ...
    def drop_sink(self, sink: int) -> None: ...
    def route(self, sink: int, source: int | None) -> None: ...
    def want(self, sink: int, height: int, priority: int, beside: int | None = None) -> None: ...
    def request_keyframe(self, source: int) -> None: ...
    def keyframe(self, source: int) -> tuple[Codec, bytes] | None: ...
    def strain(self, level: int) -> None: ...
    def worker_cpu_ns(self) -> list[int]: ...
    def stats(self) -> dict[str, Any]: ...


class _Closed:
    """Stands where the native engine was."""

    def __getattr__(self, name: str) -> Any:
        from . import _native

        raise _native.EngineError("the engine is closed")


class Engine:
    """The node's packet engine as an object of the event loop.

    ``native`` is for calls; ids are drawn with ``new_id`` and never used again.
    """

    def __init__(self, native: Native) -> None:
        self.native = native
        self.on_levels: Callable[[Levels], None] | None = None
        """Called with (source, dBov -127..0) pairs."""
        self.on_started: Callable[[int, str], None] | None = None
        """Called with (source, codec) when a source's first packet came or its codec changed."""
        self.on_video: Callable[[int, Coming], None] | None = None
        """Called with (sink, coming) when a sink's pictures come otherwise than before, for want of bandwidth."""
        self._plain = False
        self._handlers: dict[int, Handler] = {}
        self._last_id = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @classmethod
    def open(cls, hosts: Sequence[str], port: int, **limits: int) -> Self:
        """Bind ``port`` (0: any) on every host; ``limits`` are those of ``_native.Engine``.

        Raises:
            OSError: An address cannot be bound.
        """
        from . import _native

        return cls(_native.Engine(hosts, port, **limits))

    @property
    def port(self) -> int:
        return self.native.port

    def start(self) -> None:
        """Deliver events on the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.native.event_fd(), self._drain)

    def close(self) -> None:
        """Stop the worker.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            self._loop.remove_reader(self.native.event_fd())
        self.native.close()
        self.native = cast(Native, _Closed())  # its descriptors go with it, whoever still holds this object

    def new_id(self) -> int:
        """Draw an id for a transport, source or sink."""
        self._last_id += 1
        return self._last_id

    def on(self, transport: int, handler: Handler) -> None:
        """Send the transport's events to ``handler``."""
        self._handlers[transport] = handler

    def drop_transport(self, transport: int) -> None:
        """Forget a transport with its sources, sinks and handler."""
        self._handlers.pop(transport, None)
        if not self._closed:
            self.native.drop_transport(transport)

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        """Send on the transport's path in use; nothing leaves a closed engine."""
        if not self._closed:
            self.native.send_dtls(transport, datagram)

    def route(self, sink: int, source: int | None) -> None:
        """Feed ``sink`` from ``source``, or pause it."""
        self.native.route(sink, source)

    def want(self, sink: int, height: int, priority: int, beside: int | None = None) -> None:
        """Say how many lines (0..4320, 0: all there are) the sink's viewer has use for; see ``_native.Engine.want``."""
        self.native.want(sink, height, priority, beside)

    def request_keyframe(self, source: int) -> None:
        self.native.request_keyframe(source)

    def keyframe(self, source: int) -> tuple[Codec, bytes] | None:
        """The newest whole keyframe of a source, as its decoder takes it; see ``_native.Engine.keyframe``."""
        return self.native.keyframe(source)

    def strain(self, level: int) -> None:
        """Make every picture smaller, 0..3 steps; see ``_native.Engine.strain``.  Nothing on a closed engine."""
        if not self._closed:
            self.native.strain(level)

    def worker_cpu_ns(self) -> list[int]:
        """Processor time of each packet worker, nanoseconds; () of a closed engine."""
        return [] if self._closed else self.native.worker_cpu_ns()

    def stats(self) -> stats.Stats:
        return stats.read(self.native.stats())

    def _drain(self) -> None:
        events = self.native.poll_events(EVENTS_PER_TURN)
        for event in events:
            try:
                self._deliver(event)
            except Exception:
                log.exception("engine event handler failed", extra={"event": event[0]})
        if len(events) == EVENTS_PER_TURN and self._loop is not None and not self._closed:
            self._loop.call_soon(self._drain)

    def _deliver(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("started", int(source), str(codec)):
                if self.on_started is not None:
                    self.on_started(source, codec)
            case ("video", int(sink), "flows" | "thumbnails" | "paused" as coming):
                if self.on_video is not None:
                    self.on_video(sink, coming)
            case ("no_gso",):
                if not self._plain:
                    log.warning("no segmentation offload: every datagram is sent by itself")
                self._plain = True
            case ("levels", levels):
                if self.on_levels is not None:
                    self.on_levels(levels)
            case (str(name), int(transport), *values):
                handler = self._handlers.get(transport)
                if handler is not None:
                    handler(_EVENTS[name](*values))


def bench_relay(
    *,
    subscribers: int,
    shape: Literal["broadcast", "meeting"],
    kind: Kind,
    payload_bytes: int,
    seconds: float,
    seed: int,
    uneven: bool = False,
    workers: int = 1,
    packets_per_s: float | None = None,
) -> dict[str, float]:
    """Engine cost per forwarded packet beside its floor; see ``_native.bench_relay``."""
    from . import _native

    return _native.bench_relay(
        subscribers=subscribers, shape=shape, kind=kind, payload_bytes=payload_bytes, seconds=seconds, seed=seed,
        uneven=uneven, workers=workers, packets_per_s=packets_per_s,
    )  # fmt: skip


def bench_hops(*, nodes: int, seconds: float, rate_per_s: int | None, seed: int) -> dict[str, float]:
    """Latency added by each hop; see ``_native.bench_hops``."""
    from . import _native

    return _native.bench_hops(nodes=nodes, seconds=seconds, rate_per_s=rate_per_s, seed=seed)
