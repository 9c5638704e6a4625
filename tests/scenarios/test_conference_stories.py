"""Conferences over a tree, told as text: lines with ``>`` are what happens, the others what is then true.

The machines are the real ones (``signaling/conference.py``); rosters and wants travel until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from signaling.conference import Cascade, Plan, Room
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import ParticipantView, TrackView
from signaling.seating import Seat

STORIES = sorted(Path(__file__).parent.glob("*.story"))
MEETING = ConferenceId("meeting")


class World:
    """A tree of nodes, by name."""

    def __init__(self) -> None:
        self.parents: dict[NodeCode, NodeCode] = {}
        self.nodes: dict[NodeCode, Cascade] = {}
        self.plans: dict[NodeCode, Plan] = {}
        self.cut: set[NodeCode] = set()
        self.homes: dict[ParticipantId, NodeCode] = {}
        self.speaker: ParticipantId | None = None

    def do(self, line: str) -> None:
        verb, *words = line.split()
        getattr(self, f"_{verb}")(*words)
        self._travel()

    def _node(self, name: str, _under: str = "", parent: str = "") -> None:
        """node village under township"""
        self.nodes[NodeCode(name)] = Cascade()
        if parent:
            self.parents[NodeCode(name)] = NodeCode(parent)
            self._mend(name)

    def _join(self, who: str, _at: str, node: str, pictures: str = "1") -> None:
        """join zhao at village 4"""
        tracks = tuple(
            TrackView(track=TrackId(f"{who}.{label}"), kind=kind, label=label, codec="any")
            for label, kind in (("voice", "audio"), ("camera", "video"))
        )
        view = ParticipantView(
            participant=ParticipantId(who), node=NodeCode(node), division=NodeCode(node), name=who, tracks=tracks
        )
        self.homes[view.participant] = NodeCode(node)
        self.nodes[NodeCode(node)].sit(Seat(conference=MEETING, view=view, pictures=int(pictures), voices=3))

    def _leave(self, who: str) -> None:
        self.nodes[self.homes.pop(ParticipantId(who))].leave(ParticipantId(who))

    def _speak(self, who: str) -> None:
        self.speaker = ParticipantId(who)

    def _pin(self, who: str, _sees: str, target: str) -> None:
        """pin wang sees zhao"""
        cascade = self.nodes[self.homes[ParticipantId(who)]]
        seat = cascade.seats[ParticipantId(who)]
        cascade.sit(replace(seat, pins={0: ParticipantId(target)}))

    def _off(self, who: str) -> None:
        """The camera is switched off."""
        cascade = self.nodes[self.homes[ParticipantId(who)]]
        seat = cascade.seats[ParticipantId(who)]
        tracks = tuple(
            TrackView(track=t.track, kind=t.kind, label=t.label, codec=t.codec, muted=t.kind == "video")
            for t in seat.view.tracks
        )
        view = ParticipantView(
            participant=seat.view.participant,
            node=seat.view.node,
            division=seat.view.division,
            name=who,
            tracks=tracks,
        )
        cascade.sit(replace(seat, view=view))

    def _cut(self, child: str) -> None:
        """The link above ``child`` is lost."""
        self.cut.add(NodeCode(child))
        self.nodes[NodeCode(child)].side_down(self.parents[NodeCode(child)])
        self.nodes[self.parents[NodeCode(child)]].side_down(NodeCode(child))

    def _mend(self, child: str) -> None:
        self.cut.discard(NodeCode(child))
        self.nodes[NodeCode(child)].side_up(self.parents[NodeCode(child)])
        self.nodes[self.parents[NodeCode(child)]].side_up(NodeCode(child))

    def _kill(self, node: str) -> None:
        """kill -9 and restart: all it knew is gone, its neighbours link again."""
        self.homes = {who: home for who, home in self.homes.items() if home != node}
        self.nodes[NodeCode(node)] = Cascade()
        for child, parent in self.parents.items():
            if node in (child, parent) and child not in self.cut:
                self._cut(child)
                self._mend(child)

    def _travel(self) -> None:
        for _ in range(50):
            plans = {name: cascade.settle({MEETING: self._room(cascade)}) for name, cascade in self.nodes.items()}
            if plans == self.plans:
                return
            self.plans = plans
            for name, plan in plans.items():
                for side, told in plan.rosters.items():
                    self.nodes[side].roster(name, MEETING, told.get(MEETING, ()))
                    self.nodes[side].voices(name, MEETING, plan.offers[side].get(MEETING, {}))
                    self.nodes[side].wants(name, plan.wants[side])
        raise AssertionError("never settles")

    def _room(self, cascade: Cascade) -> Room:
        return Room(concerned=frozenset(cascade.sides), speaker=self.speaker)

    def tell(self) -> Iterator[str]:
        """Say what is true now."""
        for name, plan in self.plans.items():
            yield f"  {name} knows {', '.join(v.name for v in plan.present[MEETING]) or 'nobody'}"
            for who, seating in sorted(plan.seatings.items()):
                seen = ", ".join(str(track or "-") for track in seating.pictures)
                heard = ", ".join(sorted(str(track) for track in seating.voices if track)) or "-"
                yield f"    {who} sees {seen}; hears {heard}"
        for name, plan in self.plans.items():
            for side, carried in sorted(plan.carries.items()):
                if carried:
                    yield f"  {name} -> {side}: {', '.join(sorted(carried))}"


def play(text: str) -> str:
    """Return the story with what the machines say after each paragraph of commands."""
    world = World()
    out: list[str] = []
    pending = False
    for line in [*text.splitlines(), ""]:
        if line.startswith("> "):
            world.do(line.removeprefix("> "))
            pending = True
            out.append(line)
        elif line.startswith("#"):
            out.append(line)
        elif not line and pending:
            out += [*world.tell(), ""]
            pending = False
        elif not line and (not out or out[-1]):
            out.append("")
    return "\n".join(out).rstrip("\n") + "\n"


@pytest.mark.parametrize("path", STORIES, ids=lambda path: path.stem)
def test_the_story_goes_as_told(path: Path, request: pytest.FixtureRequest) -> None:
    told = path.read_text(encoding="utf-8")
    played = play(told)
    if request.config.getoption("--update", default=False):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == told


def test_there_are_stories() -> None:
    assert STORIES
