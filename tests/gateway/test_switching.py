"""Two gateways' switching over a link that is a function call: what the engines are told of heights and pauses."""

from __future__ import annotations

from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.switching import Guest, Switching
from media.peering import LinkParameters, Slot, Stream
from signaling.conference import Room
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import (
    CarriedTrack,
    LinkCarry,
    LinkMessage,
    LinkRosters,
    ParticipantView,
    Quality,
    Slots,
    SlotView,
    TrackView,
)
from signaling.records import Actor, Role
from signaling.seating import HIDDEN, Seat
from tests.support.clock import FakeClock
from tests.support.loop import on_loop

MEETING = ConferenceId("meeting")
COUNTY, VILLAGE = NodeCode("county"), NodeCode("village")
CAMERA = TrackId("camera-0")


class Engine:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.routes: dict[int, int | None] = {}
        self.wants: list[tuple[int, int, int]] = []
        self.beside: dict[int, int] = {}

    def route(self, sink: int, source: int | None) -> None:
        self.routes[sink] = source

    def want(self, sink: int, height: int, priority: int, beside: int | None = None) -> None:
        self.wants.append((sink, height, priority))
        if beside is not None:
            self.beside[sink] = beside


class LinkEnd:
    """Our end of a link's media.  Sinks are used again, as those of the real one."""

    def __init__(self) -> None:
        self.parameters = LinkParameters("u", "p", "f")
        self.state, self.failure, self.on_state = "connected", "", None
        self.spare: list[Stream] = []

    def start(self, remote: LinkParameters, candidates: object, stream: object) -> None: ...

    def carry(self, kind: str) -> Stream:
        if self.spare:
            return self.spare.pop()
        sink = next(NUMBERS)
        return Stream("video", sink, sink + 1_000, sink + 2_000, (sink + 3_000, sink + 4_000))

    def copy(self, stream: Stream) -> int:
        return stream.sink + 5_000

    def uncopy(self, stream: Stream) -> None: ...

    def uncarry(self, stream: Stream) -> None:
        self.spare.append(stream)

    def expect(self, kind: str, streams: list[tuple[int, int | None]]) -> int:
        EXPECTED.append(streams)
        return next(NUMBERS)

    def unexpect(self, source: int) -> None: ...

    async def close(self) -> None: ...


NUMBERS = count(1)
EXPECTED: list[list[tuple[int, int | None]]] = []


class Peers:
    candidates: tuple[tuple[str, int], ...] = ()

    def link_dial(self) -> LinkEnd:
        return LinkEnd()

    def link_listen(self, remote: LinkParameters) -> LinkEnd:
        return LinkEnd()


class Port:
    """Keeps what is said until the pair settles."""

    host, port = "127.0.0.1", 8803

    def __init__(self, peer: NodeCode, *, dialled: bool) -> None:
        self.peer = peer
        self.dialled = dialled
        self.said: list[LinkMessage] = []

    def say(self, message: LinkMessage, key: object = None) -> None:
        self.said.append(message)


class Page:
    def __init__(self) -> None:
        self.slots: tuple[SlotView, ...] = ()

    def say(self, message: Slots | Quality, key: object = None) -> None:
        if isinstance(message, Slots):
            self.slots = message.slots


