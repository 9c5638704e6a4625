"""Who is speaking in one conference, from the levels of its voices.

Pure.  Levels are RFC 6464 dBov, -127 (silence) to 0.  A speaker keeps the floor through short
pauses, and a challenger takes it only by being clearly louder for a while, so that pictures do
not jump at every cough.  One node decides for all that can hear each other: the uppermost of them; those
below take over what it says, since two that decide apart would keep two speakers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .ids import Monotonic, ParticipantId

SPEECH_DBOV = -50
"""At or above this a level counts as speech."""
MARGIN_DB = 6
"""How much louder a challenger must be while the present speaker speaks."""
TAKE_S = 0.6
"""How long a challenger must lead before the floor moves."""
NEVER = Monotonic(0.0)


@dataclass(frozen=True, slots=True)
class Floor:
    speaker: ParticipantId | None = None
    challenger: ParticipantId | None = None
    since: Monotonic = NEVER
    """When the challenger began to lead."""


def settle(floor: Floor, levels: Mapping[ParticipantId, int], now: Monotonic) -> Floor:
    """Return the floor after deciding who speaks.

    Args:
        levels: Of everybody in the conference who has a voice, dBov.
    """
    present = floor.speaker if floor.speaker in levels else None
    leader = _leader(levels, present, floor.challenger)
    if leader is None or leader == present:
        return Floor(present)
    if present is None:
        return Floor(leader)
    if leader != floor.challenger:
        return Floor(present, leader, now)
    if now - floor.since < TAKE_S:
        return floor
    return Floor(leader)


def _leader(
    levels: Mapping[ParticipantId, int], present: ParticipantId | None, challenger: ParticipantId | None
) -> ParticipantId | None:
    """Return who ought to speak: the loudest, unless the present speaker, or else the challenger, is nearly as loud."""
    speaking = {who: dbov for who, dbov in levels.items() if dbov >= SPEECH_DBOV}
    if not speaking:
        return present
    loudest = min(speaking, key=lambda who: (-speaking[who], who))
    for who in (present, challenger):
        if who in speaking and speaking[loudest] < speaking[who] + MARGIN_DB:
            return who
    return loudest
