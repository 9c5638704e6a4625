"""Who speaks in each conference: levels come from the engine and over links, and go out to the neighbours.

The rules are ``signaling/floor.py``.  Only levels of our own connections are taken from the engine; those
of others come over the link on whose side they are, so that each is heard once.
"""

from __future__ import annotations

from collections.abc import Mapping

from media.engine import Levels
from signaling import floor
from signaling.conference import AUDIO
from signaling.floor import Floor
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import LinkLevels

from .clock import Clock
from .switching import Switching

LEVELS_TOLD = 8


class Floors:
    """The floors of all conferences of one node."""

    def __init__(self, clock: Clock, switching: Switching) -> None:
        self._clock = clock
        self._switching = switching
        self._floors: dict[ConferenceId, Floor] = {}

    def speaker(self, conference: ConferenceId) -> ParticipantId | None:
        known = self._floors.get(conference)
        return None if known is None else known.speaker

    def loudness(self, conference: ConferenceId) -> dict[TrackId, int]:
        """Return the known levels, dBov."""
        known = self._floors.get(conference, Floor())
        return {track: dbov for track, (dbov, _) in known.levels.items()}

    def forget(self, conference: ConferenceId) -> None:
        self._floors.pop(conference, None)

    def levels(self, levels: Levels) -> None:
        """The engine measured (source, dBov)."""
        heard: dict[ConferenceId, dict[TrackId, int]] = {}
        for source, dbov in levels:
            owner = self._switching.owner(source)
            if owner is not None:
                guest, track = owner
                heard.setdefault(guest.seat.conference, {})[track] = dbov
        for conference, found in heard.items():
            self._hear(conference, found)

    def link_levels(self, peer: NodeCode, said: LinkLevels) -> None:
        """A neighbour said how loud it is on its side."""
        tracks = self._switching.plan.tracks
        levels = {
            track: dbov
            for track, dbov in said.levels[:LEVELS_TOLD]
            if (known := tracks.get(track)) is not None and (known.side, known.conference) == (peer, said.conference)
        }
        if levels:
            self._hear(said.conference, levels)

    def _hear(self, conference: ConferenceId, levels: Mapping[TrackId, int]) -> None:
        known = self._floors.get(conference, Floor())
        self._floors[conference] = floor.hear(known, levels, self._clock.now())

    def settle(self, conference: ConferenceId) -> ParticipantId | None:
        """Decide who speaks, tell the neighbours how loud it is on our side, and return the speaker."""
        now = self._clock.now()
        known = self._switching.plan.tracks.values()
        tracks = {k.track.track: k for k in known if k.conference == conference and k.track.kind == AUDIO}
        voices = {track: k.participant for track, k in tracks.items() if k.flows}
        before = self._floors.get(conference, Floor())
        settled = self._floors[conference] = floor.settle(floor.hear(before, {}, now), voices, now)
        loud = sorted(((t, dbov) for t, (dbov, _) in settled.levels.items() if t in tracks), key=lambda item: -item[1])
        for peer, trunk in self._switching.trunks.items():
            told = tuple(item for item in loud if tracks[item[0]].side != peer)[:LEVELS_TOLD]
            if told and self._switching.knows(peer, conference):
                trunk.port.say(LinkLevels(conference=conference, levels=told), ("levels", conference))
        if loud or settled.speaker != before.speaker:
            self._switching.unsettled()
        return settled.speaker