class Gateway:
    def __init__(self, code: NodeCode) -> None:
        self.code = code
        self.engine = Engine()
        self.clock = FakeClock()
        self.switching = Switching(self.clock, self.engine, Peers(), self._rooms, lambda plan: None)  # type: ignore[arg-type]

    def _rooms(self) -> dict[ConferenceId, Room]:
        return {MEETING: Room(concerned=frozenset(self.switching.trunks))}

    def hear(self, port: Port, message: LinkMessage) -> None:
        if isinstance(message, LinkRosters):
            self.switching.roster(port.peer, message.conference, message.participants)
        else:
            self.switching.link_said(port, message)

    def sit(self, name: str, *tracks: TrackView, pictures: int = 0) -> tuple[Guest, Page]:
        view = ParticipantView(
            participant=ParticipantId(name), node=self.code, division=self.code, name=name, tracks=tracks
        )
        slots = tuple(Slot(next(NUMBERS), f"m{index}", "video") for index in range(pictures))
        peer: Any = SimpleNamespace(slots=slots, on_state=None, close=LinkEnd().close)
        page = Page()
        upstreams = {next(NUMBERS): track.track for track in tracks}
        seat = Seat(conference=MEETING, view=view, pictures=pictures, voices=0)
        guest = Guest(seat, Actor(name, Role.TERMINAL, self.code), peer, page, upstreams, told=())
        self.switching.sit(guest)
        return guest, page

    def see(self, guest: Guest, heights: dict[int, int]) -> None:
        self.switching.reseat(
            guest,
            Seat(
                conference=MEETING,
                view=guest.seat.view,
                pictures=guest.seat.pictures,
                voices=0,
                pins=guest.seat.pins,
                heights=heights,
            ),
        )


class Pair:
    """A county and a village with a camera; somebody in the county watches."""

    def __init__(self) -> None:
        self.county, self.village = Gateway(COUNTY), Gateway(VILLAGE)
        up, down = Port(COUNTY, dialled=True), Port(VILLAGE, dialled=False)
        self.ways = ((up, self.county, down), (down, self.village, up))
        self.county.switching.link_up(down)
        self.village.switching.link_up(up)
        camera = TrackView(track=CAMERA, kind="video", label="camera", codec="vp8")
        self.camera, _ = self.village.sit("camera", camera)
        self.viewer, self.page = self.county.sit("viewer", pictures=1)
        self.settle()

    def settle(self) -> None:
        for _ in range(6):
            for gateway in (self.county, self.village):
                gateway.switching.settle()
            for near, beyond, far in self.ways:
                said, near.said = near.said, []
                for message in said:
                    beyond.hear(far, message)

    @property
    def slot(self) -> int:
        return self.viewer.peer.slots[0].sink

    @property
    def link_sink(self) -> int:
        return self.village.switching.trunks[COUNTY].sinks[CAMERA]

    @property
    def copies(self) -> dict[TrackId, int]:
        return self.village.switching.trunks[COUNTY].smalls


@on_loop
async def test_a_height_said_by_a_page_goes_to_its_slot_and_to_every_link_on_the_way() -> None:
    pair = Pair()
    assert pair.county.engine.wants == pair.village.engine.wants == []
    pair.county.see(pair.viewer, {0: 360})
    pair.settle()
    assert pair.county.engine.wants == [(pair.slot, 360, 100)]
    assert pair.village.engine.wants == [(pair.link_sink, 360, 100)]


@on_loop
async def test_one_small_tile_does_not_make_the_picture_of_another_smaller() -> None:
    pair = Pair()
    pair.county.see(pair.viewer, {0: 720})
    second, _ = pair.county.sit("second", pictures=1)
    pair.county.see(second, {0: 90})
    pair.settle()
    assert pair.village.engine.wants == [(pair.link_sink, 720, 100), (pair.copies[CAMERA], 90, 100)]
    pair.county.switching.leave(pair.viewer.id)
    pair.settle()
    assert pair.village.engine.wants[-1] == (pair.link_sink, 90, 100)


@on_loop
async def test_a_hidden_tile_is_fed_by_nothing_and_its_picture_leaves_the_link() -> None:
    pair = Pair()
    assert pair.county.engine.routes[pair.slot] is not None
    pair.county.see(pair.viewer, {0: HIDDEN})
    pair.settle()
    assert pair.county.engine.routes[pair.slot] is None
    assert pair.village.switching.trunks[COUNTY].sinks == {}
    assert pair.page.slots[0].participant == "camera"
    pair.county.see(pair.viewer, {})
    pair.settle()
    assert pair.county.engine.routes[pair.slot] is not None


