"""Who is heard and who speaks in one conference at one node: what is measured, decided, and told to the neighbours.

Pure.  Voices whose packets come here are measured here, at each hop by itself; of the others this node knows
what the side they are on last offered (``LinkVoices``).  The speaker is decided by the uppermost node of those
that are linked, and told downwards (``LinkSpeaker``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from . import floor
from .floor import Floor
from .ids import Monotonic, NodeCode, ParticipantId, TrackId
from .loudness import SILENT_DBOV, Loudness, Voice, begin, loudness, measure, stale
from .seating import AUDIO, Known

CHANGE_S = 0.05
"""A side is told of other voices at most this often."""
LEVELS_S = 0.25
"""And of the same voices at other levels at most this often."""


@dataclass(frozen=True, slots=True)
class _Told:
    offered: Mapping[TrackId, Loudness] | None
    """None: it may not know what it was told."""
    at: Monotonic


class Conversation:
    """One conference at one node."""

    def __init__(self) -> None:
        self._ours: dict[TrackId, Voice] = {}
        self._carried: dict[TrackId, Voice] = {}
        """Of other nodes, coming here over links."""
        self._floor = Floor()
        self._told: dict[NodeCode, _Told] = {}
        self._told_speaker: dict[NodeCode, ParticipantId | None] = {}

    @property
    def speaker(self) -> ParticipantId | None:
        return self._floor.speaker

    def measured(self, track: TrackId, level: int, now: Monotonic) -> None:
        """The packets of a voice of this node say how loud it is, dBov."""
        known = self._ours.get(track)
        self._ours[track] = begin(level, now) if known is None else measure(known, level, now)

    def carried(self, track: TrackId, level: int, rank: int, now: Monotonic) -> None:
        """The packets of a voice that comes over a link say how loud it is, dBov; ``rank``: as its side told."""
        known = self._carried.get(track)
        fresh = known is not None and not stale(known, now)
        self._carried[track] = measure(known, level, now) if known and fresh else begin(level, now, rank)

    def heard(self, now: Monotonic) -> dict[TrackId, Loudness]:
        """Return the voices measured here; one of another node only while its packets come."""
        fresh = {track: voice for track, voice in self._carried.items() if not stale(voice, now)}
        return {track: loudness(voice, now) for track, voice in (self._ours | fresh).items()}

    def forget(self, tracks: Collection[TrackId], sides: Collection[NodeCode]) -> None:
        """Only these tracks and sides are there now."""
        for voices in (self._ours, self._carried):
            for track in voices.keys() - set(tracks):
                del voices[track]
        for told in (self._told, self._told_speaker):
            for side in told.keys() - set(sides):
                told.pop(side)

    def relink(self, side: NodeCode) -> None:
        """The link to ``side`` is a new one: it has been told nothing, or else the last may not have reached it."""
        told = self._told.get(side)
        if told is not None:
            self._told[side] = _Told(None, told.at)
        self._told_speaker.pop(side, None)

    # ---- who speaks -----------------------------------------------------------------------------

    def decide(self, tracks: Collection[Known], voices: Mapping[TrackId, Loudness], now: Monotonic) -> None:
        """Decide who speaks.

        Args:
            tracks: All tracks of the conference.
            voices: Those among which it chooses here; whoever is not in it is not heard, but keeps the floor.
        """
        levels: dict[ParticipantId, int] = {}
        for known in tracks:
            if known.track.kind == AUDIO and known.flows:
                found = voices.get(known.track.track)
                level = SILENT_DBOV if found is None else found.level
                levels[known.participant] = max(level, levels.get(known.participant, SILENT_DBOV))
        self._floor = floor.settle(self._floor, levels, now)

    def adopt(self, speaker: ParticipantId | None) -> None:
        """The node above has decided."""
        self._floor = Floor(speaker)

    # ---- what neighbours are told ---------------------------------------------------------------

    def voices_due(self, side: NodeCode, offered: Mapping[TrackId, Loudness], now: Monotonic) -> bool:
        """Return whether ``side`` is to be told this now; if so, count it as told."""
        told = self._told.get(side, _Told({}, Monotonic(now - LEVELS_S)))
        if told.offered == offered:
            return False
        news = told.offered is None or told.offered.keys() != offered.keys()
        if now - told.at < (CHANGE_S if news else LEVELS_S):
            return False
        self._told[side] = _Told(offered, now)
        return True

    def speaker_due(self, side: NodeCode) -> bool:
        """Return whether ``side`` does not know the speaker yet; if so, count it as told."""
        if side in self._told_speaker and self._told_speaker[side] == self.speaker:
            return False
        self._told_speaker[side] = self.speaker
        return True
