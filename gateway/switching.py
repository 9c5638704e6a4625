"""Makes engine, links and screens equal to what ``signaling/conference.py`` derives.

Knows connections, transports and routes; not titles, people's rights or records.  Every change marks
the state as unsettled; ``settle`` then installs the difference and says only what is news.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from media import routes
from media.engine import Engine
from media.peer import Peer, Peers, Slot, Upstream
from signaling.conference import AUDIO, Cascade, Plan, Room, Seat, Seating
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import (
    LinkCarry,
    LinkMediaAnswer,
    LinkMediaOffer,
    LinkMessage,
    LinkRosters,
    LinkWant,
    ParticipantView,
    Slots,
    SlotView,
    TrackView,
)
from signaling.records import Actor
from signaling.roster import MAX_TRACKS

from .clock import Clock
from .trunks import Port, Trunk

log = logging.getLogger(__name__)

SETTLE_S = 0.02
"""Changes within this time are settled together, so that a thousand joins are not a thousand settlings."""
SPARED = 4
"""Settling may take one part of the loop's time in this many and one, however many people there are."""
MAX_WANTED = 2_000


class Listener(Protocol):
    """The session of a participant."""

    def say(self, message: Slots, key: Hashable = None) -> None: ...


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

    @property
    def id(self) -> ParticipantId:
        return self.seat.view.participant


class Switching:
    """The packets' way through this node.

    Args:
        rooms: Asked at each settling for the conferences that run and whom they concern.
        settled: Called after each settling.
    """

    def __init__(
        self,
        clock: Clock,
        engine: Engine,
        peers: Peers,
        rooms: Callable[[], Mapping[ConferenceId, Room]],
        settled: Callable[[Plan], None],
    ) -> None:
        self.guests: dict[ParticipantId, Guest] = {}
        self.trunks: dict[NodeCode, Trunk] = {}
        self.plan: Plan = Cascade().settle({})
        self._clock = clock
        self._engine = engine
        self._peers = peers
        self._rooms = rooms
        self._settled = settled
        self._cascade = Cascade()
        self._sources: dict[int, ParticipantId] = {}
        self._installed: dict[int, int] = {}
        self._told_rosters: dict[NodeCode, Mapping[ConferenceId, tuple[ParticipantView, ...]]] = {}
        self._told_wants: dict[NodeCode, frozenset[TrackId]] = {}
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

    def slots(self, guest: Guest) -> tuple[SlotView, ...]:
        """Return what each slot of a connection shows."""
        seating = self.plan.seatings.get(guest.id, Seating())
        return tuple(
            SlotView(
                mid=slot.mid,
                kind=slot.kind,
                participant=None if track is None else self.plan.tracks[track].participant,
                track=track,
            )
            for slot, track in _paired(guest.peer.slots, seating)
        )

    # ---- links ----------------------------------------------------------------------------------

    def link_up(self, port: Port) -> None:
        """A neighbour is there; it is told everything."""
        self._cascade.side_up(port.peer)
        self._told_rosters.pop(port.peer, None)
        self._told_wants.pop(port.peer, None)
        self.trunks[port.peer] = Trunk(port, self._peers, self._clock, self.spawn, self.unsettled)
        self.unsettled()

    def link_down(self, port: Port) -> None:
        """A neighbour is gone, and for us so are all beyond it."""
        trunk = self.trunks.get(port.peer)
        if trunk is not None and trunk.port is port:
            del self.trunks[port.peer]
            trunk.close()
            self._cascade.side_down(port.peer)
            self.unsettled()

    def link_said(self, port: Port, message: LinkMessage) -> None:
        """A neighbour said what it wants, carries, or where its transport is.

        Raises:
            Refused: It may not say that.
        """
        trunk = self.trunks[port.peer]
        match message:
            case LinkWant(tracks=tracks):
                if len(tracks) > MAX_WANTED:
                    raise Refused("bad-want", f"{len(tracks)} tracks, limit {MAX_WANTED}")
                self._cascade.wants(port.peer, tracks)
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

    def knows(self, peer: NodeCode, conference: ConferenceId) -> bool:
        """Return whether ``peer`` was told of somebody in ``conference``."""
        return conference in self._told_rosters.get(peer, {})

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
        plan = self.plan = self._cascade.settle(self._rooms())
        for peer, trunk in self.trunks.items():
            self._tell(peer, trunk, plan)
            trunk.carry({track: plan.tracks[track].track.kind for track in plan.carries[peer]})
        self._route(plan)
        for guest in self.guests.values():
            self._tell_slots(guest)
        self._settled(plan)
        self._settled_at = self._clock.now()
        self._cost_s = self._settled_at - began

    def _tell(self, peer: NodeCode, trunk: Trunk, plan: Plan) -> None:
        told = self._told_rosters.get(peer, {})
        rosters = self._told_rosters[peer] = plan.rosters[peer]
        for conference in rosters.keys() | told.keys():
            people = rosters.get(conference, ())
            if told.get(conference, ()) != people:
                trunk.port.say(LinkRosters(conference=conference, participants=people), ("roster", conference))
        wants = plan.wants[peer]
        if self._told_wants.get(peer, frozenset()) != wants:
            self._told_wants[peer] = wants
            trunk.port.say(LinkWant(tracks=tuple(sorted(wants))), "want")

    def _wired(self, plan: Plan) -> Iterator[tuple[int, TrackId | None]]:
        """Yield every sink there is and the track it should carry."""
        for guest in self.guests.values():
            for slot, track in _paired(guest.peer.slots, plan.seatings.get(guest.id, Seating())):
                yield slot.sink, track
        for trunk in self.trunks.values():
            for track, sink in trunk.sinks.items():
                yield sink, track

    def _route(self, plan: Plan) -> None:
        sinks = dict(self._wired(plan))
        desired = {
            sink: source
            for sink, track in sinks.items()
            if track is not None and (source := self.source(track)) is not None
        }
        installed = {sink: source for sink, source in self._installed.items() if sink in sinks}
        for step in routes.plan(installed, desired):
            try:
                self._engine.route(step.sink, step.source if isinstance(step, routes.Route) else None)
            except ValueError as error:
                # A connection that just ended: its end is on the way to us and settles this again.
                log.debug("route refused", extra={"sink": step.sink, "error": str(error)})
                desired.pop(step.sink, None)
        self._installed = desired

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
        if self._pending is not None:
            self._pending.cancel()
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


def _paired(slots: Sequence[Slot], seating: Seating) -> Iterator[tuple[Slot, TrackId | None]]:
    """Yield each slot of a connection with the track the seating gives it."""
    pictures, voices = iter(seating.pictures), iter(seating.voices)
    for slot in slots:
        yield slot, next(voices if slot.kind == AUDIO else pictures, None)
