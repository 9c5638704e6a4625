"""The packet engine, as Python sees it: transports, sources, sinks, routes, events, counters.

Nothing per packet crosses this door.  Ids are small ints chosen by the caller, unique per engine
and never reused while it lives.  Every call is thread-safe, returns at once and takes effect in
order on the workers it concerns.  ``media/engine.py`` is the only importer.
"""

from collections.abc import Sequence
from typing import Any, Literal, final

__all__ = ["Codec", "Engine", "EngineError", "Event", "Extension", "Kind", "Profile", "bench_hops", "bench_relay"]

Kind = Literal["audio", "video"]
Codec = Literal["opus", "vp8", "h264", "vp9", "av1"]
Profile = Literal["AEAD_AES_128_GCM", "AES128_CM_HMAC_SHA1_80"]
Extension = Literal[
    "mid",
    "rid",
    "repaired_rid",
    "audio_level",
    "abs_send_time",
    "twcc",
    "video_orientation",
    "playout_delay",
    "dependency_descriptor",
]

Event = tuple[Any, ...]
"""One of:

* ``("path", transport, ip, port)``: an authenticated ICE check arrived from a new address.
* ``("nominated", transport, ip, port)``: the pair in use (USE-CANDIDATE seen, or our own check answered).
* ``("dtls", transport, datagram)``: a DTLS datagram from a verified path of that transport.
* ``("silent", transport)``: nothing authenticated arrived for ``silent_ms``.
* ``("alive", transport)``: authenticated traffic again after ``silent``.
* ``("started", source, codec)``: the first authenticated packet of a source (or its codec changed).
* ``("levels", ((source, dbov), ...))``: at most every 200 ms, sources whose smoothed RFC 6464 level
  is known; dbov in -127 (silence) .. 0.
* ``("video", sink, coming)``: the receiver's path has no room for the sink's pictures (sound goes on): they come
  as ``"thumbnails"``, a keyframe every few seconds, or are ``"paused"``; or it has room again: ``"flows"``.  Only
  for peers that say what their path carries: transport-wide feedback or REMB.
* ``("no_gso",)``: the kernel or a path refuses segmentation offload; every datagram is sent by itself from now
  on.  Once per worker.
"""

class EngineError(ValueError):
    """An unknown or duplicate id, or a value out of range.  ``args[0]`` is the sentence."""

