"""What a bad network does to one direction of a link: which packets arrive, when, and how often.

Pure: no socket, no clock.  Every choice comes from a seed, a generator of its own for each kind of fault, so that
the n-th packet is lost, copied or held back whatever the others' timing is.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from .kinds import kind

HEADER_BYTES = 28
"""IPv4 and UDP headers: a bottleneck carries them too."""
LOSSES = ("lost", "full", "dead", "big")
SEGMENT_BYTES = 1_400
RETRANSMIT_S = 0.2
"""Least wait of a TCP sender that repeats a lost segment (RFC 6298 says 1 s, Linux has 200 ms)."""
WAITS_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Impairment:
    """One direction of a link.

    Attributes:
        loss: Share of packets lost, 0..1.
        burst: Mean number of packets lost in a row (Gilbert 1960); 1: each is lost by itself.
        delay_ms: On the way, one way.
        jitter_ms: The way takes up to so much longer, slowly changing; packets keep their order.
        reorder: Share of packets held back by ``reorder_ms``, so that later ones overtake them, 0..1.
        duplicate: Share of packets that arrive twice, 0..1.
        rate_bps: Bottleneck; 0: none.
        queue_ms: What waits longer than this before the bottleneck is dropped.
        mtu_bytes: What is larger with its IPv4 and UDP headers is dropped and nobody is told; 0: no limit.
        dead: Nothing arrives.
    """

    loss: float = 0.0
    burst: float = 1.0
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    reorder: float = 0.0
    reorder_ms: float = 20.0
    duplicate: float = 0.0
    rate_bps: int = 0
    queue_ms: float = 400.0
    mtu_bytes: int = 0
    dead: bool = False


CLEAN = Impairment()
JITTER_STEP_S = 0.04
"""The extra delay moves to another value in this time: a queue on the way fills and drains."""


class Bottleneck:
    """A line of a given rate with one bounded queue before it; datagrams and streams share it."""

    def __init__(self, rate_bps: int, queue_ms: float) -> None:
        self.waits_ms: list[float] = []
        """What each packet waited before it was sent."""
        self._rate_bps = rate_bps
        self._queue_s = queue_ms / 1000
        self._free_at = 0.0

    def leaves(self, size: int, now: float, *, patient: bool = False) -> float | None:
        """Return when the last bit of ``size`` bytes has left, or None when the queue is full.

        ``patient``: a stream, which waits as long as it takes.
        """
        if self._rate_bps == 0:
            return now
        wait = max(0.0, self._free_at - now)
        if wait > self._queue_s and not patient:
            return None
        if len(self.waits_ms) < WAITS_KEPT:
            self.waits_ms.append(1000 * wait)
        self._free_at = now + wait + size * 8 / self._rate_bps
        return self._free_at


class Jitter:
    """An extra delay of 0..``most_ms`` that moves from one random value to the next in JITTER_STEP_S."""

    def __init__(self, most_ms: float, rng: random.Random) -> None:
        self._most_s = most_ms / 1000
        self._rng = rng
        self._step = -1
        self._from = self._to = 0.0
        self._last = 0.0

    def arrives(self, now: float) -> float:
        """Return when what leaves at ``now`` has come through, never before what left earlier."""
        if self._most_s == 0:
            return now
        step, part = divmod(now, JITTER_STEP_S)
        if int(step) != self._step:
            self._step = int(step)
            self._from, self._to = self._to, self._rng.uniform(0, self._most_s)
        extra = self._from + (self._to - self._from) * part / JITTER_STEP_S
        self._last = max(self._last, now + extra)
        return self._last


@dataclass
class Way:
    """One direction of a link as a machine: ``decide`` says what becomes of each packet.

    ``counts`` has passed, lost, full, dead, big, copied and held; ``octets`` what took room on the line, by kind.
    """

    impairment: Impairment
    seed: str
    bottleneck: Bottleneck | None = None
    counts: Counter[str] = field(default_factory=Counter)
    octets: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._loss, self._order, self._copy, self._retry, jitter = (
            random.Random(f"{self.seed} {kind}") for kind in ("loss", "order", "copy", "retry", "jitter")
        )
        self._jitter = Jitter(self.impairment.jitter_ms, jitter)
        self._bad = False
        if self.bottleneck is None:
            self.bottleneck = Bottleneck(self.impairment.rate_bps, self.impairment.queue_ms)

    def decide(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        """Return (when, packet) for each arrival of ``packet``, which was sent at ``now`` (s): none, one or two."""
        lost, held, copied = self._draw()
        if self.impairment.dead:
            return self._gone("dead")
        if 0 < self.impairment.mtu_bytes < len(packet) + HEADER_BYTES:
            return self._gone("big")
        assert self.bottleneck is not None
        left = self.bottleneck.leaves(len(packet) + HEADER_BYTES, now)
        if left is None:
            return self._gone("full")
        self.octets[kind(packet)] += len(packet) + HEADER_BYTES
        if lost:
            return self._gone("lost")
        at = self._jitter.arrives(left) + self.impairment.delay_ms / 1000
        self.counts["passed"] += 1
        if held:
            self.counts["held"] += 1
            at += self.impairment.reorder_ms / 1000
        if copied:
            self.counts["copied"] += 1
            return [(at, packet), (at + 0.001, packet)]
        return [(at, packet)]

    def stream(self, size: int, now: float, before: float = 0.0) -> float | None:
        """Return when ``size`` bytes of a TCP stream arrive that were sent at ``now``; None: never.

        A lost segment comes later, and all of its connection that follows waits for it: ``before`` is when the
        connection's last bytes arrive.
        """
        if self.impairment.dead:
            return None
        assert self.bottleneck is not None
        left = self.bottleneck.leaves(size + HEADER_BYTES, now, patient=True)
        assert left is not None
        self.octets["links"] += size + HEADER_BYTES
        late, wait = 0.0, max(RETRANSMIT_S, 4 * self.impairment.delay_ms / 1000)
        for _ in range(-(-size // SEGMENT_BYTES)):
            repeat = wait
            while self._retry.random() < self.impairment.loss and repeat < 60:
                late, repeat = late + repeat, 2 * repeat
        return max(before, left + late + self.impairment.delay_ms / 1000)

    @property
    def lost_share(self) -> float:
        """Of all packets decided on, those that did not arrive."""
        gone = sum(self.counts[kind] for kind in LOSSES)
        return gone / max(1, gone + self.counts["passed"])

    def _gone(self, why: str) -> list[tuple[float, bytes]]:
        self.counts[why] += 1
        return []

    def _draw(self) -> tuple[bool, bool, bool]:
        """Draw for every packet, also for one that another fault takes: fates do not depend on timing."""
        held = self._order.random() < self.impairment.reorder
        copied = self._copy.random() < self.impairment.duplicate
        return self._draw_loss(), held, copied

    def _draw_loss(self) -> bool:
        """Gilbert's model: a good state that loses nothing and a bad one that loses all.

        The bad state lasts ``burst`` packets in the mean and holds ``loss`` of all packets.  With burst 1 the
        states say nothing about the next packet: independent loss.
        """
        share, burst, chance = self.impairment.loss, self.impairment.burst, self._loss.random()
        if burst <= 1:
            return chance < share
        self._bad = chance >= 1 / burst if self._bad else chance < share / ((1 - share) * burst)
        return self._bad
