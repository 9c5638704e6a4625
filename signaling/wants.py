"""How large and how urgently somebody wants a picture, and what that comes to when several want it.

Pure.  The greatest height wins and the most urgent priority: a small picture somewhere never makes a large one
elsewhere smaller.  Where the large one cannot go on, or is too large for some, a small copy is wanted beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from math import inf

from .ids import Monotonic, TrackId

WHOLE = 0
"""The height of whoever wants the picture as large as there is."""
VOICE, SPEAKER, CONTENT, PINNED, REST = 0, 10, 20, 50, 100
"""Priorities: the lower is served first when a line is too narrow."""
SMALL = 90
"""The height of whoever has enough in the small copy of a picture, pixels: it is the least layer there is."""
KEPT_S = 60.0
"""So long a small copy is wanted after nobody needs it any more: to begin it takes a key frame on the whole way."""
RUNGS = (90, 180, 270, 360, 540, 720, 1080, 1440, 2160, 4320)
"""Heights that are told from each other, pixels: a window that is drawn larger does not say so at every step."""


@dataclass(frozen=True, slots=True)
class Want:
    height: int = WHOLE
    """Pixels, 1..4320, or WHOLE."""
    priority: int = REST
    """0..255."""
    small: bool = False
    """Whether the small copy is wanted too."""


Wants = Mapping[TrackId, Want]
LOUD = Want(WHOLE, VOICE)
"""How the voices are wanted that are heard for being loud."""


def rung(height: int) -> int:
    """Return the least rung that is at least ``height``, 1..4320."""
    return next(rung for rung in RUNGS if rung >= height)


def merge(one: Want, other: Want) -> Want:
    """Return what serves both."""
    whole = WHOLE in (one.height, other.height)
    return Want(
        WHOLE if whole else max(one.height, other.height),
        min(one.priority, other.priority),
        one.small or other.small or _modest(one) != _modest(other),
    )


def _modest(want: Want) -> bool:
    """Return whether the small copy is enough."""
    return want.height != WHOLE and want.height <= SMALL


def union(wanted: Iterable[tuple[TrackId, Want]]) -> dict[TrackId, Want]:
    """Return for each track what serves all who want it."""
    found: dict[TrackId, Want] = {}
    for track, want in wanted:
        known = found.get(track)
        found[track] = want if known is None else merge(known, want)
    return found


Kept = Mapping[TrackId, Monotonic]
"""Until when the small copy of each track is wanted; without end while somebody needs it."""


def keep(before: Kept, needed: Set[TrackId], now: Monotonic) -> Kept:
    """Return what is wanted now: what is ``needed``, and what was until ``KEPT_S`` ago."""
    until = {track: Monotonic(now + KEPT_S) if end == inf else end for track, end in before.items()}
    kept = {track: end for track, end in until.items() if end > now}
    return kept | dict.fromkeys(needed, Monotonic(inf))
