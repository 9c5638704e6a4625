"""Who is where in the conferences of one node, what each slot shows, and what each link must carry.

Pure.  The node knows its own participants (``Seat``) and, per neighbour, who is on that side
(``LinkRosters``) and which tracks that side wants (``LinkWant``).  Everything else is derived by
``settle`` as *sets*: saying or doing them twice changes nothing, and a lost link is mended by saying
them again.  The tree is the multicast: a track crosses a link at most once, and only while somebody
beyond the link wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .ids import ConferenceId, NodeCode, ParticipantId, TrackId
from .messages import ParticipantView, TrackView

AUDIO = "audio"
CONTENT = "content"
STICKY_DB = 10
"""A voice already in a slot keeps it unless another is this much louder."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One participant whose connection ends at this node."""

    conference: ConferenceId
    view: ParticipantView
    pictures: int
    """Video slots of the connection, 0..63."""
    voices: int
    """Audio slots, 0..63."""
    only: ParticipantId | None = None
    """A viewer of one participant (WHEP): nobody else is shown or heard."""
    pins: Mapping[int, ParticipantId] = field(default_factory=dict)
    hidden: bool = False
    """Not a participant: the node itself, looking for a moment (a snapshot)."""


@dataclass(frozen=True, slots=True)
class Side:
    """What a neighbour last said."""

    rosters: Mapping[ConferenceId, tuple[ParticipantView, ...]] = field(default_factory=dict)
    wants: frozenset[TrackId] = frozenset()


