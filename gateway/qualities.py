"""How well each connection works: measured every two seconds, told to the page it belongs to and, of people, onward.

The scores are ``media/quality.py``.  A node judges what comes in from its own people; of those beyond a link it
believes the neighbour, unless the link itself is worse.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from media.answer import Kind
from media.engine import Engine
from media.peer import PeerState
from media.quality import BEST, Meter, Reading, Reason, Verdict, judge, percent
from media.readings import Stream, Window, downlink, lowered, uplink
from media.stats import Stats
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import Condition, LinkQuality, Quality, Standing
from signaling.roster import MAX_ID

from . import telemetry
from .flows import LINKS, PEOPLE, Flows
from .switching import Guest, Switching
from .trunks import Trunk

log = logging.getLogger(__name__)

LOOK_S = 2.0
MAX_STANDINGS = 200
UP, DOWN = "up", "down"

Conditions = Mapping[ParticipantId, Condition]


@dataclass(slots=True)
class Way:
    """One direction of one connection over time."""

    meter: Meter = field(default_factory=Meter)
    loss: float = 0.0

    def take(self, reading: Reading | None, direction: str) -> None:
        """Take what was measured; None: nothing flows, and nothing is known."""
        if reading is None:
            self.meter, self.loss = Meter(), 0.0
            return
        self.meter, self.loss = self.meter.take(judge(reading)), reading.loss
        telemetry.observe("media_loss_ratio", reading.loss, direction=direction)
        if reading.frozen:
            telemetry.count("media_frozen_seconds", reading.frozen * LOOK_S)
        telemetry.observe("media_jitter_seconds", reading.jitter_ms / 1_000, direction=direction)
        if reading.rtt_ms:
            telemetry.observe("media_rtt_seconds", reading.rtt_ms / 1_000)
        if reading.estimate_bps:
            telemetry.observe("media_estimate_bits_per_second", reading.estimate_bps)

    @property
    def shown(self) -> Verdict | None:
        return self.meter.shown

    @property
    def condition(self) -> Condition | None:
        shown = self.meter.shown
        return None if shown is None else Condition(level=shown.level, reason=str(shown.reason), value=shown.value)


@dataclass(slots=True)
class Line:
    """Both ways of one connection, and what its page was told."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    told: Quality | None = None


