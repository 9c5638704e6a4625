"""How well one way of a connection works: from what was measured to a level from 0 to 4 and the reason.  Pure.

Levels: 4 as good as it gets, 3 good, 2 fair, 1 poor, 0 nothing arrives.  What is measured is judged five times,
and the worst judgement is the level:

* silent: nothing authentic for the engine's ``silent_ms``: 0.
* pictures: some are paused or come every few seconds: 2, all of them: 1; some are smaller than wanted: 3.  The
  reason is the line (``paused``, ``thumbnails``, ``slow``) or, while this gateway strains, the gateway (``busy``).
* loss while pictures flow: from 2 % on 3, from 5 % on 2, from 10 % on 1.  Retransmission hides much of it, and
  costs delay and bandwidth that then are missing.
* pictures that stood still on the receiver's own word: at all 3, for 5 % of the time 2, for 25 % 1.
* speech, by the E-model of ITU-T G.107: R = 93.2 - Id - Ie,eff, and the level from the categories of its
  annex B: from 80 on 4 ("satisfied"), from 70 on 3 ("some users dissatisfied"), from 60 on 2 ("many"), else 1.
  Id is Cole and Rosenbluth's fit of G.107 section 7.4 (ACM CCR 31(2), 2001) for delays below 400 ms:
  0.024 d + 0.11 (d - 177.3) for d > 177.3 ms.  Ie,eff = Ie + (95 - Ie) Ppl / (Ppl + Bpl) (G.107 equation 7-29,
  random loss).  G.113 gives no values for Opus; taken are Ie = 0 and Bpl = 25.1, those of G.711 with its
  appendix I concealment, which Opus does at least as well as.

The reason of the last judgement is the greatest impairment: ``loss``, ``far`` (round trip) or ``jitter``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace

BEST = 4
STEADY = 3
"""A better level is shown when it was seen this many times in a row; a worse one at once."""

PICTURE_LOSS = ((0.10, 1), (0.05, 2), (0.02, 3))
FROZEN = ((0.25, 1), (0.05, 2))
R_LEVELS = ((80.0, 4), (70.0, 3), (60.0, 2))
R_BEST = 93.2
BPL = 25.1
KNEE_MS = 177.3
FIXED_MS = 46.5
"""One packet of 20 ms and Opus' look-ahead of 6.5 ms (RFC 6716 section 2), and 20 ms in the receiver's buffer."""
JITTERS = 2.0
"""A receiver's buffer grows to about so many times the mean jitter."""


class Reason(enum.StrEnum):
    """Why a level is not the best; beside it percent, ms, ms, kbit/s, pictures, percent, strain, nothing."""

    WELL = ""
    LOSS = "loss"
    FAR = "far"
    JITTER = "jitter"
    SLOW = "slow"
    PAUSED = "paused"
    THUMBNAILS = "thumbnails"
    FROZEN = "frozen"
    BUSY = "busy"
    SILENT = "silent"
    LINK = "link"
    """Of somebody beyond a link: the link loses this many percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was measured of one way, up or down, in one interval.

    Args:
        loss: Share of the packets lost on the way, 0..1.
        rtt_ms: Round trip; 0 while unknown.
        jitter_ms: The worst stream's (RFC 3550 section 6.4.1).
        pictures: Video streams that flow or should.
        paused: Of those, not sent because they do not fit.
        thumbnails: Of those, sent every few seconds because no more fits.
        lowered: Of those, sent smaller than wanted because that is what fits.
        estimate_bps: What the path carries, 0 while unknown.
        strain: This gateway's, 0..3.
        frozen: Share of the time for which a picture stood still, 0..1.
        silent: Nothing is heard of the other end.
    """

    loss: float = 0.0
    rtt_ms: float = 0.0
    jitter_ms: float = 0.0
    pictures: int = 0
    paused: int = 0
    thumbnails: int = 0
    lowered: int = 0
    estimate_bps: int = 0
    strain: int = 0
    frozen: float = 0.0
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """A level 0..4, why it is not 4, and the number that goes with the reason."""

    level: int = BEST
    reason: Reason = Reason.WELL
    value: int = 0


def judge(reading: Reading) -> Verdict:
    """Return the worst of the judgements; of equal ones the first."""
    worst = min(_judgements(reading), key=lambda verdict: verdict.level)
    return worst if worst.level < BEST else Verdict()


def _judgements(reading: Reading) -> Iterator[Verdict]:
    if reading.silent:
        yield Verdict(0, Reason.SILENT)
    yield _fitting(reading)
    if reading.pictures:
        level = next((level for bar, level in PICTURE_LOSS if reading.loss >= bar), BEST)
        yield Verdict(level, Reason.LOSS, percent(reading.loss))
    if reading.frozen:
        level = next((level for bar, level in FROZEN if reading.frozen >= bar), 3)
        yield Verdict(level, Reason.FROZEN, _rounded(percent(reading.frozen)))
    yield _speech(reading)


def _fitting(reading: Reading) -> Verdict:
    """Judge whether the pictures that are wanted fit."""
    still = reading.paused + reading.thumbnails
    if still:
        level = 1 if still >= reading.pictures else 2
        why, value = (Reason.PAUSED, reading.paused) if reading.paused else (Reason.THUMBNAILS, still)
    elif reading.lowered:
        level, why, value = 3, Reason.SLOW, _two_digits(reading.estimate_bps // 1_000)
    else:
        return Verdict()
    return Verdict(level, Reason.BUSY, reading.strain) if reading.strain else Verdict(level, why, value)


def _speech(reading: Reading) -> Verdict:
    far, jitter, lost = reading.rtt_ms / 2, JITTERS * reading.jitter_ms, 100 * reading.loss
    delay = _delay_impairment(FIXED_MS + far + jitter)
    equipment = 95.0 * lost / (lost + BPL)
    r = R_BEST - delay - equipment
    level = next((level for bar, level in R_LEVELS if r >= bar), 1)
    if equipment >= delay:
        return Verdict(level, Reason.LOSS, percent(reading.loss))
    if far >= jitter:
        return Verdict(level, Reason.FAR, _tens(reading.rtt_ms))
    return Verdict(level, Reason.JITTER, _tens(reading.jitter_ms))


def _delay_impairment(delay_ms: float) -> float:
    return 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - KNEE_MS)


def percent(share: float) -> int:
    """Return 0..1 as whole percent; what is not nothing is at least 1."""
    return 0 if share <= 0 else max(1, round(100 * min(1.0, share)))


def _tens(milliseconds: float) -> int:
    return 10 * round(milliseconds / 10)


def _rounded(share: int) -> int:
    """Return whole percent as 1, 5, 10, 20 and so on, so that it does not change with every look."""
    return share // 10 * 10 if share >= 10 else 5 if share >= 5 else 1


def _two_digits(number: int) -> int:
    """Return ``number`` with its two leading digits, so that it does not change with every look."""
    unit = int("1".ljust(len(str(number)) - 1, "0"))
    return number // unit * unit


@dataclass(frozen=True, slots=True)
class Meter:
    """What is shown of one way: falls at once, rises when it was better for a while."""

    shown: Verdict | None = None
    better: tuple[Verdict, ...] = ()
    """The latest verdicts, all above what is shown."""

    def take(self, verdict: Verdict) -> Meter:
        """Return the meter after ``verdict``; it rises to the lowest of the better ones."""
        if self.shown is None or verdict.level <= self.shown.level:
            return Meter(verdict)
        better = (*self.better, verdict)
        if len(better) < STEADY:
            return replace(self, better=better)
        return Meter(min(better, key=lambda one: one.level))
