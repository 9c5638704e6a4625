"""Levels in, a speaker out, and neighbours told of our side only."""

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.floors import Floors
from signaling.conference import Cascade, Plan, Room
from signaling.conversation import CHANGE_S, LEVELS_S
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.loudness import Loudness
from signaling.messages import LinkMessage, LinkSpeaker, LinkVoices, OfferedVoice, ParticipantView, TrackView
from signaling.seating import Known, Seat
from tests.support.clock import FakeClock

MEETING = ConferenceId("meeting")
UP, DOWN = NodeCode("up"), NodeCode("down")
HERE, ABOVE, BELOW = 1, 2, 3
NAMES = {HERE: "here", ABOVE: "above", BELOW: "below"}


def person(name: str) -> ParticipantView:
    track = TrackView(track=TrackId(f"{name}.voice"), kind="audio", label="audio", codec="opus")
    return ParticipantView(
        participant=ParticipantId(name), node=NodeCode("n"), division=NodeCode("n"), name=name, tracks=(track,)
    )


class Port:
    def __init__(self, *, dialled: bool) -> None:
        self.dialled = dialled
        self.said: list[LinkMessage] = []

    def say(self, message: LinkMessage, key: object = None) -> None:
        self.said.append(message)

    def heard(self, kind: type[LinkMessage]) -> list[Any]:
        return [message for message in self.said if isinstance(message, kind)]


class Switch:
    """What floors see of the switching: one person here, one above, one below."""

    def __init__(self, *, parent: bool = True) -> None:
        self.cascade = Cascade()
        self.cascade.sit(Seat(conference=MEETING, view=person("here"), pictures=0, voices=3))
        self.trunks: dict[NodeCode, Any] = {}
        for side, name in ((UP, "above"), (DOWN, "below")):
            self.cascade.side_up(side)
            self.cascade.roster(side, MEETING, (person(name),))
            self.cascade.voices(side, MEETING, {TrackId(f"{name}.voice"): Loudness()})
            self.trunks[side] = SimpleNamespace(port=Port(dialled=parent and side == UP))
        self.clock = FakeClock()
        self.unsettlings = 0
        self.spoke: list[ParticipantId | None] = []
        self.floors = Floors(self.clock, self, self._spoke)  # type: ignore[arg-type]
        self.plan: Plan = self.settle()

    def _spoke(self, conference: ConferenceId) -> None:
        self.spoke.append(self.floors.speaker(conference))

    def settle(self) -> Plan:
        room = Room(frozenset(self.trunks), self.floors.speaker(MEETING), self.floors.heard(MEETING))
        self.plan = self.cascade.settle({MEETING: room})
        self.floors.settled(self.plan)
        return self.plan

    def speak(self, source: int, seconds: float = 1.0, level: int = -20) -> None:
        for _ in range(round(seconds / 0.2)):
            self.floors.levels(((source, level), (99, -5)))
            self.clock.advance(200)
            self.settle()

    @property
    def parent(self) -> NodeCode | None:
        return next((peer for peer, trunk in self.trunks.items() if trunk.port.dialled), None)

    def sounding(self, source: int) -> Known | None:
        return self.plan.tracks[TrackId(f"{NAMES[source]}.voice")] if source in NAMES else None

    def offered(self, known: Known) -> Loudness | None:
        assert known.side is not None
        return self.cascade.sides[known.side].voices[MEETING].get(known.track.track)

    def voices(self, peer: NodeCode, conference: ConferenceId, offered: dict[TrackId, Loudness]) -> None:
        self.cascade.voices(peer, conference, offered)

    def unsettled(self) -> None:
        self.unsettlings += 1

    def port(self, side: NodeCode) -> Port:
        port = self.trunks[side].port
        assert isinstance(port, Port)
        return port


def test_the_uppermost_node_names_who_speaks_and_tells_those_below() -> None:
    switch = Switch(parent=False)
    switch.speak(HERE)
    assert switch.floors.speaker(MEETING) == ParticipantId("here")
    assert switch.spoke == [ParticipantId("here")]
    told = switch.port(DOWN).heard(LinkSpeaker)
    assert [message.speaker for message in told] == [None, ParticipantId("here")]


def test_a_node_with_a_parent_takes_over_what_it_says_and_passes_it_on_but_not_back() -> None:
    switch = Switch()
    switch.speak(HERE)
    assert switch.floors.speaker(MEETING) is None
    switch.floors.link_speaker(UP, LinkSpeaker(conference=MEETING, speaker=ParticipantId("above")))
    switch.settle()
    assert switch.floors.speaker(MEETING) == ParticipantId("above")
    assert switch.port(DOWN).heard(LinkSpeaker)[-1].speaker == ParticipantId("above")
    assert switch.port(UP).heard(LinkSpeaker) == []


