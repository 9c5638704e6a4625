"""Who is speaking in one conference, from the levels the engines report.

Pure.  Levels are RFC 6464 dBov, -127 (silence) to 0.  A speaker keeps the floor through short
pauses, and a challenger takes it only by being clearly louder for a while, so that pictures do
not jump at every cough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .ids import Monotonic, ParticipantId, TrackId

SPEECH_DBOV = -50
"""At or above this a level counts as speech."""
UNKNOWN_DBOV = -60
"""Where a track without the level extension ranks: below speech, above silence."""
STALE_S = 2.0
"""A level older than this says nothing."""
MARGIN_DB = 6
"""How much louder a challenger must be while the present speaker speaks."""
TAKE_S = 0.6
"""How long a challenger must lead before the floor moves."""
NEVER = Monotonic(0.0)


@dataclass(frozen=True, slots=True)
class Floor:
    levels: Mapping[TrackId, tuple[int, Monotonic]] = field(default_factory=dict)
    speaker: ParticipantId | None = None
    challenger: ParticipantId | None = None
    since: Monotonic = NEVER
    """When the challenger began to lead."""


def hear(floor: Floor, levels: Mapping[TrackId, int], now: Monotonic) -> Floor:
    """Return the floor with newer levels; stale ones are dropped."""
    kept = {track: heard for track, heard in floor.levels.items() if now - heard[1] < STALE_S}
    kept.update((track, (max(-127, min(0, dbov)), now)) for track, dbov in levels.items())
    return replace(floor, levels=kept)


def loudness(floor: Floor, track: TrackId) -> int:
    """Return the level by which ``track`` ranks, dBov."""
    known = floor.levels.get(track)
    return UNKNOWN_DBOV if known is None else known[0]


def settle(floor: Floor, voices: Mapping[TrackId, ParticipantId], now: Monotonic) -> Floor:
    """Return the floor after deciding who speaks.

    Args:
        voices: The unmuted audio tracks of everybody in the conference, and whose they are.
    """
    heard: dict[ParticipantId, int] = {}
    for track, participant in voices.items():
        known = floor.levels.get(track)
        if known is not None and now - known[1] < STALE_S:
            heard[participant] = max(known[0], heard.get(participant, -127))
    present = floor.speaker if floor.speaker in voices.values() else None
    leader = _leader(heard, present)
    if leader is None or leader == present:
        return replace(floor, speaker=present, challenger=None)
    if present is None:
        return replace(floor, speaker=leader, challenger=None)
    if leader != floor.challenger:
        return replace(floor, speaker=present, challenger=leader, since=now)
    if now - floor.since < TAKE_S:
        return replace(floor, speaker=present)
    return replace(floor, speaker=leader, challenger=None)


def _leader(heard: Mapping[ParticipantId, int], present: ParticipantId | None) -> ParticipantId | None:
    """Return who ought to speak: the loudest, unless the present speaker is nearly as loud."""
    speaking = {who: dbov for who, dbov in heard.items() if dbov >= SPEECH_DBOV}
    if not speaking:
        return present
    loudest = min(speaking, key=lambda who: (-speaking[who], who))
    if present in speaking and speaking[loudest] < speaking[present] + MARGIN_DB:
        return present
    return loudest
