"""A conference over a tree of nodes in virtual time: who speaks is a script, everything else is the real machines.

Engines are replaced by what they would measure: the level of each voice whose packets reach a node.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

from gateway.floors import Floors
from signaling.conference import Cascade, Plan, Room
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.loudness import Loudness
from signaling.messages import LinkMessage, LinkSpeaker, LinkVoices, ParticipantView, TrackView
from signaling.seating import AUDIO, Known, Seat
from signaling.wants import Wants
from tests.support.clock import FakeClock

MEETING = ConferenceId("meeting")
MEASURE_MS = 200
SETTLE_MS = 20
TICK_MS = 250
LINK_MS = 15
"""Of one message over one link."""
NOISE_DBOV = -80
NOISE_DB = 6
SMOOTH_MS = 160
"""The engine tells a mean over about eight packets."""


@dataclass
class Talker:
    name: str
    node: NodeCode
    level: float = NOISE_DBOV
    speaks: int | None = None
    """dBov while it makes a sound, None for the noise of its room."""

    @property
    def track(self) -> TrackId:
        return TrackId(f"{self.name}.voice")


class Hall:
    """The whole tree."""

    def __init__(self, parents: Mapping[str, str | None], talkers: int, seed: int) -> None:
        self.clock = FakeClock()
        self.random = random.Random(seed)
        self.nodes = {NodeCode(name): HallNode(self, NodeCode(name)) for name in parents}
        self.said: Counter[tuple[NodeCode, NodeCode, type]] = Counter()
        """Messages by sender, receiver and type."""
        self.widest = 0
        """The most voices any link ever carried one way."""
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        for name, parent in parents.items():
            if parent is not None:
                self.link(NodeCode(name), NodeCode(parent))
        names = sorted(self.nodes)
        self.talkers = [Talker(f"t{number:03}", names[number % len(names)]) for number in range(talkers)]
        self.everybody = {talker.track: talker for talker in self.talkers}
        for talker in self.talkers:
            self.nodes[talker.node].sit(talker)
        self.later(0, self._measure)
        self.later(TICK_MS, self._tick)

    @property
    def now_ms(self) -> int:
        return round(self.clock.now() * 1000)

    def later(self, after_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now_ms + after_ms, next(self._numbers), act))

    def run(self, ms: int) -> None:
        """Let time pass."""
        end = self.now_ms + ms
        while self._queue and self._queue[0][0] <= end:
            at, _, act = heapq.heappop(self._queue)
            self.clock.advance(at - self.now_ms)
            act()
        self.clock.advance(end - self.now_ms)

    def until(self, condition: Callable[[], bool], limit_ms: int) -> int:
        """Let time pass until ``condition`` holds; return how many milliseconds that took."""
        began = self.now_ms
        while not condition():
            assert self.now_ms - began < limit_ms, f"not within {limit_ms} ms"
            self.run(10)
        return self.now_ms - began

    def link(self, child: NodeCode, parent: NodeCode) -> None:
        self.nodes[child].link_up(parent, dialled=True)
        self.nodes[parent].link_up(child, dialled=False)

    def cut(self, child: NodeCode, parent: NodeCode) -> None:
        self.nodes[child].link_down(parent)
        self.nodes[parent].link_down(child)

    def _measure(self) -> None:
        """Every engine says how loud the voices are whose packets came."""
        for talker in self.talkers:
            noise = NOISE_DBOV + self.random.uniform(-NOISE_DB, NOISE_DB)
            goal = noise if talker.speaks is None else talker.speaks
            talker.level += (goal - talker.level) * min(1.0, MEASURE_MS / SMOOTH_MS)
        for node in self.nodes.values():
            node.measure()
        self.later(MEASURE_MS, self._measure)

    def _tick(self) -> None:
        for node in self.nodes.values():
            node.unsettled()
        self.later(TICK_MS, self._tick)


@dataclass
class Line:
    """One end of a link, as floors see it."""

    here: HallNode
    peer: NodeCode
    dialled: bool
    up: bool = True

    def say(self, message: LinkMessage, key: object = None) -> None:
        hall = self.here.hall
        hall.said[self.here.name, self.peer, type(message)] += 1
        hall.later(LINK_MS, lambda: self.arrive(lambda: hall.nodes[self.peer].told(self.here.name, message)))

    def arrive(self, act: Callable[[], None]) -> None:
        if self.up:
            act()


@dataclass
class HallNode:
    """One node; stands in for ``Switching``, with the real derivation and the real floors."""

    hall: Hall
    name: NodeCode
    trunks: dict[NodeCode, Any] = field(default_factory=dict)
    plan: Plan = field(default_factory=lambda: Cascade().settle({}))

    def __post_init__(self) -> None:
        self.cascade = Cascade()
        self.floors = Floors(self.hall.clock, self, self._spoke)  # type: ignore[arg-type]
        self.history: list[tuple[int, ParticipantId | None]] = []
        """When who became the speaker here."""
        self._pending = False
        self._sources: dict[int, TrackId] = {}

    def sit(self, talker: Talker) -> None:
        track = TrackView(track=talker.track, kind=AUDIO, label=AUDIO, codec="opus")
        view = ParticipantView(
            participant=ParticipantId(talker.name),
            node=self.name,
            division=self.name,
            name=talker.name,
            tracks=(track,),
        )
        self.cascade.sit(Seat(conference=MEETING, view=view, pictures=0, voices=3))
        self.unsettled()

    def measure(self) -> None:
        here = [talker for talker in self.hall.talkers if talker.node == self.name or self.comes(talker)]
        self._sources = {index: talker.track for index, talker in enumerate(here)}
        self.floors.levels(tuple((index, round(talker.level)) for index, talker in enumerate(here)))

    def comes(self, talker: Talker) -> bool:
        known = self.plan.tracks.get(talker.track)
        side = None if known is None else known.side
        return side is not None and talker.track in self.hall.nodes[side].plan.carries.get(self.name, {})

    # ---- links ----------------------------------------------------------------------------------

    def link_up(self, peer: NodeCode, *, dialled: bool) -> None:
        self.cascade.side_up(peer)
        self.trunks[peer] = SimpleNamespace(port=Line(self, peer, dialled), rosters=(), wants={})
        self.floors.link_up(peer)
        self.unsettled()

    def link_down(self, peer: NodeCode) -> None:
        self.floors.link_down(peer)
        self.trunks.pop(peer).port.up = False
        self.cascade.side_down(peer)
        self.unsettled()

    def told(self, peer: NodeCode, message: LinkMessage) -> None:
        match message:
            case LinkVoices():
                self.floors.link_voices(peer, message)
            case LinkSpeaker():
                self.floors.link_speaker(peer, message)
            case _:
                raise AssertionError(message)

    def wanted(self, peer: NodeCode, people: tuple[ParticipantView, ...], wants: Wants) -> None:
        self.cascade.roster(peer, MEETING, people)
        self.cascade.wants(peer, wants)
        self.unsettled()

    # ---- what floors see of the switching -------------------------------------------------------

    @property
    def parent(self) -> NodeCode | None:
        return next((peer for peer, trunk in self.trunks.items() if trunk.port.dialled), None)

    def sounding(self, source: int) -> Known | None:
        return self.plan.tracks.get(self._sources[source])

    def offered(self, known: Known) -> Loudness | None:
        assert known.side is not None
        return self.cascade.sides[known.side].voices.get(MEETING, {}).get(known.track.track)

    def voices(self, peer: NodeCode, conference: ConferenceId, offered: Mapping[TrackId, Loudness]) -> None:
        self.cascade.voices(peer, conference, offered)
        self.unsettled()

    def unsettled(self) -> None:
        if not self._pending:
            self._pending = True
            self.hall.later(SETTLE_MS, self._settle)

    def _settle(self) -> None:
        self._pending = False
        speaker, heard = self.floors.speaker(MEETING), self.floors.heard(MEETING)
        self.plan = self.cascade.settle({MEETING: Room(frozenset(self.trunks), speaker, heard)})
        self.hall.widest = max(self.hall.widest, *(len(carried) for carried in self.plan.carries.values()))
        for peer, trunk in self.trunks.items():
            people, wants = self.plan.rosters[peer].get(MEETING, ()), self.plan.wants[peer]
            if (people, wants) != (trunk.rosters, trunk.wants):
                trunk.rosters, trunk.wants = people, wants
                self._ask(trunk.port, people, wants)
        self.floors.settled(self.plan)

    def _ask(self, line: Line, people: tuple[ParticipantView, ...], wants: Wants) -> None:
        other = self.hall.nodes[line.peer]
        self.hall.later(LINK_MS, lambda: line.arrive(lambda: other.wanted(self.name, people, wants)))

    def _spoke(self, conference: ConferenceId) -> None:
        self.history.append((self.hall.now_ms, self.floors.speaker(conference)))
