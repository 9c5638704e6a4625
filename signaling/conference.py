"""Who is where in the conferences of one node, what each slot shows, and what each link must carry.

Pure.  The node knows its own participants (``Seat``) and, per neighbour, who is on that side
(``LinkRosters``) and which tracks that side wants (``LinkWant``).  Everything else is derived by
``settle`` as *sets*: saying or doing them twice changes nothing, and a lost link is mended by saying
them again.  The tree is the multicast: a track crosses a link at most once, and only while somebody
beyond the link wants it; beside a picture its small copy may cross, for those to whom the large one cannot go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

from .ids import ConferenceId, Monotonic, NodeCode, ParticipantId, TrackId
from .loudness import UNKNOWN, Loudness
from .messages import ParticipantView
from .seating import AUDIO, Known, Offer, Seat, Seating, loudest, offer, seat_of
from .wants import VOICE, Kept, Want, Wants, keep, union

OFFERED = 3
"""Voices that one side offers another: a listener hears no more, and so no link carries more."""
BEGINNING = Monotonic(0.0)


@dataclass(frozen=True, slots=True)
class Side:
    """What a neighbour last said."""

    rosters: Mapping[ConferenceId, tuple[ParticipantView, ...]] = field(default_factory=dict)
    voices: Mapping[ConferenceId, Mapping[TrackId, Loudness]] = field(default_factory=dict)
    """The loudest of its side, which it offers."""
    wants: Wants = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Room:
    """What the derivation needs to know of one conference beside who is in it."""

    concerned: frozenset[NodeCode]
    """Neighbours that take part or lie on the way to somebody who does."""
    speaker: ParticipantId | None = None
    heard: Mapping[TrackId, Loudness] = field(default_factory=dict)
    """The voices that are measured here, for their packets come here."""


Rosters = Mapping[ConferenceId, tuple[ParticipantView, ...]]
Voices = Mapping[ConferenceId, Mapping[TrackId, Loudness]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that follows from the state."""

    seatings: Mapping[ParticipantId, Seating]
    wants: Mapping[NodeCode, Wants]
    carries: Mapping[NodeCode, Wants]
    rosters: Mapping[NodeCode, Rosters]
    offers: Mapping[NodeCode, Voices]
    """The voices each side is offered, loudest first, of every conference that concerns it."""
    voices: Voices
    """The voices among which each conference chooses here."""
    present: Rosters
    tracks: Mapping[TrackId, Known]
    until: Monotonic
    """When this no longer holds though nothing else changes; infinite: never."""


