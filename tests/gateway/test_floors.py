"""Levels in, a speaker out, and neighbours told of our side only."""

from types import SimpleNamespace
from typing import Any

from gateway.floors import LEVELS_TOLD, Floors
from signaling.conference import Cascade, Plan, Room, Seat
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import LinkLevels, ParticipantView, TrackView
from tests.support.clock import FakeClock

MEETING = ConferenceId("meeting")
UP, DOWN = NodeCode("up"), NodeCode("down")


def person(name: str) -> ParticipantView:
    track = TrackView(track=TrackId(f"{name}.voice"), kind="audio", label="audio", codec="opus")
    return ParticipantView(
        participant=ParticipantId(name), node=NodeCode("n"), division=NodeCode("n"), name=name, tracks=(track,)
    )


class Port:
    def __init__(self) -> None:
        self.said: list[LinkLevels] = []

    def say(self, message: LinkLevels, key: object = None) -> None:
        self.said.append(message)


class Switch:
    """What floors see of the switching: ``here`` is on source 1, ``above`` on the upper side."""

    def __init__(self) -> None:
        cascade = Cascade()
        seat = Seat(conference=MEETING, view=person("here"), pictures=0, voices=3)
        cascade.sit(seat)
        for side in (UP, DOWN):
            cascade.side_up(side)
        cascade.roster(UP, MEETING, (person("above"),))
        self.plan: Plan = cascade.settle({MEETING: Room(concerned=frozenset((UP, DOWN)))})
        self.trunks: dict[NodeCode, Any] = {side: SimpleNamespace(port=Port()) for side in (UP, DOWN)}
        self.unsettlings = 0
        self._guest = SimpleNamespace(seat=seat)

    def owner(self, source: int) -> object:
        return (self._guest, TrackId("here.voice")) if source == 1 else None

    def knows(self, peer: NodeCode, conference: ConferenceId) -> bool:
        return conference == MEETING

    def unsettled(self) -> None:
        self.unsettlings += 1


def test_whoever_speaks_here_has_the_floor_and_both_sides_are_told() -> None:
    switch = Switch()
    floors = Floors(FakeClock(), switch)  # type: ignore[arg-type]
    floors.levels(((1, -20), (99, -5)))
    assert floors.settle(MEETING) == floors.speaker(MEETING) == ParticipantId("here")
    for side in (UP, DOWN):
        assert switch.trunks[side].port.said == [LinkLevels(conference=MEETING, levels=((TrackId("here.voice"), -20),))]
    assert switch.unsettlings == 1


def test_a_side_is_not_told_of_its_own_voices_but_the_others_are() -> None:
    switch = Switch()
    floors = Floors(FakeClock(), switch)  # type: ignore[arg-type]
    floors.link_levels(UP, LinkLevels(conference=MEETING, levels=((TrackId("above.voice"), -15),)))
    assert floors.settle(MEETING) == ParticipantId("above")
    assert switch.trunks[UP].port.said == []
    assert len(switch.trunks[DOWN].port.said) == 1


def test_a_neighbour_cannot_make_somebody_elses_voice_loud() -> None:
    switch = Switch()
    floors = Floors(FakeClock(), switch)  # type: ignore[arg-type]
    floors.link_levels(DOWN, LinkLevels(conference=MEETING, levels=((TrackId("above.voice"), 0),)))
    floors.link_levels(UP, LinkLevels(conference=MEETING, levels=((TrackId("here.voice"), 0),)))
    floors.link_levels(UP, LinkLevels(conference=ConferenceId("other"), levels=((TrackId("above.voice"), 0),)))
    junk = tuple((TrackId(f"x{number}"), 0) for number in range(LEVELS_TOLD))
    floors.link_levels(UP, LinkLevels(conference=MEETING, levels=(*junk, (TrackId("above.voice"), 0))))
    assert floors.settle(MEETING) is None
    assert floors.loudness(MEETING) == {}


def test_an_ended_meeting_is_forgotten() -> None:
    floors = Floors(FakeClock(), Switch())  # type: ignore[arg-type]
    floors.levels(((1, -20),))
    floors.settle(MEETING)
    floors.forget(MEETING)
    assert floors.speaker(MEETING) is None