@final
class Engine:
    """One node's UDP port and the workers that serve it.

    Every transport lives on one worker; ids, events and counters are those of the whole.
    """

    def __new__(
        cls,
        hosts: Sequence[str],
        port: int,
        *,
        gather_us: int = 1000,
        cache_packets: int = 1024,
        max_ssrcs: int = 16,
        max_sinks: int = 64,
        max_transports: int = 10_000,
        silent_ms: int = 3_000,
        packet_rate: int = 20_000,
        source_rate: int = 3_000,
        max_streams: int = 1_024,
        streams_per_address: int = 64,
        workers: int = 1,
    ) -> Engine:
        """Bind ``port`` (0: any) on every host (IPv4 or IPv6 literal) and start the workers.

        Args:
            max_ssrcs: SSRCs per transport kept besides those ``add_source`` declares; when there are
                more, one idle for 10 s makes room.
            silent_ms: So long may nothing authentic come from a peer, or, when we are controlling, none of our
                checks be answered, until it counts as silent and is sent nothing but checks (RFC 7675).
            packet_rate: Packets one transport may bring in a second; more are dropped before anything is computed
                for them, and counted.  A quarter may be RTCP, 200 each may be checks and DTLS.
            source_rate: Packets of one source, layers and repairs together, that go on to its viewers in a second.
            max_streams: TCP connections served at a time; ``streams_per_address``: of one address.
            workers: Threads that share the port, 1..64; 0: one per processor, at most 2.

        Raises:
            OSError: An address cannot be bound.
        """

    @property
    def port(self) -> int: ...
    def event_fd(self) -> int:
        """A descriptor that is readable while events wait.  ``poll_events`` clears it."""

    def poll_events(self, limit: int = 1024) -> list[Event]: ...
    def close(self) -> None:
        """Stop the workers and close the sockets.  Idempotent."""

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
    ) -> None:
        """Accept ICE checks for ``local_ufrag``; when ``controlling``, also send them to ``candidates``.

        Transports of one ``group`` (a conference) live on one worker until they are more than one can serve.
        """

    def restart_ice(
        self, transport: int, *, local_ufrag: str, local_pwd: str, remote_ufrag: str, remote_pwd: str
    ) -> None:
        """Give a transport new credentials (RFC 8445 section 9); keys, sources and sinks stay.

        It goes on sending where it did until the peer is heard with the new ones; until then the old ones are
        good too.
        """

    def adopt_stream(self, fd: int) -> None:
        """Serve a connected TCP socket whose bytes are RFC 4571 frames, none of them read yet (ICE-TCP).

        ``fd`` is duplicated; the caller closes its own.  To transports it is one more path.  It is closed when
        it brings a frame over 2048 bytes, when nothing on it was answered for 10 s, and when it is stuck.

        Raises:
            OSError: Not a connected socket.
        """

    def dial_stream(self, transport: int, fd: int) -> None:
        """Take a connected TCP socket as by ``adopt_stream``, and check the peer of a controlling transport there.

        It checks nowhere else from now on; media goes where it went until a check on the stream is answered.

        Raises:
            OSError: Not a connected socket.
        """

    def set_keys(
        self, transport: int, profile: Profile, *, rx_key: bytes, rx_salt: bytes, tx_key: bytes, tx_salt: bytes
    ) -> None:
        """Install SRTP master keys (16 bytes) and salts (12 for GCM, 14 for CM); RFC 3711, RFC 7714."""

    def send_dtls(self, transport: int, datagram: bytes) -> None:
        """Send on the transport's path in use; dropped and counted while there is none."""

    def drop_transport(self, transport: int) -> None:
        """Forget a transport with its sources and sinks.  Unknown ids are ignored."""

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
    ) -> None:
        """Describe what will arrive.

        Args:
            ssrcs: (ssrc, rtx_ssrc) pairs declared by the peer; may be empty (then mid, else payload type).
            rids: Simulcast layers, lowest first; empty when there is one layer.
            codecs: (payload type, codec, repair payload type) as the peer sends them.  Repair is RTX
                (RFC 4588) for pictures, RED (RFC 2198) on the same SSRC for sound.
        """

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
    ) -> None:
        """Describe a slot: one outgoing SSRC that some source may feed.

        Args:
            codecs: (codec, payload type, repair payload type), repair as in ``add_source``.  Sound goes out
                as RED only while the peer reports more than 5 % of it lost.
        """

    def drop_sink(self, sink: int) -> None: ...
    def route(self, sink: int, source: int | None) -> None:
        """Feed ``sink`` from ``source``, or pause it.

        Video starts at the source's next keyframe, which is asked for; a sink that was sent nothing
        newer starts at once from a cached one at most 2 s old.
        """

    def want(self, sink: int, height: int, priority: int, beside: int | None = None) -> None:
        """Say what the sink's viewer has use for.

        Args:
            height: Lines of picture, 0..4320; the smallest layer at least as high is sent, 0 asks for the highest.
            priority: 0..255, lower is served first when the path has not room for all; 100 unless said.
            beside: A sink that brings the same viewer the same source larger.  Then this one sends nothing while
                there is one size only, or that one sends what this one would.
        """

    def strain(self, level: int) -> None:
        """Send every picture ``level`` (0..3) steps lower than it could be; at 3 also pause those whose priority
        is above 10.  Sound is not touched."""

    def worker_cpu_ns(self) -> list[int]:
        """Processor time each worker has used, nanoseconds; does not wait for a worker.  Empty when closed."""

    def request_keyframe(self, source: int) -> None: ...
    def keyframe(self, source: int) -> tuple[Codec, bytes] | None:
        """The newest whole keyframe; None if none yet.

        A VP8 or VP9 frame (of several spatial layers: a superframe), H.264 in Annex B with its SPS and PPS, or an
        AV1 temporal unit.
        """

    def stats(self) -> dict[str, Any]:
        """Counters, see ``media/stats.py``: ``{"engine": {...}, "transports": {id: {...}}, "sources":
        {id: {...}}, "sinks": {id: {...}}, "workers": {number: {...}}}``; integers only, monotone unless named
        ``*_now``."""

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
    """Engine CPU per forwarded packet on loopback beside the floor "encrypt + one sendto"; see ``wuji bench relay``.

    Args:
        subscribers: 1..2000; in meetings of 20 terminals 2..2000, each receiving 9 sources.
        seconds: How long the load itself runs; floor, bare sending, saturation and a run for receivers that
            take trains of datagrams whole need about three times as long again, and a few seconds.
        uneven: The later half of each frame's packets are one octet longer.
        workers: 1..64.
        packets_per_s: What is offered to all receivers together, 1e3..1e7; None: the shape's own, at most 100,000.

    Returns:
        us_per_packet, floor_us_per_packet and their ratio; bare_us_per_packet, what nothing but encryption and
        sending costs in trains as long as the engine's, and bare_ratio, what part of the floor that is: the rest
        of ratio is the engine's own; us_per_packet_trains and ratio_trains, the engine's for receivers with
        UDP_GRO, to whom the sender's thread hands trains uncut; packets_per_send; the load (packets_per_s) and
        what part of a core it took of the busiest worker (worker_share), of whoever sends and of whoever receives;
        loss at the receivers, 0..1; then, the rate raised until a worker's core is full or packets are lost,
        packets_per_s_per_core, with what was reached (saturated_packets_per_s, saturated_worker_share,
        saturated_loss).  Of either load, the second's prefixed with saturated_: lost_*, shares of what was offered
        by the place where they were lost, of which lost_uncounted is none (in the engine, and between it and the
        receivers); worker_N_*, what each worker did.  p50_ms and p99_ms from leaving the sender until arriving in
        the receiver's kernel, under the load.
    """

def bench_hops(*, nodes: int, seconds: float, rate_per_s: int | None, seed: int) -> dict[str, float]:
    """Latency added by each of ``nodes`` engines in a chain; see ``wuji bench hops``.

    Args:
        rate_per_s: Packets sent evenly in a second, 1..100000; None: half of what the chain carries.

    Returns:
        rate_per_s, sent, loss, busiest_worker_share; for each hop its own hopN_p50_ms and hopN_p99_ms; over all
        hops p50_ms_per_hop and p99_ms_per_hop, and p99_ms_worst_hop; p50_ms and p99_ms of the whole chain.
    """