def test_a_child_may_not_say_who_speaks_nor_a_parent_with_an_endless_name() -> None:
    switch = Switch()
    with pytest.raises(Refused, match="parent"):
        switch.floors.link_speaker(DOWN, LinkSpeaker(conference=MEETING, speaker=ParticipantId("below")))
    with pytest.raises(Refused, match="limit"):
        switch.floors.link_speaker(UP, LinkSpeaker(conference=MEETING, speaker=ParticipantId("x" * 65)))


def test_without_its_parent_a_node_decides_by_itself_beginning_with_whom_it_named_last() -> None:
    switch = Switch()
    switch.floors.link_speaker(UP, LinkSpeaker(conference=MEETING, speaker=ParticipantId("below")))
    switch.settle()
    switch.floors.link_down(UP)
    del switch.trunks[UP]
    switch.cascade.side_down(UP)
    switch.settle()
    assert switch.floors.speaker(MEETING) == ParticipantId("below")
    switch.speak(HERE, seconds=2)
    assert switch.floors.speaker(MEETING) == ParticipantId("here")


def test_each_side_is_offered_what_is_not_on_it() -> None:
    switch = Switch()
    switch.speak(HERE)
    for side, names in ((UP, {"here.voice", "below.voice"}), (DOWN, {"here.voice", "above.voice"})):
        (*_, last) = switch.port(side).heard(LinkVoices)
        assert {voice.track for voice in last.voices} == names
        (here,) = (voice for voice in last.voices if voice.track == "here.voice")
        assert here.level == -20
        assert -70 < here.rank <= -20


def test_a_voice_that_comes_over_a_link_is_measured_here() -> None:
    switch = Switch()
    switch.speak(BELOW, level=-10)
    (*_, last) = switch.port(UP).heard(LinkVoices)
    (below,) = (voice for voice in last.voices if voice.track == "below.voice")
    assert below.level == -10
    switch.clock.advance(5_000)
    assert TrackId("below.voice") not in switch.floors.heard(MEETING)


def test_levels_are_told_four_times_a_second_at_most_and_news_of_who_is_loud_sooner() -> None:
    switch = Switch()
    switch.clock.advance(1_000)
    switch.settle()
    before = len(switch.port(UP).heard(LinkVoices))
    for step in range(100):
        switch.floors.levels(((HERE, -20 - step % 2),))
        switch.clock.advance(10)
        switch.settle()
    assert len(switch.port(UP).heard(LinkVoices)) - before <= 1 / LEVELS_S + 1
    switch.clock.advance(round(CHANGE_S * 1000))
    switch.floors.link_voices(DOWN, LinkVoices(conference=MEETING, voices=()))
    switch.settle()
    (*_, last) = switch.port(UP).heard(LinkVoices)
    assert {voice.track for voice in last.voices} == {"here.voice"}


def test_a_neighbour_cannot_make_somebody_elses_voice_loud() -> None:
    switch = Switch()
    loud = tuple(OfferedVoice(track=TrackId(f"{name}.voice"), level=0, rank=0) for name in ("above", "here", "nobody"))
    switch.floors.link_voices(DOWN, LinkVoices(conference=MEETING, voices=loud))
    voices = switch.settle().voices[MEETING]
    assert voices == {TrackId("above.voice"): Loudness(), TrackId("here.voice"): Loudness()}


def test_a_new_link_is_told_everything_again() -> None:
    switch = Switch(parent=False)
    switch.speak(HERE)
    switch.port(DOWN).said.clear()
    switch.floors.link_up(DOWN)
    switch.settle()
    assert len(switch.port(DOWN).heard(LinkVoices)) == 1
    assert [message.speaker for message in switch.port(DOWN).heard(LinkSpeaker)] == [ParticipantId("here")]


def test_a_parent_cannot_name_speakers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.floors.MAX_SAID", 2)
    floors = Switch().floors
    for number in range(2):
        floors.link_speaker(UP, LinkSpeaker(conference=ConferenceId(f"c{number}"), speaker=None))
    with pytest.raises(Refused, match="2 conferences"):
        floors.link_speaker(UP, LinkSpeaker(conference=MEETING, speaker=None))
    floors.forget(ConferenceId("c0"))
    floors.link_speaker(UP, LinkSpeaker(conference=MEETING, speaker=None))


def test_a_meeting_that_is_over_is_forgotten_even_if_a_level_comes_late() -> None:
    switch = Switch(parent=False)
    switch.speak(HERE)
    switch.plan = switch.cascade.settle({})
    switch.floors.settled(switch.plan)
    assert switch.floors.heard(MEETING) == {}


def test_an_ended_meeting_is_forgotten() -> None:
    switch = Switch(parent=False)
    switch.speak(HERE)
    switch.floors.forget(MEETING)
    assert switch.floors.speaker(MEETING) is None
    assert switch.floors.heard(MEETING) == {}
