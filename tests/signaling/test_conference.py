"""Rosters, slots and what crosses each link: first as sentences, then over random trees."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from signaling.conference import OFFERED, Cascade, Plan, Room
from signaling.ids import ConferenceId, Monotonic, NodeCode, ParticipantId, TrackId
from signaling.loudness import Loudness
from signaling.messages import ParticipantView, TrackView
from signaling.seating import HIDDEN, Seat
from signaling.wants import CONTENT, KEPT_S, PINNED, REST, SPEAKER, VOICE, WHOLE, Want, Wants

FLOOD = ConferenceId("flood")


def person(name: str, node: str = "here", *, content: bool = False, camera: bool = True) -> ParticipantView:
    tracks = [TrackView(track=TrackId(f"{name}-audio"), kind="audio", label="audio", codec="opus")]
    if camera:
        tracks.append(TrackView(track=TrackId(f"{name}-camera"), kind="video", label="camera", codec="vp8"))
    if content:
        tracks.append(TrackView(track=TrackId(f"{name}-content"), kind="video", label="content", codec="vp8"))
    return ParticipantView(
        participant=ParticipantId(name), node=NodeCode(node), division=NodeCode(node), name=name, tracks=tuple(tracks)
    )


def hall(*views: ParticipantView, pictures: int = 4, voices: int = 3) -> Cascade:
    cascade = Cascade()
    for view in views:
        cascade.sit(Seat(conference=FLOOD, view=view, pictures=pictures, voices=voices))
    return cascade


def settle(cascade: Cascade, *, speaker: str | None = None, loudness: dict[str, int] | None = None) -> Plan:
    room = Room(
        concerned=frozenset(cascade.sides),
        speaker=None if speaker is None else ParticipantId(speaker),
        heard={TrackId(f"{who}-audio"): Loudness(level, level) for who, level in (loudness or {}).items()},
    )
    return cascade.settle({FLOOD: room})


def wanting(*tracks: str) -> Wants:
    return {TrackId(track): Want() for track in tracks}


def pictures(plan: Plan, who: str) -> list[str | None]:
    return [None if track is None else str(track) for track in plan.seatings[ParticipantId(who)].pictures]


def voices(plan: Plan, who: str) -> set[str]:
    return {str(track).removesuffix("-audio") for track in plan.seatings[ParticipantId(who)].voices if track}


def test_everybody_sees_the_others_in_join_order_and_never_himself() -> None:
    plan = settle(hall(person("a"), person("b"), person("c")))
    assert pictures(plan, "b") == ["a-camera", "c-camera", None, None]


def test_one_slot_shows_the_speaker_and_to_the_speaker_somebody_else() -> None:
    plan = settle(hall(person("a"), person("b"), person("c"), pictures=1), speaker="c")
    assert pictures(plan, "a") == ["c-camera"]
    assert pictures(plan, "c") == ["a-camera"]


def test_content_comes_before_cameras() -> None:
    plan = settle(hall(person("a"), person("b"), person("c", content=True), pictures=1), speaker="b")
    assert pictures(plan, "a") == ["c-content"]


def test_a_pinned_participant_stays_in_its_slot_whoever_speaks() -> None:
    cascade = hall(person("a"), person("b"), person("c"), pictures=2)
    cascade.sit(replace(cascade.seats[ParticipantId("a")], pins={1: ParticipantId("c")}))
    assert pictures(settle(cascade, speaker="b"), "a") == ["b-camera", "c-camera"]


def test_a_pin_on_somebody_who_left_gives_the_slot_back() -> None:
    cascade = hall(person("a"), person("b"), person("c"), pictures=1)
    cascade.sit(replace(cascade.seats[ParticipantId("a")], pins={0: ParticipantId("c")}))
    cascade.leave(ParticipantId("c"))
    assert pictures(settle(cascade), "a") == ["b-camera"]


def test_pictures_that_stay_do_not_move_when_somebody_leaves() -> None:
    cascade = hall(person("a"), person("b"), person("c"), person("d"))
    assert pictures(settle(cascade), "a") == ["b-camera", "c-camera", "d-camera", None]
    cascade.leave(ParticipantId("b"))
    assert pictures(settle(cascade), "a") == [None, "c-camera", "d-camera", None]


def test_a_camera_that_is_off_or_has_sent_nothing_yet_takes_no_slot() -> None:
    dark = person("b")
    off = replace_tracks(dark, muted=True)
    silent = replace_tracks(person("c"), codec="")
    plan = settle(hall(person("a"), off, silent))
    assert pictures(plan, "a") == [None] * 4
    assert voices(plan, "a") == set()


def replace_tracks(view: ParticipantView, *, muted: bool = False, codec: str = "vp8") -> ParticipantView:
    tracks = tuple(TrackView(track=t.track, kind=t.kind, label=t.label, codec=codec, muted=muted) for t in view.tracks)
    return ParticipantView(
        participant=view.participant, node=view.node, division=view.division, name=view.name, tracks=tracks
    )


def test_the_three_loudest_are_heard_and_an_unknown_level_ranks_between_speech_and_silence() -> None:
    cascade = hall(*(person(name) for name in "abcdef"))
    plan = settle(cascade, loudness={"a": -10, "b": -30, "c": -40, "d": -100, "e": -100})
    assert voices(plan, "d") == {"a", "b", "c"}
    assert voices(plan, "a") == {"b", "c", "f"}


def test_a_voice_keeps_its_slot_against_one_that_is_only_a_little_louder() -> None:
    cascade = hall(*(person(name) for name in "abcde"))
    settle(cascade, loudness={"b": -20, "c": -20, "d": -20, "e": -25})
    assert voices(settle(cascade, loudness={"b": -20, "c": -20, "d": -25, "e": -20}), "a") == {"b", "c", "d"}
    assert voices(settle(cascade, loudness={"b": -20, "c": -20, "d": -60, "e": -20}), "a") == {"b", "c", "e"}


def test_a_viewer_of_one_participant_sees_and_hears_only_him() -> None:
    cascade = hall(person("a"), person("b"))
    cascade.sit(
        Seat(conference=FLOOD, view=person("wall", camera=False), pictures=1, voices=1, only=ParticipantId("b"))
    )
    plan = settle(cascade, speaker="a", loudness={"a": -5})
    assert pictures(plan, "wall") == ["b-camera"]
    assert voices(plan, "wall") == {"b"}


def test_a_side_is_never_told_about_nor_sent_its_own() -> None:
    cascade = hall(person("a"))
    up = NodeCode("up")
    cascade.side_up(up)
    cascade.roster(up, FLOOD, (person("far", "up"),))
    cascade.wants(up, wanting("far-camera", "a-camera", "nobody-camera"))
    plan = settle(cascade)
    assert [view.name for view in plan.rosters[up][FLOOD]] == ["a"]
    assert plan.carries[up] == wanting("a-camera")


def test_a_side_the_meeting_does_not_concern_is_told_and_sent_nothing() -> None:
    cascade = hall(person("a"))
    sibling = NodeCode("sibling")
    cascade.side_up(sibling)
    cascade.wants(sibling, wanting("a-camera"))
    plan = cascade.settle({FLOOD: Room(concerned=frozenset())})
    assert plan.rosters[sibling] == {}
    assert plan.carries[sibling] == {}
    assert plan.offers[sibling] == {}


def test_a_lost_side_takes_its_people_and_a_new_link_brings_them_back() -> None:
    cascade = hall(person("a"))
    up = NodeCode("up")
    cascade.side_up(up)
    cascade.roster(up, FLOOD, (person("far", "up"),))
    cascade.voices(up, FLOOD, {TrackId("far-audio"): Loudness()})
    before = settle(cascade)
    assert before.wants[up] == {TrackId("far-camera"): Want(), TrackId("far-audio"): Want(WHOLE, VOICE)}
    cascade.side_down(up)
    assert pictures(settle(cascade), "a") == [None] * 4
    cascade.side_up(up)
    cascade.roster(up, FLOOD, (person("far", "up"),))
    cascade.voices(up, FLOOD, {TrackId("far-audio"): Loudness()})
    assert settle(cascade).wants == before.wants


def test_a_track_id_claimed_by_two_sides_is_ours() -> None:
    cascade = hall(person("a"))
    up = NodeCode("up")
    cascade.side_up(up)
    forged = person("z", "up")
    stolen = ParticipantView(
        participant=forged.participant, node=forged.node, division=forged.division, name="z", tracks=person("a").tracks
    )
    cascade.roster(up, FLOOD, (stolen,))
    plan = settle(cascade)
    assert plan.tracks[TrackId("a-camera")].side is None
    assert pictures(plan, "a") == [None] * 4


def sided(*names: str, loudness: dict[str, int] | None = None) -> Cascade:
    """A node with one listener, and a side where ``names`` are; those in ``loudness`` are offered by it."""
    cascade = hall(person("a"))
    up = NodeCode("up")
    cascade.side_up(up)
    cascade.roster(up, FLOOD, tuple(person(name, "up") for name in names))
    offered = {TrackId(f"{who}-audio"): Loudness(level, level) for who, level in (loudness or {}).items()}
    cascade.voices(up, FLOOD, offered)
    return cascade


def test_of_another_side_only_the_voices_it_offers_are_heard() -> None:
    plan = settle(sided("b", "c", "d", "e", loudness={"c": -30, "e": -90}))
    assert voices(plan, "a") == {"c", "e"}
    assert {track for track in plan.wants[NodeCode("up")] if "audio" in track} == {"c-audio", "e-audio"}


def test_a_voice_whose_packets_come_here_ranks_by_what_is_measured_here() -> None:
    cascade = sided("b", "c", "d", loudness={"b": -30, "c": -30, "d": -30})
    cascade.sit(replace(cascade.seats[ParticipantId("a")], voices=1))
    assert voices(settle(cascade, loudness={"b": -80, "d": -80}), "a") == {"c"}


def test_a_side_is_offered_the_three_loudest_that_are_not_on_it_and_they_do_not_change_for_a_little() -> None:
    cascade = sided("x", loudness={"x": -10})
    down = NodeCode("down")
    cascade.side_up(down)
    for name in "bcd":
        cascade.sit(Seat(conference=FLOOD, view=person(name), pictures=0, voices=3))
    loud = {"a": -20, "b": -25, "c": -28, "d": -90}
    plan = settle(cascade, loudness=loud)
    assert list(plan.offers[NodeCode("up")][FLOOD]) == ["a-audio", "b-audio", "c-audio"]
    assert list(plan.offers[down][FLOOD]) == ["x-audio", "a-audio", "b-audio"]
    little = settle(cascade, loudness=loud | {"d": -20})
    assert little.offers[NodeCode("up")][FLOOD].keys() == plan.offers[NodeCode("up")][FLOOD].keys()
    much = settle(cascade, loudness=loud | {"d": -10})
    assert "d-audio" in much.offers[NodeCode("up")][FLOOD]


def test_a_viewer_of_one_hears_him_though_his_side_does_not_offer_him() -> None:
    cascade = sided("b", "c", loudness={"c": -20})
    wall = Seat(conference=FLOOD, view=person("wall", camera=False), pictures=0, voices=1, only=ParticipantId("b"))
    cascade.sit(wall)
    plan = settle(cascade)
    assert voices(plan, "wall") == {"b"}
    assert TrackId("b-audio") in plan.wants[NodeCode("up")]


def test_a_picture_is_wanted_as_high_as_the_highest_slot_that_shows_it_and_never_lower_for_a_small_one() -> None:
    cascade = sided("b")
    small = replace(cascade.seats[ParticipantId("a")], heights={0: 180})
    cascade.sit(small)
    up, picture = NodeCode("up"), TrackId("b-camera")
    assert settle(cascade).wants[up][picture] == Want(180, REST)
    cascade.sit(Seat(conference=FLOOD, view=person("c"), pictures=1, voices=0, heights={0: 720}, pins=pin("b")))
    assert settle(cascade).wants[up][picture] == Want(720, PINNED)
    cascade.side_up(NodeCode("down"))
    cascade.wants(NodeCode("down"), {picture: Want(360, SPEAKER)})
    plan = settle(cascade)
    assert plan.wants[up][picture] == Want(720, SPEAKER)
    assert plan.carries[NodeCode("down")] == {picture: Want(360, SPEAKER)}
    cascade.wants(NodeCode("down"), {picture: Want(WHOLE, REST)})
    assert settle(cascade).wants[up][picture] == Want(WHOLE, PINNED)


def test_a_small_copy_is_wanted_of_what_lies_beyond_while_a_line_is_narrow_or_a_neighbour_wants_it() -> None:
    cascade = sided("b")
    up, down, picture = NodeCode("up"), NodeCode("down"), TrackId("b-camera")
    room = {FLOOD: Room(concerned=frozenset((up, down)))}
    narrow = frozenset((picture, TrackId("a-camera"), TrackId("nobody-camera")))
    plan = cascade.settle(room, narrow, Monotonic(5))
    assert {track for track, want in plan.wants[up].items() if want.small} == {picture}
    assert plan.until == inf
    plan = cascade.settle(room, frozenset(), Monotonic(6))
    assert plan.wants[up][picture].small
    assert plan.until == 6 + KEPT_S
    plan = cascade.settle(room, frozenset(), plan.until)
    assert not plan.wants[up][picture].small
    assert plan.until == inf
    cascade.side_up(down)
    cascade.wants(down, {picture: Want(small=True)})
    plan = cascade.settle(room)
    assert plan.carries[down][picture].small
    assert plan.wants[up][picture].small


def pin(who: str) -> dict[int, ParticipantId]:
    return {0: ParticipantId(who)}


def test_a_picture_nobody_sees_is_not_wanted_but_its_place_is_kept() -> None:
    cascade = sided("b")
    cascade.sit(replace(cascade.seats[ParticipantId("a")], heights={0: HIDDEN}))
    plan = settle(cascade)
    assert pictures(plan, "a")[0] == "b-camera"
    assert plan.seatings[ParticipantId("a")].wants[0] is None
    assert TrackId("b-camera") not in plan.wants[NodeCode("up")]


def test_the_speaker_goes_before_content_before_pins_before_the_rest() -> None:
    cascade = hall(person("a"), person("b"), person("c", content=True), person("d"), person("e"), pictures=5)
    cascade.sit(replace(cascade.seats[ParticipantId("a")], pins={4: ParticipantId("d")}))
    seating = settle(cascade, speaker="b").seatings[ParticipantId("a")]
    found = {track: want.priority for track, want in seating.wanted if not track.endswith("audio")}
    assert found == {
        "b-camera": SPEAKER,
        "c-content": CONTENT,
        "d-camera": PINNED,
        "c-camera": REST,
        "e-camera": REST,
    }


class Tree(RuleBasedStateMachine):
    """A random tree of nodes exchanging rosters and wants until nothing changes."""

    @initialize(parents=st.lists(st.integers(0, 1000), min_size=1, max_size=6))
    def grow(self, parents: list[int]) -> None:
        names = [NodeCode(f"n{index}") for index in range(len(parents) + 1)]
        self.parent = {names[i + 1]: names[p % (i + 1)] for i, p in enumerate(parents)}
        self.nodes = {name: Cascade() for name in names}
        self.plans: dict[NodeCode, Plan] = {}
        self.linked: set[NodeCode] = set()
        self.people: dict[ParticipantId, NodeCode] = {}
        self.count = 0
        for child in self.parent:
            self.link(child)

    def link(self, child: NodeCode) -> None:
        self.nodes[child].side_up(self.parent[child])
        self.nodes[self.parent[child]].side_up(child)
        self.linked.add(child)

    @rule(where=st.integers(0, 1000), slots=st.integers(0, 4))
    def join(self, where: int, slots: int) -> None:
        node = sorted(self.nodes)[where % len(self.nodes)]
        self.count += 1
        view = person(f"p{self.count:03}", node)
        self.people[view.participant] = node
        self.nodes[node].sit(Seat(conference=FLOOD, view=view, pictures=slots, voices=min(3, slots)))

    @precondition(lambda self: self.people)
    @rule(who=st.integers(0, 1000))
    def leave(self, who: int) -> None:
        participant = sorted(self.people)[who % len(self.people)]
        self.nodes[self.people.pop(participant)].leave(participant)

    @rule(which=st.integers(0, 1000))
    def cut_or_mend(self, which: int) -> None:
        child = sorted(self.parent)[which % len(self.parent)]
        if child in self.linked:
            self.nodes[child].side_down(self.parent[child])
            self.nodes[self.parent[child]].side_down(child)
            self.linked.discard(child)
        else:
            self.link(child)

    @rule(which=st.integers(0, 1000))
    def kill_and_restart(self, which: int) -> None:
        """kill -9: its participants and all it knew are gone; neighbours link again."""
        node = sorted(self.nodes)[which % len(self.nodes)]
        self.people = {who: where for who, where in self.people.items() if where != node}
        self.nodes[node] = Cascade()
        for child in sorted(self.linked):
            if node in (child, self.parent[child]):
                self.nodes[child].side_down(self.parent[child])
                self.nodes[self.parent[child]].side_down(child)
                self.link(child)

    def quiesce(self) -> None:
        for _ in range(4 * len(self.nodes) + 4):
            plans = {name: settle(cascade) for name, cascade in self.nodes.items()}
            if plans == self.plans:
                return
            self.plans = plans
            for name, plan in plans.items():
                for side in plan.rosters:
                    self.nodes[side].roster(name, FLOOD, plan.rosters[side].get(FLOOD, ()))
                    self.nodes[side].voices(name, FLOOD, plan.offers[side].get(FLOOD, {}))
                    self.nodes[side].wants(name, plan.wants[side])
        raise AssertionError("rosters and wants never settle")

    def island(self, node: NodeCode) -> set[NodeCode]:
        edges = [(child, self.parent[child]) for child in self.linked]
        found, grew = {node}, True
        while grew:
            grew = False
            for edge in edges:
                if len(found.intersection(edge)) == 1:
                    found.update(edge)
                    grew = True
        return found

    @invariant()
    def everybody_reachable_is_known_once_and_every_slot_is_fed(self) -> None:
        if not hasattr(self, "nodes"):
            return
        self.quiesce()
        for name, plan in self.plans.items():
            reachable = {who for who, where in self.people.items() if where in self.island(name)}
            listed = [view.participant for view in plan.present[FLOOD]]
            assert sorted(listed) == sorted(reachable)
            for who, seating in plan.seatings.items():
                cameras = [track for track in seating.pictures if track]
                assert len(cameras) == min(len(reachable) - 1, len(seating.pictures))
                assert len(set(cameras)) == len(cameras)
                assert TrackId(f"{who}-camera") not in cameras
                for track in (*cameras, *[voice for voice in seating.voices if voice]):
                    self.follow(name, track)

    def follow(self, node: NodeCode, track: TrackId) -> None:
        """Walk from the one who sees ``track`` to the one who sends it: every link carries it towards us."""
        while (side := self.plans[node].tracks[track].side) is not None:
            assert track in self.plans[node].wants[side]
            assert track in self.plans[side].carries[node]
            node = side
        assert self.people[self.plans[node].tracks[track].participant] == node

    @invariant()
    def a_link_carries_only_what_somebody_beyond_it_wants_and_in_one_direction(self) -> None:
        if not hasattr(self, "nodes"):
            return
        self.quiesce()
        for name, plan in self.plans.items():
            for side, carried in plan.carries.items():
                assert not carried.keys() & self.plans[side].carries[name].keys()
                assert sum(track.endswith("-audio") for track in carried) <= OFFERED
                for track in carried:
                    assert any(self.shows(end, track) for end in self.beyond(name, side))

    def shows(self, node: NodeCode, track: TrackId) -> bool:
        return any(track in (*s.pictures, *s.voices) for s in self.plans[node].seatings.values())

    def beyond(self, near: NodeCode, far: NodeCode) -> set[NodeCode]:
        edges = [(c, self.parent[c]) for c in self.linked if {c, self.parent[c]} != {near, far}]
        found, grew = {far}, True
        while grew:
            grew = False
            for edge in edges:
                if len(found.intersection(edge)) == 1:
                    found.update(edge)
                    grew = True
        return found


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


@given(st.permutations(list("abcde")))
def test_the_order_in_which_news_arrives_does_not_matter(order: list[str]) -> None:
    plan = settle(hall(*(person(name) for name in order)))
    assert pictures(plan, "a") == ["b-camera", "c-camera", "d-camera", "e-camera"]