class Cascade:
    """The conferences of one node."""

    def __init__(self) -> None:
        self.seats: dict[ParticipantId, Seat] = {}
        self.sides: dict[NodeCode, Side] = {}
        self._seatings: Mapping[ParticipantId, Seating] = {}
        self._offers: Mapping[NodeCode, Voices] = {}
        self._smalls: Kept = {}

    def sit(self, seat: Seat) -> None:
        """A participant came, or changed its pins or tracks."""
        self.seats[seat.view.participant] = seat

    def leave(self, participant: ParticipantId) -> None:
        self.seats.pop(participant, None)

    def side_up(self, neighbour: NodeCode) -> None:
        """A link is up; nothing is known of its side yet."""
        self.sides[neighbour] = Side()

    def side_down(self, neighbour: NodeCode) -> None:
        self.sides.pop(neighbour, None)

    def roster(self, neighbour: NodeCode, conference: ConferenceId, people: tuple[ParticipantView, ...]) -> None:
        """``neighbour`` said who is on its side; replaces what it said before."""
        side = self.sides.get(neighbour)
        if side is None:
            return
        self.sides[neighbour] = replace(side, rosters=_with(side.rosters, conference, people))

    def voices(self, neighbour: NodeCode, conference: ConferenceId, offered: Mapping[TrackId, Loudness]) -> None:
        """``neighbour`` said which voices are the loudest on its side; replaces what it said before."""
        side = self.sides.get(neighbour)
        if side is not None:
            self.sides[neighbour] = replace(side, voices=_with(side.voices, conference, offered))

    def wants(self, neighbour: NodeCode, wants: Wants) -> None:
        """``neighbour`` said what it wants; replaces what it said before."""
        side = self.sides.get(neighbour)
        if side is not None:
            self.sides[neighbour] = replace(side, wants=wants)

    def settle(
        self,
        rooms: Mapping[ConferenceId, Room],
        narrow: Set[TrackId] = frozenset(),
        now: Monotonic = BEGINNING,
    ) -> Plan:
        """Return what follows.  A conference that is not in ``rooms`` has ended or is not known yet.

        Args:
            narrow: Pictures that somebody gets smaller than wanted, or not at all, because a line is too narrow.
            now: For how long small copies are wanted beyond their need.
        """
        people = {room: self._present(room) for room in rooms}
        tracks = _tracks(people)
        offers = {room: self._offer(room, rooms[room], people[room], tracks) for room in rooms}
        seatings = self._seatings = {
            who: seat_of(seat, offers[seat.conference], self._seatings.get(who, Seating()))
            for who, seat in self.seats.items()
            if seat.conference in rooms
        }
        self._offers = {side: self._offered(side, rooms, offers) for side in self.sides}
        carries = {side: self._carried(side, rooms, tracks) for side in self.sides}
        return Plan(
            seatings=seatings,
            wants=self._wanted(seatings, carries, tracks, narrow, now),
            carries=carries,
            rosters={side: _told(side, rooms, people) for side in self.sides},
            offers=self._offers,
            voices={room: found.loudness for room, found in offers.items()},
            present={room: tuple(view for view, _ in found) for room, found in people.items()},
            tracks=tracks,
            until=min((end for end in self._smalls.values() if end > now), default=Monotonic(inf)),
        )

    def _present(self, conference: ConferenceId) -> list[tuple[ParticipantView, NodeCode | None]]:
        """Return everybody in join order (ids sort by time) with the side each is on; here before elsewhere."""
        found: dict[ParticipantId, tuple[ParticipantView, NodeCode | None]] = {}
        for seat in self.seats.values():
            if seat.conference == conference and not seat.hidden:
                found[seat.view.participant] = (seat.view, None)
        for neighbour in sorted(self.sides):
            for view in self.sides[neighbour].rosters.get(conference, ()):
                found.setdefault(view.participant, (view, neighbour))
        return [found[participant] for participant in sorted(found)]

    def _offer(
        self,
        conference: ConferenceId,
        room: Room,
        people: Sequence[tuple[ParticipantView, NodeCode | None]],
        tracks: Mapping[TrackId, Known],
    ) -> Offer:
        flowing = [
            known
            for view, _ in people
            for track in view.tracks
            if (known := tracks[track.track]).flows and known.participant == view.participant
        ]
        return offer(flowing, dict(self._loudness(conference, room, flowing)), room.speaker)

    def _loudness(
        self, conference: ConferenceId, room: Room, flowing: Sequence[Known]
    ) -> Iterator[tuple[TrackId, Loudness]]:
        """Yield the voices to choose from: ours, and what each side offers of its own; measured here goes first."""
        for known in flowing:
            if known.track.kind == AUDIO:
                track = known.track.track
                said = {} if known.side is None else self.sides[known.side].voices.get(conference, {})
                if known.side is None or track in said:
                    yield track, room.heard.get(track, said.get(track, UNKNOWN))

    def _offered(
        self, side: NodeCode, rooms: Mapping[ConferenceId, Room], offers: Mapping[ConferenceId, Offer]
    ) -> Voices:
        """Return the loudest voices that are not on ``side``, for it to want."""
        before = self._offers.get(side, {})
        found: dict[ConferenceId, Mapping[TrackId, Loudness]] = {}
        for conference, has in offers.items():
            if side in rooms[conference].concerned:
                best = loudest(has, lambda known: known.side != side, before.get(conference, ()), OFFERED)
                found[conference] = {track: has.loudness[track] for track in best}
        return found

    def _carried(self, side: NodeCode, rooms: Mapping[ConferenceId, Room], tracks: Mapping[TrackId, Known]) -> Wants:
        """Return what goes to ``side``: what it wants of what it was told about, never its own.

        A voice that it wants for being loud only while we offer it: between two changes no link carries both.
        """
        return {
            track: want
            for track, want in self.sides[side].wants.items()
            if (known := tracks.get(track)) is not None
            and known.side != side
            and side in rooms[known.conference].concerned
            and (known.track.kind != AUDIO or want.priority != VOICE or track in self._offers[side][known.conference])
        }

    def _wanted(
        self,
        seatings: Mapping[ParticipantId, Seating],
        carries: Mapping[NodeCode, Wants],
        tracks: Mapping[TrackId, Known],
        narrow: Set[TrackId],
        now: Monotonic,
    ) -> dict[NodeCode, dict[TrackId, Want]]:
        """Return what each side must send here: for our slots, and for the other sides."""
        needed = [pair for seating in seatings.values() for pair in seating.wanted]
        needed += [pair for wants in carries.values() for pair in wants.items()]
        wanted: dict[NodeCode, dict[TrackId, Want]] = {side: {} for side in self.sides}
        merged = union(needed)
        smalls = {track for track, want in merged.items() if want.small or track in narrow}
        self._smalls = keep(self._smalls, smalls, now)
        for track, want in merged.items():
            side = tracks[track].side
            if side is not None:
                wanted[side][track] = replace(want, small=track in self._smalls)
        return wanted


def _with(said: Mapping[ConferenceId, T], conference: ConferenceId, news: T) -> dict[ConferenceId, T]:
    """Return ``said`` with ``news`` about one conference; what is empty is forgotten."""
    kept = {known: value for known, value in said.items() if known != conference}
    if news:
        kept[conference] = news
    return kept


def _told(
    side: NodeCode,
    rooms: Mapping[ConferenceId, Room],
    people: Mapping[ConferenceId, Sequence[tuple[ParticipantView, NodeCode | None]]],
) -> dict[ConferenceId, tuple[ParticipantView, ...]]:
    """Return the rosters ``side`` is told: everybody who is not on that side (split horizon)."""
    told: dict[ConferenceId, tuple[ParticipantView, ...]] = {}
    for conference, room in rooms.items():
        if side in room.concerned:
            views = tuple(view for view, where in people[conference] if where != side)
            if views:
                told[conference] = views
    return told


def _tracks(
    people: Mapping[ConferenceId, Sequence[tuple[ParticipantView, NodeCode | None]]],
) -> dict[TrackId, Known]:
    """Return every track by id; should two sides claim one id, ours is meant, then the first."""
    known = [
        Known(track, view.participant, conference, side)
        for conference, present in people.items()
        for view, side in present
        for track in view.tracks
    ]
    found: dict[TrackId, Known] = {}
    for track in sorted(known, key=lambda track: track.side is not None):
        found.setdefault(track.track.track, track)
    return found
