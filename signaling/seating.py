"""What one conference has to show and to say, and which slot of a seat shows which of it.

Pure.  What stays in view stays in its slot, and a voice that is heard stays heard unless another is clearly louder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .ids import ConferenceId, NodeCode, ParticipantId, TrackId
from .loudness import Loudness
from .messages import ParticipantView, TrackView
from .wants import CONTENT as CONTENT_FIRST
from .wants import LOUD, PINNED, REST, SPEAKER, WHOLE, Want

AUDIO = "audio"
CONTENT = "content"
STICKY_DB = 10
"""A voice already heard stays so unless another is this much louder."""
HIDDEN = 0
"""The height of a slot that nobody sees."""


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
    heights: Mapping[int, int] = field(default_factory=dict)
    """How high each video slot is on the screen, pixels, or HIDDEN; one that is not in it wants all there is."""
    hidden: bool = False
    """Not a participant: the node itself, looking for a moment (a snapshot)."""


@dataclass(frozen=True, slots=True)
class Seating:
    """Which track feeds each slot of one seat, by slot index; None is an empty slot."""

    pictures: tuple[TrackId | None, ...] = ()
    voices: tuple[TrackId | None, ...] = ()
    wants: tuple[Want | None, ...] = ()
    """How each picture is wanted; None: not at all, since the slot is empty or hidden."""
    voice: Want = LOUD
    """How each voice is wanted: for being loud, or whatever it is."""

    @property
    def wanted(self) -> Iterator[tuple[TrackId, Want]]:
        """Yield what is to flow here."""
        for track, want in zip(self.pictures, self.wants, strict=True):
            if track is not None and want is not None:
                yield track, want
        for voice in self.voices:
            if voice is not None:
                yield voice, self.voice


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
class Offer:
    """What one conference has, best first; made once, used by every seat and every side."""

    pictures: Sequence[Known]
    voices: Sequence[Known]
    """Of this node, and of each side those that it offers."""
    others: Sequence[Known]
    """All other voices: a viewer of one participant hears him however quiet he is."""
    known: Mapping[TrackId, Known]
    """All of these."""
    loudness: Mapping[TrackId, Loudness]
    """Of each of ``voices``."""
    speaker: ParticipantId | None


def offer(flowing: Sequence[Known], loudness: Mapping[TrackId, Loudness], speaker: ParticipantId | None) -> Offer:
    """Return what there is.

    Args:
        flowing: All tracks that flow, in join order.
        loudness: Of the voices of this node and those that the sides offer.
    """
    sounds = [known for known in flowing if known.track.kind == AUDIO]
    voices = [known for known in sounds if known.track.track in loudness]
    pictures = [known for known in flowing if known.track.kind != AUDIO]
    return Offer(
        pictures=sorted(pictures, key=lambda k: (k.track.label != CONTENT, k.participant != speaker)),
        voices=sorted(voices, key=lambda k: -loudness[k.track.track].rank),
        others=[known for known in sounds if known.track.track not in loudness],
        known={known.track.track: known for known in flowing},
        loudness={known.track.track: loudness[known.track.track] for known in voices},
        speaker=speaker,
    )


def loudest(has: Offer, allowed: Callable[[Known], bool], before: Iterable[TrackId], count: int) -> list[TrackId]:
    """Return ``count`` of the ``allowed`` voices, loudest first; those chosen ``before`` count for a little more."""
    best = islice((known.track.track for known in has.voices if allowed(known)), count)
    heard = {track for track in before if track in has.loudness and allowed(has.known[track])}
    candidates = dict.fromkeys((*best, *sorted(heard)))
    ranks = {track: has.loudness[track].rank + (STICKY_DB if track in heard else 0) for track in candidates}
    return sorted(candidates, key=lambda track: -ranks[track])[:count]


def seat_of(seat: Seat, has: Offer, before: Seating) -> Seating:
    """Return what the slots of ``seat`` show."""
    pinned = _pinned(seat, has.pictures) if seat.pins else {}
    best = [known.track.track for known in _best(seat, has.pictures, 2 * seat.pictures)]  # pins may double some
    pictures = _place(seat.pictures, pinned, best, before.pictures)
    return Seating(
        pictures=pictures,
        voices=_place(seat.voices, {}, _voices(seat, has, before.voices), before.voices),
        wants=_wants(seat, has, pictures),
        voice=LOUD if seat.only is None else Want(WHOLE, PINNED),
    )


def _voices(seat: Seat, has: Offer, before: Sequence[TrackId | None]) -> Sequence[TrackId]:
    """Return the voices ``seat`` hears."""
    if seat.only is not None:
        return [known.track.track for known in _best(seat, (*has.voices, *has.others), seat.voices)]
    heard = [track for track in before if track is not None]
    return loudest(has, lambda known: _may_have(seat, known), heard, seat.voices)


def _may_have(seat: Seat, known: Known) -> bool:
    return known.participant != seat.view.participant and seat.only in (None, known.participant)


def _best(seat: Seat, ranked: Sequence[Known], count: int) -> list[Known]:
    """Return the first ``count`` of ``ranked`` that ``seat`` may have."""
    return list(islice((known for known in ranked if _may_have(seat, known)), count))


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


def _wants(seat: Seat, has: Offer, pictures: Sequence[TrackId | None]) -> tuple[Want | None, ...]:
    """Return how each placed picture is wanted: as high as its slot, and the sooner the more it matters."""
    wants: list[Want | None] = []
    for slot, track in enumerate(pictures):
        seen = seat.heights.get(slot) != HIDDEN
        want = Want(seat.heights.get(slot, WHOLE), _priority(has, track, pinned=slot in seat.pins)) if track else None
        wants.append(want if seen else None)
    return tuple(wants)


def _priority(has: Offer, track: TrackId, *, pinned: bool) -> int:
    known = has.known[track]
    if known.participant == has.speaker:
        return SPEAKER
    if known.track.label == CONTENT:
        return CONTENT_FIRST
    return PINNED if pinned else REST