class Qualities:
    """The conditions of everybody in the conferences of one node.

    Args:
        strain: The gateway's, 0..3.
    """

    def __init__(self, engine: Engine, switching: Switching, strain: Callable[[], int]) -> None:
        self.lines: dict[ParticipantId, Line] = {}
        self.links: dict[NodeCode, Line] = {}
        self.flows = Flows()
        self._engine = engine
        self._switching = switching
        self._strain = strain
        self._beyond: dict[NodeCode, dict[ConferenceId, Conditions]] = {}
        """What each neighbour said of those on its side."""
        self._told: dict[NodeCode, dict[ConferenceId, tuple[Standing, ...]]] = {}

    async def run(self) -> None:
        """Look every ``LOOK_S``, until cancelled."""
        before = self._engine.stats()
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                after = self._engine.stats()
            except ValueError as error:
                log.warning("no statistics", extra={"error": str(error)})
                continue
            self.look(before, after)
            before = after

    # ---- links ----------------------------------------------------------------------------------

    def forget(self, peer: NodeCode) -> None:
        """A neighbour is gone or came anew: what it said, and what it was told."""
        self._beyond.pop(peer, None)
        self._told.pop(peer, None)

    def link_said(self, peer: NodeCode, said: LinkQuality) -> None:
        """A neighbour said who on its side is not well.

        Raises:
            Refused: ``bad-quality``: more than it may say.
        """
        if len(said.standings) > MAX_STANDINGS or any(len(each.participant) > MAX_ID for each in said.standings):
            raise Refused("bad-quality", f"{len(said.standings)} standings, limit {MAX_STANDINGS}, or an id too long")
        side = self._beyond.setdefault(peer, {})
        side.pop(said.conference, None)
        if said.standings and said.conference in self._switching.rosters(peer):
            side[said.conference] = {each.participant: each.condition for each in said.standings}

    # ---- looking --------------------------------------------------------------------------------

    def look(self, before: Stats, after: Stats) -> None:
        """Judge what happened between two snapshots and tell what is news."""
        window = Window(before, after)
        self.flows.begin()
        switching = self._switching
        self.lines = {who: self.lines.get(who) or Line() for who in switching.guests}
        self.links = {peer: self.links.get(peer) or Line() for peer in switching.trunks}
        if not self._strain():  # else it is the strain that makes pictures smaller
            switching.lowered(lowered(after))
        for who, guest in switching.guests.items():
            self._measure(window, guest, self.lines[who])
        for peer, trunk in switching.trunks.items():
            self._measure_link(window, trunk, self.links[peer])
        people = self._people()
        for who, guest in switching.guests.items():
            self._tell(guest, self.lines[who], people)
        for peer in switching.trunks:
            self._tell_link(peer, people)

    def _measure(self, window: Window, guest: Guest, line: Line) -> None:
        peer = guest.peer
        silent = peer.state is PeerState.SILENT
        sources = [(upstream.source, upstream.kind) for upstream in peer.upstreams]
        sinks = [(slot.sink, slot.kind) for slot in peer.slots]
        self.flows.came(PEOPLE, window, sources)
        self.flows.went(PEOPLE, window, sinks)
        line.up.take(uplink(window, peer.id, sources, silent=silent, loss=line.up.loss), UP)
        strain = self._strain()
        frozen, guest.frozen_ms = min(1.0, guest.frozen_ms / (1_000 * LOOK_S)), 0
        seen = downlink(window, peer.id, sinks, silent=silent, strain=strain, loss=line.down.loss, frozen=frozen)
        line.down.take(seen, DOWN)

    def _measure_link(self, window: Window, trunk: Trunk, line: Line) -> None:
        transport = trunk.transport
        if transport is None:
            line.up, line.down = Way(), Way()
            return
        sources, sinks = tuple(self._streams(trunk.sources)), tuple(self._streams(trunk.sinks))
        self.flows.came(LINKS, window, sources)
        self.flows.went(LINKS, window, sinks)
        line.up.take(uplink(window, transport, sources, loss=line.up.loss), UP)
        line.down.take(downlink(window, transport, sinks, strain=self._strain(), loss=line.down.loss), DOWN)

    def _streams(self, known: Mapping[TrackId, int]) -> Iterator[Stream]:
        tracks = self._switching.plan.tracks
        return ((number, cast(Kind, tracks[track].track.kind)) for track, number in known.items() if track in tracks)

    def _people(self) -> dict[ParticipantId, Condition]:
        """Return everybody whose way to here is known and not the best."""
        found = {who: condition for who, line in self.lines.items() if (condition := line.up.condition) is not None}
        for peer in self._switching.trunks:
            link = _of_link(self.links[peer].up)
            said = self._beyond.get(peer, {})
            for conference, views in self._switching.rosters(peer).items():
                conditions = said.get(conference, {})
                for view in views:
                    known = conditions.get(view.participant)
                    worse = link if known is None or (link is not None and link.level < known.level) else known
                    if worse is not None and any(track.codec and not track.muted for track in view.tracks):
                        found.setdefault(view.participant, worse)
        return {who: condition for who, condition in found.items() if condition.level < BEST}

    # ---- telling --------------------------------------------------------------------------------

    def _tell(self, guest: Guest, line: Line, people: Conditions) -> None:
        if guest.listener is None or guest.told is None:
            return
        shown = {slot.participant for slot in guest.told if slot.participant is not None}
        news = Quality(
            conference=guest.seat.conference,
            uplink=line.up.condition,
            downlink=line.down.condition,
            others=_standings(sorted(shown), people),
        )
        if news != line.told:
            line.told = news
            guest.listener.say(news, "quality")

    def _tell_link(self, peer: NodeCode, people: Conditions) -> None:
        """Tell a neighbour of those on our side, as far as it was told of them."""
        plan, trunk = self._switching.plan, self._switching.trunks[peer]
        before = self._told.get(peer, {})
        now: dict[ConferenceId, tuple[Standing, ...]] = {}
        for conference, views in plan.rosters.get(peer, {}).items():
            standings = _standings((view.participant for view in views), people)
            now[conference] = tuple(sorted(standings, key=lambda each: each.condition.level))[:MAX_STANDINGS]
            if now[conference] != before.get(conference, ()):
                said = LinkQuality(conference=conference, standings=now[conference])
                trunk.port.say(said, ("quality", conference))
        self._told[peer] = now

    # ---- counts ---------------------------------------------------------------------------------

    def counts(self) -> dict[tuple[str, int], int]:
        """Return how many connections of people are at each (direction, level)."""
        counted = {(direction, level): 0 for direction in (UP, DOWN) for level in range(BEST + 1)}
        for line in self.lines.values():
            for direction, way in ((UP, line.up), (DOWN, line.down)):
                if way.shown is not None:
                    counted[direction, way.shown.level] += 1
        return counted


def _of_link(way: Way) -> Condition | None:
    """Return what a link adds to the condition of those beyond it."""
    shown = way.shown
    if shown is None or shown.level == BEST:
        return None
    return Condition(level=shown.level, reason=str(Reason.LINK), value=percent(way.loss))


def _standings(participants: Iterable[ParticipantId], people: Conditions) -> tuple[Standing, ...]:
    return tuple(Standing(participant=who, condition=people[who]) for who in participants if who in people)