@on_loop
async def test_a_link_sink_that_is_used_again_forgets_how_its_last_picture_was_wanted() -> None:
    pair = Pair()
    pair.county.see(pair.viewer, {0: 90})
    pair.settle()
    reused = pair.link_sink
    pair.county.see(pair.viewer, {0: HIDDEN})
    pair.settle()
    pair.county.see(pair.viewer, {})
    pair.settle()
    assert pair.link_sink == reused
    assert pair.village.engine.wants == [(reused, 90, 100), (reused, 0, 100)]


@on_loop
async def test_a_page_is_told_that_its_picture_is_paused_wherever_the_narrow_line_is() -> None:
    pair = Pair()
    for gateway, sink in ((pair.county, pair.slot), (pair.village, pair.link_sink)):
        gateway.switching.video(sink, False)
        pair.settle()
        assert [slot.paused for slot in pair.page.slots] == [True]
        assert pair.village.switching.trunks[COUNTY].sinks == {CAMERA: pair.link_sink}
        gateway.switching.video(sink, True)
        pair.settle()
        assert [slot.paused for slot in pair.page.slots] == [False]


@on_loop
async def test_a_pause_does_not_make_the_link_carry_the_track_anew() -> None:
    pair = Pair()
    source = pair.county.switching.trunks[VILLAGE].sources[CAMERA]
    pair.village.switching.video(pair.link_sink, False)
    pair.settle()
    assert pair.county.switching.trunks[VILLAGE].sources == {CAMERA: source}
    assert pair.county.engine.routes[pair.slot] == source


@on_loop
async def test_a_small_copy_crosses_the_link_while_the_large_one_cannot_go_on_beyond_it_and_a_minute_longer() -> None:
    pair = Pair()
    small = pair.link_sink + 5_000
    assert EXPECTED[-1] == [(small - 2_000, small - 1_000), (small - 4_000, small - 3_000)]
    assert pair.copies == {}
    pair.county.switching.video(pair.slot, False)
    pair.settle()
    assert pair.copies == {CAMERA: small}
    assert pair.village.engine.routes[small] == pair.village.engine.routes[pair.link_sink]
    assert (small, 90, 100) in pair.village.engine.wants
    assert pair.village.engine.beside == {small: pair.link_sink}
    pair.county.switching.video(pair.slot, True)
    pair.settle()
    pair.county.clock.advance(59_000)
    pair.settle()
    assert pair.copies == {CAMERA: small}
    pair.county.clock.advance(2_000)
    pair.settle()
    assert pair.copies == {}


@on_loop
async def test_a_picture_that_is_lowered_wants_a_small_copy_too() -> None:
    pair = Pair()
    pair.county.switching.lowered(frozenset((pair.slot,)))
    pair.settle()
    assert pair.copies.keys() == {CAMERA}
    pair.county.switching.lowered(frozenset())
    pair.settle()
    pair.county.clock.advance(61_000)
    pair.settle()
    assert pair.copies == {}


@on_loop
async def test_a_copy_that_is_paused_asks_for_none_of_itself() -> None:
    pair = Pair()
    pair.county.switching.video(pair.slot, False)
    pair.settle()
    pair.village.switching.video(pair.copies[CAMERA], False)
    pair.settle()
    assert [slot.paused for slot in pair.page.slots] == [True]
    pair.county.switching.video(pair.slot, True)
    pair.settle()
    assert [slot.paused for slot in pair.page.slots] == [False]


@on_loop
async def test_a_neighbour_may_not_name_a_stream_twice() -> None:
    pair = Pair()
    port, *_ = (near for near, _, _ in pair.ways)
    for small in (7, 8):
        tracks = (
            CarriedTrack(track=TrackId("a"), kind="video", ssrc=7, small_ssrc=small),
            CarriedTrack(track=TrackId("b"), kind="video", ssrc=8, small_ssrc=9),
        )
        with pytest.raises(Refused) as refusal:
            pair.village.switching.link_said(port, LinkCarry(tracks=tracks))
        assert refusal.value.code == "bad-carry"
