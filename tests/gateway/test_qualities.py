"""Who is told how well whose connection works, and what neighbours may say about it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.qualities import MAX_STANDINGS, Qualities
from media import stats
from media.peer import PeerState
from signaling.conference import Cascade, Plan, Room
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import Condition, LinkQuality, ParticipantView, Quality, SlotView, Standing, TrackView
from signaling.seating import Seat

MEETING = ConferenceId("meeting")
UP, DOWN = NodeCode("up"), NodeCode("down")
HERE, ABOVE, BELOW = ParticipantId("here"), ParticipantId("above"), ParticipantId("below")
CAMERA, PICTURE, TRUNK_IN = 10, 20, 30
WELL = Condition(level=4)


def person(name: str) -> ParticipantView:
    track = TrackView(track=TrackId(f"{name}.camera"), kind="video", label="camera", codec="vp8")
    return ParticipantView(
        participant=ParticipantId(name), node=NodeCode("n"), division=NodeCode("n"), name=name, tracks=(track,)
    )


class Said(list[Any]):
    """Somebody who is told things."""

    def say(self, message: Any, key: object = None) -> None:
        self.append(message)


class World:
    """One person here, whose page shows the one above; one above, one below."""

    def __init__(self) -> None:
        cascade = Cascade()
        seat = Seat(conference=MEETING, view=person("here"), pictures=1, voices=0)
        cascade.sit(seat)
        for side in (UP, DOWN):
            cascade.side_up(side)
        cascade.roster(UP, MEETING, (person("above"),))
        cascade.roster(DOWN, MEETING, (person("below"),))
        self.plan: Plan = cascade.settle({MEETING: Room(concerned=frozenset((UP, DOWN)))})
        self.page = Said()
        peer = SimpleNamespace(
            id=1,
            state=PeerState.CONNECTED,
            upstreams=[SimpleNamespace(source=CAMERA, kind="video")],
            slots=[SimpleNamespace(sink=PICTURE, kind="video")],
        )
        told = (SlotView(mid="0", kind="video", participant=ABOVE),)
        self.guest = SimpleNamespace(peer=peer, listener=self.page, told=told, seat=seat, frozen_ms=0)
        self.guests = {HERE: self.guest}
        self.links = {UP: Said(), DOWN: Said()}
        self.trunks = {
            UP: SimpleNamespace(
                port=self.links[UP], transport=2, sources={TrackId("above.camera"): TRUNK_IN}, sinks={}
            ),
            DOWN: SimpleNamespace(port=self.links[DOWN], transport=None, sources={}, sinks={}),
        }
        self.strain = 0
        self.low: frozenset[int] = frozenset()
        self._cascade = cascade
        self._counters: dict[int, dict[str, int]] = {}
        self.qualities = Qualities(None, self, lambda: self.strain)  # type: ignore[arg-type]
        self._before = self._stats()

    def lowered(self, sinks: frozenset[int]) -> None:
        self.low = sinks

    def rosters(self, peer: NodeCode) -> Any:
        return self._cascade.sides[peer].rosters

    def _stats(self) -> stats.Stats:
        ids = {number: dict(counters) for number, counters in self._counters.items()}
        return stats.read({"sources": ids, "sinks": ids})

    def pass_by(self, up: int = 0, down: int = 0, trunk: int = 0, **gauges: int) -> None:
        """Two seconds in which so many percent are lost of what comes in, goes out, and comes over the link."""
        for number, lost in ((CAMERA, up), (PICTURE, down), (TRUNK_IN, trunk)):
            counters = self._counters.setdefault(number, {})
            for name, more in (("packets", 100 - lost), ("expected", 100), ("missed", lost)):
                counters[name] = counters.get(name, 0) + more
            for name, more in (("expected_by_peer", 100), ("lost_by_peer", lost)):
                counters[name] = counters.get(name, 0) + more
        self._counters[PICTURE].update(gauges)
        after = self._stats()
        self.qualities.look(self._before, after)
        self._before = after


def standing(who: ParticipantId, level: int, reason: str = "loss", value: int = 0) -> Standing:
    return Standing(participant=who, condition=Condition(level=level, reason=reason, value=value))


def said(*standings: Standing) -> LinkQuality:
    return LinkQuality(conference=MEETING, standings=standings)


def test_a_page_is_told_of_its_own_ways_and_only_on_change() -> None:
    world = World()
    world.pass_by()
    world.pass_by()
    assert world.page == [Quality(conference=MEETING, uplink=WELL, downlink=WELL, others=())]
    world.pass_by(up=6, down=12)
    assert world.page[-1] == Quality(
        conference=MEETING,
        uplink=Condition(level=2, reason="loss", value=6),
        downlink=Condition(level=1, reason="loss", value=12),
        others=(),
    )


def test_pictures_that_are_lowered_are_told_to_the_switching_but_not_those_of_a_gateway_under_strain() -> None:
    world = World()
    world.pass_by(lowered_now=1)
    assert world.low == {PICTURE}
    world.pass_by(lowered_now=0)
    assert world.low == frozenset()
    world.strain = 1
    world.pass_by(lowered_now=1)
    assert world.low == frozenset()


def test_pictures_that_do_not_fit_are_the_lines_fault_or_the_gateways() -> None:
    world = World()
    world.pass_by(paused_now=1)
    assert world.page[-1].downlink == Condition(level=1, reason="paused", value=1)
    world.strain = 3
    world.pass_by(paused_now=1)
    assert world.page[-1].downlink == Condition(level=1, reason="busy", value=3)


def test_a_picture_that_comes_every_few_seconds_is_named_so() -> None:
    world = World()
    world.pass_by(thumbnails_now=1)
    assert world.page[-1].downlink == Condition(level=1, reason="thumbnails", value=1)


def test_pictures_that_stood_still_count_once_and_for_nobody_else() -> None:
    world = World()
    world.guest.frozen_ms = 800
    world.pass_by()
    assert world.page[-1].uplink == WELL
    assert world.page[-1].downlink == Condition(level=1, reason="frozen", value=40)
    for _ in range(3):
        world.pass_by()
    assert world.page[-1].downlink == WELL
    assert world.links == {UP: [], DOWN: []}


def test_neighbours_are_told_of_our_people_when_they_are_not_well_and_when_they_are_again() -> None:
    world = World()
    world.pass_by()
    assert world.links == {UP: [], DOWN: []}
    world.pass_by(up=6)
    assert world.links == {UP: [said(standing(HERE, 2, value=6))], DOWN: [said(standing(HERE, 2, value=6))]}
    for _ in range(3):
        world.pass_by()
    assert world.links[UP][-1] == said()


def test_what_one_side_says_goes_to_the_page_that_shows_it_and_to_the_other_side() -> None:
    world = World()
    bad = standing(ABOVE, 1, "loss", 20)
    world.qualities.link_said(UP, said(bad))
    world.pass_by()
    assert world.page[-1].others == (bad,)
    assert world.links == {UP: [], DOWN: [said(bad)]}


def test_a_neighbour_says_nothing_about_people_who_are_not_on_its_side() -> None:
    world = World()
    world.qualities.link_said(DOWN, said(standing(ABOVE, 0), standing(HERE, 0), standing(ParticipantId("nobody"), 0)))
    world.pass_by()
    assert world.page[-1].others == ()
    assert world.links == {UP: [], DOWN: []}


def test_a_bad_link_is_the_reason_for_those_beyond_it() -> None:
    world = World()
    world.qualities.link_said(UP, said(standing(ABOVE, 3, "far", 300)))
    world.pass_by(trunk=6)
    assert world.page[-1].others == (standing(ABOVE, 2, "link", 6),)


def test_what_a_lost_neighbour_said_is_forgotten_and_a_new_one_is_told_again() -> None:
    world = World()
    world.qualities.link_said(UP, said(standing(ABOVE, 1)))
    world.pass_by(up=6)
    world.qualities.forget(UP)
    world.pass_by(up=6)
    assert world.page[-1].others == ()
    assert len(world.links[UP]) == 2


def test_more_than_a_neighbour_may_say_is_refused() -> None:
    world = World()
    many = [standing(ParticipantId(f"p{number}"), 1) for number in range(MAX_STANDINGS + 1)]
    for message in (said(*many), said(standing(ParticipantId("x" * 65), 1))):
        with pytest.raises(Refused) as refused:
            world.qualities.link_said(UP, message)
        assert refused.value.code == "bad-quality"


def test_a_connection_that_fell_silent_is_cut_off_both_ways() -> None:
    world = World()
    world.pass_by()
    world.guests[HERE].peer.state = PeerState.SILENT
    world.pass_by()
    silent = Condition(level=0, reason="silent")
    assert (world.page[-1].uplink, world.page[-1].downlink) == (silent, silent)
    assert world.qualities.counts()["up", 0] == 1
