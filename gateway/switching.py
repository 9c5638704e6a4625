"""Makes engine, links and screens equal to what ``signaling/conference.py`` derives.

Knows connections, transports and routes; not titles, people's rights or records.  Every change marks
the state as unsettled; ``settle`` then installs the difference and says only what is news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any, Protocol

from media.engine import Coming, Engine
from media.peer import Peer, Peers, Slot, Upstream
from signaling.conference import Cascade, Plan, Room
from signaling.errors import Refused
from signaling.ids import ConferenceId, Monotonic, NodeCode, ParticipantId, TrackId
from signaling.loudness import Loudness
from signaling.messages import (
    MAX_WANTED,
    LinkCarry,
    LinkMediaAnswer,
    LinkMediaOffer,
    LinkMessage,
    LinkRosters,
    LinkWant,
    ParticipantView,
    Quality,
    Slots,
    SlotView,
    TrackView,
    WantedTrack,
)
from signaling.records import Actor
from signaling.roster import MAX_TRACKS
from signaling.seating import AUDIO, Known, Seat, Seating
from signaling.wants import SMALL, Want, Wants

from .clock import Clock
from .trunks import Carry, Port, Trunk
from .wiring import Wired, Wiring

log = logging.getLogger(__name__)

SETTLE_S = 0.02
"""Changes within this time are settled together, so that a thousand joins are not a thousand settlings."""
SPARED = 4
"""Settling may take one part of the loop's time in this many and one, however many people there are."""


class Listener(Protocol):
    """The session of a participant."""

    def say(self, message: Slots | Quality, key: Hashable = None) -> None: ...


@dataclass(slots=True)
class Guest:
    """A participant whose connection ends here, with what the pure seat does not know."""

    seat: Seat
    who: Actor
    peer: Peer
    listener: Listener | None
    upstreams: Mapping[int, TrackId]
    """Source to track."""
    told: tuple[SlotView, ...] | None = None
    """The slots its page knows of; None until it has been answered."""
    frozen_ms: int = 0
    """How long a picture stood still on its page since its connection was last judged."""

    @property
    def id(self) -> ParticipantId:
        return self.seat.view.participant