@dataclass(frozen=True, slots=True)
class Seating:
    """Which track feeds each slot of one seat, by slot index; None is an empty slot."""

    pictures: tuple[TrackId | None, ...] = ()
    voices: tuple[TrackId | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """A track, whose it is, and on which side it lies (None: here)."""

    track: TrackView
    participant: ParticipantId
    conference: ConferenceId
    side: NodeCode | None

    @property
    def flows(self) -> bool:
        """Whether packets have arrived and its owner is sending."""
        return bool(self.track.codec) and not self.track.muted


@dataclass(frozen=True, slots=True)
class Room:
    """What the derivation needs to know of one conference beside who is in it."""

    concerned: frozenset[NodeCode]
    """Neighbours that take part or lie on the way to somebody who does."""
    speaker: ParticipantId | None = None
    loudness: Mapping[TrackId, int] = field(default_factory=dict)
    """dBov by which voices rank; a track that is not in it ranks as ``unknown``."""
    unknown: int = -60


@dataclass(frozen=True, slots=True)
class Plan:
    """All that follows from the state."""

    seatings: Mapping[ParticipantId, Seating]
    wants: Mapping[NodeCode, frozenset[TrackId]]
    carries: Mapping[NodeCode, frozenset[TrackId]]
    rosters: Mapping[NodeCode, Mapping[ConferenceId, tuple[ParticipantView, ...]]]
    present: Mapping[ConferenceId, tuple[ParticipantView, ...]]
    tracks: Mapping[TrackId, Known]


class Cascade:
    """The conferences of one node."""

    def __init__(self) -> None:
        self.seats: dict[ParticipantId, Seat] = {}
        self.sides: dict[NodeCode, Side] = {}
        self._seatings: Mapping[ParticipantId, Seating] = {}

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
        rosters = {known: said for known, said in side.rosters.items() if known != conference}
        if people:
            rosters[conference] = people
        self.sides[neighbour] = Side(rosters, side.wants)

    def wants(self, neighbour: NodeCode, tracks: Iterable[TrackId]) -> None:
        """``neighbour`` said what it wants; replaces what it said before."""
        side = self.sides.get(neighbour)
        if side is not None:
            self.sides[neighbour] = Side(side.rosters, frozenset(tracks))

    def settle(self, rooms: Mapping[ConferenceId, Room]) -> Plan:
        """Return what follows.  A conference that is not in ``rooms`` has ended or is not known yet."""
        people = {room: self._present(room) for room in rooms}
        tracks = _tracks(people)
        offers = {room: _offer(rooms[room], people[room], tracks) for room in rooms}
        seatings = {
            who: _seat(seat, offers[seat.conference], self._seatings.get(who, Seating()))
            for who, seat in self.seats.items()
            if seat.conference in rooms
        }
        self._seatings = seatings
        carries = {side: self._carried(side, rooms, tracks) for side in self.sides}
        return Plan(
            seatings=seatings,
            wants=self._wanted(seatings, carries, tracks),
            carries=carries,
            rosters={side: _told(side, rooms, people) for side in self.sides},
            present={room: tuple(view for view, _ in found) for room, found in people.items()},
            tracks=tracks,
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

    def _carried(
        self, side: NodeCode, rooms: Mapping[ConferenceId, Room], tracks: Mapping[TrackId, Known]
    ) -> frozenset[TrackId]:
        """Return what goes to ``side``: what it wants of what it was told about, never its own."""
        return frozenset(
            track
            for track in self.sides[side].wants
            if (known := tracks.get(track)) is not None
            and known.side != side
            and side in rooms[known.conference].concerned
        )

    def _wanted(
        self,
        seatings: Mapping[ParticipantId, Seating],
        carries: Mapping[NodeCode, frozenset[TrackId]],
        tracks: Mapping[TrackId, Known],
    ) -> dict[NodeCode, frozenset[TrackId]]:
        """Return what each side must send here: for our slots, and for the other sides."""
        needed = {track for seating in seatings.values() for track in (*seating.pictures, *seating.voices) if track}
        needed.update(*carries.values())
        wanted: dict[NodeCode, set[TrackId]] = {side: set() for side in self.sides}
        for track in needed:
            side = tracks[track].side
            if side is not None:
                wanted[side].add(track)
        return {side: frozenset(found) for side, found in wanted.items()}


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


@dataclass(frozen=True, slots=True)
class _Offer:
    """What one conference has to show, best first; made once, used by every seat."""

    pictures: Sequence[Known]
    voices: Sequence[Known]
    ranks: Mapping[TrackId, tuple[int, Known]]
    """Of each voice: minus its loudness, by which they are sorted, and itself."""


def _offer(
    room: Room, people: Sequence[tuple[ParticipantView, NodeCode | None]], tracks: Mapping[TrackId, Known]
) -> _Offer:
    flowing = [
        known
        for view, _ in people
        for track in view.tracks
        if (known := tracks[track.track]).flows and known.participant == view.participant
    ]
    voices = [known for known in flowing if known.track.kind == AUDIO]
    ranks = {k.track.track: (-room.loudness.get(k.track.track, room.unknown), k) for k in voices}
    return _Offer(
        pictures=sorted(
            (known for known in flowing if known.track.kind != AUDIO), key=lambda known: _picture_rank(known, room)
        ),
        voices=sorted(voices, key=lambda known: ranks[known.track.track][0]),
        ranks=ranks,
    )


def _picture_rank(known: Known, room: Room) -> tuple[bool, bool]:
    """Content first, then the speaker; the sort is stable, so join order decides the rest."""
    return (known.track.label != CONTENT, known.participant != room.speaker)


def _seat(seat: Seat, offer: _Offer, before: Seating) -> Seating:
    """Return what the slots of ``seat`` show; what stays in view stays in its slot."""
    pinned = _pinned(seat, offer.pictures) if seat.pins else {}
    pictures = [known.track.track for known in _best(seat, offer.pictures, seat.pictures)]
    return Seating(
        pictures=_place(seat.pictures, pinned, pictures, before.pictures),
        voices=_place(seat.voices, {}, _loudest(seat, offer, before.voices), before.voices),
    )


def _loudest(seat: Seat, offer: _Offer, before: Sequence[TrackId | None]) -> list[TrackId]:
    """Return the voices ``seat`` may have, loudest first; those it hears count for a little more."""
    known = [track for track in before if track is not None and track in offer.ranks]
    heard = {track for track in known if _may_have(seat, offer.ranks[track][1])}
    candidates = dict.fromkeys(best.track.track for best in _best(seat, offer.voices, seat.voices))
    candidates.update(dict.fromkeys(track for track in known if track in heard))
    return sorted(candidates, key=lambda track: offer.ranks[track][0] - (STICKY_DB if track in heard else 0))


def _may_have(seat: Seat, known: Known) -> bool:
    return known.participant != seat.view.participant and seat.only in (None, known.participant)


def _best(seat: Seat, ranked: Sequence[Known], slots: int) -> list[Known]:
    """Return the first of ``ranked`` that ``seat`` may have: twice its slots, since pins may double some."""
    return list(islice((known for known in ranked if _may_have(seat, known)), 2 * slots))


def _pinned(seat: Seat, pictures: Sequence[Known]) -> dict[int, TrackId]:
    """Return the pinned slots: the camera of the participant asked for, else whatever picture it has."""
    pinned: dict[int, TrackId] = {}
    for slot, participant in sorted(seat.pins.items()):
        own = sorted(
            (known.track.label == CONTENT, known.track.track)
            for known in pictures
            if known.participant == participant and _may_have(seat, known)
        )
        if slot < seat.pictures and own and own[0][1] not in pinned.values():
            pinned[slot] = own[0][1]
    return pinned


def _place(
    slots: int, pinned: Mapping[int, TrackId], ranked: Sequence[TrackId], before: Sequence[TrackId | None]
) -> tuple[TrackId | None, ...]:
    """Return ``slots`` slots: pins where they are, the best of ``ranked`` in the rest, moving as little as possible."""
    placed: list[TrackId | None] = [pinned.get(slot) for slot in range(slots)]
    chosen = [track for track in ranked if track not in placed][: placed.count(None)]
    waiting = set(chosen)
    for slot, track in enumerate(before[:slots]):
        if placed[slot] is None and track in waiting:
            placed[slot] = track
            waiting.discard(track)
    rest = iter([track for track in chosen if track in waiting])
    return tuple(track if track is not None else next(rest, None) for track in placed)
