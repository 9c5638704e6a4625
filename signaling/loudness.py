"""How loud a voice is, and how it ranks among those who want the few voices a listener hears.

Pure.  A level is an RFC 6464 loudness in dBov, -127 (silence) to 0.  It jumps with every word, so voices
rank by an envelope of it: it rises only while the sound lasts, so that a cough stays below those who
speak, and it is held through the pauses of somebody who speaks, so that he keeps his slot.
"""

from __future__ import annotations

from dataclasses import dataclass

from .ids import Monotonic

SILENT_DBOV = -127
UNKNOWN_DBOV = -60
"""A voice without the level extension: below speech, above silence."""
QUIET_DBOV = -70
"""The envelope rises from here: below this nothing competes."""
RISE_DB_PER_S = 60.0
"""Speech at -30 dBov is as high as it gets after 0.7 s; 0.3 s of the loudest cough gets to -50."""
RISE_LONGEST_S = 0.25
"""A gap in the measurements is not loudness that lasted."""
HOLD_S = 2.0
"""A pause this long costs a speaker nothing."""
FALL_DB_PER_S = 15.0
STALE_S = 2.0
"""Who was not measured for this long is silent."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """Of one voice now, as it is told to a neighbour.  Both are dBov, -127..0."""

    level: int = UNKNOWN_DBOV
    """What it is: who speaks is decided by it."""
    rank: int = UNKNOWN_DBOV
    """Its envelope: who is heard is decided by it."""


UNKNOWN = Loudness()


@dataclass(frozen=True, slots=True)
class Voice:
    """One voice whose packets come to this node."""

    level: int
    at: Monotonic
    """When it was measured last."""
    peak: float
    """The envelope when it was last fed by the level, dBov."""
    peak_at: Monotonic


def begin(level: int, now: Monotonic, rank: int | None = None) -> Voice:
    """Return a voice measured for the first time.

    Args:
        level: dBov; what is outside -127..0 is taken as the nearer end.
        rank: What it has been told to rank, when it comes from another node: its envelope goes on from there.
    """
    level = _bounded(level)
    return Voice(level, now, float(min(level, QUIET_DBOV) if rank is None else _bounded(rank)), now)


def measure(voice: Voice, level: int, now: Monotonic) -> Voice:
    """Return the voice after another measurement, dBov."""
    level, envelope = _bounded(level), _envelope(voice, now)
    if level < envelope:
        return Voice(level, now, voice.peak, voice.peak_at)
    rise = RISE_DB_PER_S * min(now - voice.at, RISE_LONGEST_S)
    return Voice(level, now, min(float(level), max(envelope, QUIET_DBOV) + rise), now)


def loudness(voice: Voice, now: Monotonic) -> Loudness:
    """Return how loud it is now."""
    return Loudness(SILENT_DBOV if stale(voice, now) else voice.level, round(_envelope(voice, now)))


def stale(voice: Voice, now: Monotonic) -> bool:
    return now - voice.at >= STALE_S


def _bounded(dbov: int) -> int:
    return max(SILENT_DBOV, min(0, dbov))


def _envelope(voice: Voice, now: Monotonic) -> float:
    falling_s = max(0.0, now - voice.peak_at - HOLD_S)
    return max(float(SILENT_DBOV), voice.peak - FALL_DB_PER_S * falling_s)