class Switching:
    """The packets' way through this node.

    Args:
        rooms: Asked at each settling for the conferences that run and whom they concern.
        settled: Called after each settling.
        gone: Called before a neighbour is forgotten, with all beyond it.
    """

    def __init__(
        self,
        clock: Clock,
        engine: Engine,
        peers: Peers,
        rooms: Callable[[], Mapping[ConferenceId, Room]],
        settled: Callable[[Plan], None],
        gone: Callable[[NodeCode], None],
    ) -> None:
        self.guests: dict[ParticipantId, Guest] = {}
        self.trunks: dict[NodeCode, Trunk] = {}
        self.plan: Plan = Cascade().settle({})
        self._clock = clock
        self._wiring = Wiring(engine)
        self._peers = peers
        self._rooms = rooms
        self._settled = settled
        self._gone = gone
        self._cascade = Cascade()
        self._sources: dict[int, ParticipantId] = {}
        self._carriers: dict[int, TrackId] = {}
        """Source to track, of what comes over links."""
        self._told_rosters: dict[NodeCode, Mapping[ConferenceId, tuple[ParticipantView, ...] | None]] = {}
        """None: it may not know what it was told of that conference."""
        self._told_wants: dict[NodeCode, Wants | None] = {}
        self._expiry: asyncio.TimerHandle | None = None
        self._pending: asyncio.TimerHandle | None = None
        self._settled_at = clock.now()
        self._cost_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- seats ----------------------------------------------------------------------------------

    def sit(self, guest: Guest) -> None:
        """A participant came."""
        self.guests[guest.id] = guest
        self._sources.update(dict.fromkeys(guest.upstreams, guest.id))
        self.reseat(guest, guest.seat)

    def reseat(self, guest: Guest, seat: Seat) -> None:
        """Its pins or tracks changed."""
        guest.seat = seat
        self._cascade.sit(seat)
        self.unsettled()

    def leave(self, participant: ParticipantId) -> Guest | None:
        """A participant is gone; its connection is closed.  None if it was gone before."""
        guest = self.guests.pop(participant, None)
        if guest is None:
            return None
        self._cascade.leave(participant)
        for source in guest.upstreams:
            self._sources.pop(source, None)
        guest.peer.on_state = None
        self.spawn(guest.peer.close())
        self.unsettled()
        return guest

    def look(self, seat: Seat) -> None:
        """Take a hidden seat, for a snapshot; settled at once."""
        self._cascade.sit(seat)
        self.settle()

    def look_away(self, looker: ParticipantId) -> None:
        self._cascade.leave(looker)
        self.unsettled()

    def owner(self, source: int) -> tuple[Guest, TrackId] | None:
        """Return whose track comes in as ``source``; None for what comes over links or is gone."""
        guest = self.guests.get(self._sources.get(source, ParticipantId("")))
        return None if guest is None else (guest, guest.upstreams[source])

    def source(self, track: TrackId) -> int | None:
        """Return the engine's source of ``track``: a connection here, or the link it comes over."""
        known = self.plan.tracks.get(track)
        if known is None:
            return None
        if known.side is not None:
            trunk = self.trunks.get(known.side)
            return None if trunk is None else trunk.sources.get(track)
        guest = self.guests.get(known.participant)
        return next((s for s, own in guest.upstreams.items() if own == track), None) if guest else None

    def sounding(self, source: int) -> Known | None:
        """Return the track that comes in as ``source``, over a connection or a link; None for what is gone."""
        owner = self.owner(source)
        track = self._carriers.get(source) if owner is None else owner[1]
        return None if track is None else self.plan.tracks.get(track)

    def slots(self, guest: Guest) -> tuple[SlotView, ...]:
        """Return what each slot of a connection shows."""
        seating = self.plan.seatings.get(guest.id, Seating())
        return tuple(self._slot(fed) for fed in _paired(guest.peer.slots, seating))

    def _slot(self, fed: _Fed) -> SlotView:
        coming = "flows" if fed.want is None else self._coming(fed.slot.sink, fed.track)
        return SlotView(
            mid=fed.slot.mid,
            kind=fed.slot.kind,
            participant=None if fed.track is None else self.plan.tracks[fed.track].participant,
            track=fed.track,
            paused=coming == "paused",
            thumbnails=coming == "thumbnails",
        )

    def _coming(self, sink: int | None, track: TrackId | None) -> Coming:
        """Return how the picture ``track`` goes out by ``sink``: the least of its whole way to here and on."""
        known = None if track is None else self.plan.tracks.get(track)
        trunk = None if known is None or known.side is None else self.trunks.get(known.side)
        ways = {
            "flows" if sink is None else self._wiring.coming.get(sink, "flows"),
            "flows" if trunk is None or track is None else trunk.coming.get(track, "flows"),
        }
        return "paused" if "paused" in ways else "thumbnails" if "thumbnails" in ways else "flows"

    # ---- links ----------------------------------------------------------------------------------

    def link_kept(self, peer: NodeCode) -> str:
        """Return the name of the transport with ``peer`` that works; "": there is none."""
        trunk = self.trunks.get(peer)
        return "" if trunk is None else trunk.kept

    def link_up(self, port: Port) -> None:
        """A neighbour is there; it is told everything.  What it said before holds if it goes on with that."""
        known = self.trunks.get(port.peer)
        if known is not None and port.resumes:
            self._told_rosters[port.peer] = dict.fromkeys(self._told_rosters.get(port.peer, ()))
            self._told_wants[port.peer] = None
            known.take_up(port)
        else:
            if known is not None:
                self._give_up(known)
            self._cascade.side_up(port.peer)
            self._told_rosters.pop(port.peer, None)
            self._told_wants.pop(port.peer, None)
            made = Trunk(port, self._peers, self._clock, self.spawn, self.unsettled, self._give_up)
            self.trunks[port.peer] = made
        self.unsettled()

    def link_down(self, port: Port) -> None:
        """A link is gone.  While its media works its neighbour may come back; else for us so are all beyond it."""
        trunk = self.trunks.get(port.peer)
        if trunk is None or trunk.port is not port:
            return
        if trunk.kept and not port.parted:
            trunk.drift()
        else:
            self._give_up(trunk)

    def _give_up(self, trunk: Trunk) -> None:
        peer = trunk.port.peer
        log.info("link media given up", extra={"peer": peer, "state": trunk.state})
        self._gone(peer)
        del self.trunks[peer]
        trunk.close()
        self._cascade.side_down(peer)
        self.unsettled()

    def link_said(self, port: Port, message: LinkMessage) -> None:
        """A neighbour said what it wants, carries, or where its transport is.

        Raises:
            Refused: It may not say that.
        """
        trunk = self.trunks[port.peer]
        match message:
            case LinkWant(tracks=tracks):
                wants = {track.track: Want(track.height, track.priority, track.small) for track in tracks}
                self._cascade.wants(port.peer, wants)
                self.unsettled()
            case LinkMediaOffer():
                trunk.offered(message)
            case LinkMediaAnswer():
                trunk.answered(message)
            case LinkCarry():
                trunk.carries(message)
            case _:
                raise Refused("unexpected-message", type(message).__name__)

    def rosters(self, peer: NodeCode) -> Mapping[ConferenceId, tuple[ParticipantView, ...]]:
        """Return who ``peer`` last said is on its side."""
        return self._cascade.sides[peer].rosters

    def roster(self, peer: NodeCode, conference: ConferenceId, people: tuple[ParticipantView, ...]) -> None:
        """``peer`` said who is on its side."""
        self._cascade.roster(peer, conference, people)
        self.unsettled()

    @property
    def parent(self) -> NodeCode | None:
        """The parent, while the link to it is up or its media goes on."""
        return next((peer for peer, trunk in self.trunks.items() if trunk.port.dialled), None)

    def voices(self, peer: NodeCode, conference: ConferenceId, offered: Mapping[TrackId, Loudness]) -> None:
        """``peer`` said which voices are the loudest on its side; levels alone are settled with the next change."""
        news = self._cascade.sides[peer].voices.get(conference, {}).keys() != offered.keys()
        self._cascade.voices(peer, conference, offered)
        if news:
            self.unsettled()

    def offered(self, known: Known) -> Loudness | None:
        """Return how loud its side says a voice of another node is; None: it does not offer it."""
        side = None if known.side is None else self._cascade.sides.get(known.side)
        return None if side is None else side.voices.get(known.conference, {}).get(known.track.track)

    # ---- settling -------------------------------------------------------------------------------

    def unsettled(self) -> None:
        """Something changed: settle soon."""
        if self._pending is None:
            wait_s = max(0.0, self._settled_at + max(SETTLE_S, SPARED * self._cost_s) - self._clock.now())
            self._pending = asyncio.get_running_loop().call_later(wait_s, self.settle)

    def settle(self) -> None:
        """Make links, routes and screens equal to what follows from the state."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        began = self._clock.now()
        plan = self.plan = self._cascade.settle(self._rooms(), self._wiring.narrow(self._wired(self.plan)), began)
        self._settle_by(plan.until)
        for peer, trunk in self.trunks.items():
            if not trunk.adrift:
                self._tell(peer, trunk, plan)
            trunk.carry({track: self._carry(trunk, track, want) for track, want in plan.carries[peer].items()})
        self._carriers = {source: track for trunk in self.trunks.values() for track, source in trunk.sources.items()}
        self._wiring.install(list(self._wired(plan)), self._opened(), self.source)
        for guest in self.guests.values():
            self._tell_slots(guest)
        self._settled(plan)
        self._settled_at = self._clock.now()
        self._cost_s = self._settled_at - began

    def _settle_by(self, until: Monotonic) -> None:
        """Settle again when what follows now no longer does."""
        if self._expiry is not None:
            self._expiry.cancel()
        wait_s = until - self._clock.now()
        self._expiry = None if wait_s == inf else asyncio.get_running_loop().call_later(wait_s, self.unsettled)

    def _tell(self, peer: NodeCode, trunk: Trunk, plan: Plan) -> None:
        told = self._told_rosters.get(peer, {})
        rosters = self._told_rosters[peer] = plan.rosters[peer]
        for conference in rosters.keys() | told.keys():
            people = rosters.get(conference, ())
            if told.get(conference, ()) != people:
                trunk.port.say(LinkRosters(conference=conference, participants=people), ("roster", conference))
        wants = plan.wants[peer]
        if self._told_wants.get(peer, {}) != wants:
            self._told_wants[peer] = wants
            tracks = (
                WantedTrack(track=track, height=want.height, priority=want.priority, small=want.small)
                for track, want in sorted(wants.items())
            )
            trunk.port.say(LinkWant(tracks=tuple(islice(tracks, MAX_WANTED))), "want")

    def _carry(self, trunk: Trunk, track: TrackId, want: Want) -> Carry:
        coming = self._coming(trunk.sinks.get(track), track)
        return Carry(self.plan.tracks[track].track.kind, want.priority, coming, want.small)

    def _wired(self, plan: Plan) -> Iterator[Wired]:
        """Yield every sink there is."""
        for guest in self.guests.values():
            for fed in _paired(guest.peer.slots, plan.seatings.get(guest.id, Seating())):
                audible = fed.slot.kind == AUDIO or fed.want is not None
                yield Wired(fed.slot.sink, fed.track if audible else None, fed.want)
        for peer, trunk in self.trunks.items():
            for track, sink in trunk.sinks.items():
                known = plan.tracks.get(track)
                want = plan.carries.get(peer, {}).get(track) if known and known.track.kind != AUDIO else None
                yield Wired(sink, track, want)
                if want is not None and track in trunk.smalls:
                    yield Wired(trunk.smalls[track], track, Want(SMALL, want.priority), beside=sink)

    def _opened(self) -> set[int]:
        """Return every sink on a link, also of those that carry nothing now."""
        return set().union(*(trunk.opened for trunk in self.trunks.values()))

    def video(self, sink: int, coming: Coming) -> None:
        """The engine sends less of the picture of ``sink`` because the line is too narrow, or all of it again."""
        self._wiring.coming.pop(sink, None)
        if coming != "flows":
            self._wiring.coming[sink] = coming
        self.unsettled()

    def lowered(self, sinks: frozenset[int]) -> None:
        """The engine sends the pictures of exactly these sinks smaller than wanted."""
        if sinks != self._wiring.lowered:
            self._wiring.lowered = sinks
            self.unsettled()

    def _tell_slots(self, guest: Guest) -> None:
        if guest.listener is None or guest.told is None:
            return
        slots = self.slots(guest)
        if slots != guest.told:
            guest.told = slots
            guest.listener.say(Slots(conference=guest.seat.conference, slots=slots), "slots")

    # ---- the end --------------------------------------------------------------------------------

    async def close(self) -> None:
        """End every connection and transport."""
        for participant in list(self.guests):
            self.leave(participant)
        for trunk in list(self.trunks.values()):
            trunk.close()
        self.trunks.clear()
        for timer in (self._pending, self._expiry):
            if timer is not None:
                timer.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work`` in a task that ``close`` waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def tracks_of(participant: ParticipantId, upstreams: Sequence[Upstream]) -> dict[int, TrackView]:
    """Return source to track: nothing has arrived yet, hence without codec."""
    return {
        upstream.source: TrackView(
            track=TrackId(f"{participant}-{index}"), kind=upstream.kind, label=upstream.label or upstream.kind
        )
        for index, upstream in enumerate(upstreams[:MAX_TRACKS])
    }


@dataclass(frozen=True, slots=True)
class _Fed:
    """One slot of a connection, the track the seating gives it, and how it is wanted if it is a picture."""

    slot: Slot
    track: TrackId | None
    want: Want | None


def _paired(slots: Sequence[Slot], seating: Seating) -> Iterator[_Fed]:
    pictures, voices = zip(seating.pictures, seating.wants, strict=True), iter(seating.voices)
    for slot in slots:
        track, want = (next(voices, None), None) if slot.kind == AUDIO else next(pictures, (None, None))
        yield _Fed(slot, track, want)
