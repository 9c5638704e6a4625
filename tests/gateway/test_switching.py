"""Two gateways' switching over a link that is a function call: what the engines are told of heights and pauses."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.switching import Guest, Switching
from gateway.trunks import Trunk
from media.peer import PeerState
from media.peering import LinkParameters, Slot, Stream
from signaling.conference import Room
from signaling.errors import Refused
from signaling.ids import ConferenceId, NodeCode, ParticipantId, TrackId
from signaling.messages import (
    CarriedTrack,
    LinkCarry,
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
from signaling.records import Actor, Role
from signaling.seating import HIDDEN, Seat
from tests.support.clock import FakeClock
from tests.support.loop import eventually, on_loop

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
        self.id = next(NUMBERS)
        self.parameters = LinkParameters(f"u{self.id}", "p", "f")
        self.state, self.failure = PeerState.CONNECTED, ""
        self.on_state: Callable[[Any, PeerState], None] | None = None
        self.spare: list[Stream] = []

    def becomes(self, state: PeerState) -> None:
        self.state = state
        assert self.on_state is not None
        self.on_state(self, state)

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

    def __init__(self, peer: NodeCode, *, dialled: bool, resumes: bool = False) -> None:
        self.peer = peer
        self.dialled = dialled
        self.resumes = resumes
        self.parted = self.ended = False
        self.said: list[LinkMessage] = []

    def say(self, message: LinkMessage, key: object = None) -> None:
        if not self.ended:
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
        self.gone: list[NodeCode] = []
        self.switching = Switching(self.clock, self.engine, Peers(), self._rooms, lambda plan: None, self.gone.append)  # type: ignore[arg-type]

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
        self.link()
        camera = TrackView(track=CAMERA, kind="video", label="camera", codec="vp8")
        self.camera, _ = self.village.sit("camera", camera)
        self.viewer, self.page = self.county.sit("viewer", pictures=1)
        self.settle()

    def link(self, *, resumes: bool = False) -> None:
        up, down = (
            Port(peer, dialled=dialled, resumes=resumes) for peer, dialled in ((COUNTY, True), (VILLAGE, False))
        )
        self.ways = ((up, self.county, down), (down, self.village, up))
        self.county.switching.link_up(down)
        self.village.switching.link_up(up)

    def unlink(self, *, parted: bool = False) -> None:
        """The WebSocket is lost, with what was said last."""
        for _, beyond, far in self.ways:
            far.said.clear()
            far.parted, far.ended = parted, True
            beyond.switching.link_down(far)

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
    def ends(self) -> tuple[Trunk, Trunk]:
        return self.village.switching.trunks[COUNTY], self.county.switching.trunks[VILLAGE]

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
        gateway.switching.video(sink, "paused")
        pair.settle()
        assert [slot.paused for slot in pair.page.slots] == [True]
        assert pair.village.switching.trunks[COUNTY].sinks == {CAMERA: pair.link_sink}
        gateway.switching.video(sink, "flows")
        pair.settle()
        assert [slot.paused for slot in pair.page.slots] == [False]


@on_loop
async def test_a_page_is_told_of_thumbnails_wherever_the_narrow_line_is_and_of_a_pause_before_that() -> None:
    pair = Pair()
    for gateway, sink in ((pair.county, pair.slot), (pair.village, pair.link_sink)):
        gateway.switching.video(sink, "thumbnails")
        pair.settle()
        assert [(slot.paused, slot.thumbnails) for slot in pair.page.slots] == [(False, True)]
        assert pair.village.switching.trunks[COUNTY].sinks == {CAMERA: pair.link_sink}
    pair.county.switching.video(pair.slot, "paused")
    pair.settle()
    assert [(slot.paused, slot.thumbnails) for slot in pair.page.slots] == [(True, False)]
    for gateway, sink in ((pair.county, pair.slot), (pair.village, pair.link_sink)):
        gateway.switching.video(sink, "flows")
        pair.settle()
    assert [(slot.paused, slot.thumbnails) for slot in pair.page.slots] == [(False, False)]


@on_loop
async def test_a_pause_does_not_make_the_link_carry_the_track_anew() -> None:
    pair = Pair()
    source = pair.county.switching.trunks[VILLAGE].sources[CAMERA]
    pair.village.switching.video(pair.link_sink, "paused")
    pair.settle()
    assert pair.county.switching.trunks[VILLAGE].sources == {CAMERA: source}
    assert pair.county.engine.routes[pair.slot] == source


@on_loop
async def test_a_small_copy_crosses_the_link_while_the_large_one_cannot_go_on_beyond_it_and_a_minute_longer() -> None:
    pair = Pair()
    small = pair.link_sink + 5_000
    assert EXPECTED[-1] == [(small - 2_000, small - 1_000), (small - 4_000, small - 3_000)]
    assert pair.copies == {}
    pair.county.switching.video(pair.slot, "paused")
    pair.settle()
    assert pair.copies == {CAMERA: small}
    assert pair.village.engine.routes[small] == pair.village.engine.routes[pair.link_sink]
    assert (small, 90, 100) in pair.village.engine.wants
    assert pair.village.engine.beside == {small: pair.link_sink}
    pair.county.switching.video(pair.slot, "flows")
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
    pair.county.switching.video(pair.slot, "paused")
    pair.settle()
    pair.village.switching.video(pair.copies[CAMERA], "paused")
    pair.settle()
    assert [slot.paused for slot in pair.page.slots] == [True]
    pair.county.switching.video(pair.slot, "flows")
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


@on_loop
async def test_a_lost_websocket_takes_nothing_from_the_media_and_its_successor_takes_it_up() -> None:
    pair = Pair()
    village, county = pair.ends
    name, routes = village.kept, dict(pair.county.engine.routes)
    assert name == county.kept != ""
    pair.unlink()
    pair.settle()
    assert pair.ends == (village, county)
    assert (pair.county.engine.routes, pair.county.gone, pair.village.gone) == (routes, [], [])
    assert pair.page.slots[0].participant == "camera"
    pair.link(resumes=True)
    pair.settle()
    assert (village.kept, pair.ends, pair.county.engine.routes) == (name, (village, county), routes)


@on_loop
async def test_what_changed_while_the_websocket_was_lost_is_said_to_its_successor() -> None:
    pair = Pair()
    pair.unlink()
    pair.village.switching.leave(pair.camera.id)
    pair.county.switching.leave(pair.viewer.id)
    pair.settle()
    assert pair.ends[0].sinks == {}
    assert pair.ends[1].sources.keys() == {CAMERA}
    pair.link(resumes=True)
    pair.settle()
    assert pair.ends[1].sources == {}
    assert pair.county.switching.plan.present[MEETING] == ()
    assert pair.village.switching.plan.present[MEETING] == ()
    assert pair.village.switching.plan.carries[COUNTY] == {}


@on_loop
async def test_while_the_websocket_is_lost_no_stream_is_used_for_another_track() -> None:
    pair = Pair()
    other = TrackId("camera-1")
    pair.unlink()
    pair.village.switching.leave(pair.camera.id)
    pair.village.sit("other", TrackView(track=other, kind="video", label="camera", codec="vp8"))
    pair.village.switching.link_said(pair.ends[0].port, LinkWant(tracks=(WantedTrack(track=other),)))
    pair.settle()
    assert pair.village.switching.plan.carries[COUNTY].keys() == {other}
    assert pair.ends[0].sinks == {}
    pair.link(resumes=True)
    pair.settle()
    assert pair.ends[0].sinks.keys() == pair.ends[1].sources.keys() == {other}


@pytest.mark.parametrize("state", [PeerState.SILENT, PeerState.CLOSED, PeerState.FAILED])
def test_media_that_dies_without_its_websocket_is_the_end_of_its_side(state: PeerState) -> None:
    @on_loop
    async def story() -> None:
        pair = Pair()
        pair.unlink()
        media(pair.ends[1]).becomes(state)
        pair.county.switching.settle()
        assert pair.county.switching.trunks == {}
        assert pair.county.gone == [VILLAGE]
        assert pair.county.switching.plan.present[MEETING] == (pair.viewer.seat.view,)

    story()


@pytest.mark.parametrize("state", [PeerState.CONNECTING, PeerState.SILENT])
def test_media_that_does_not_work_is_not_waited_for(state: PeerState) -> None:
    @on_loop
    async def story() -> None:
        pair = Pair()
        media(pair.ends[1]).becomes(state)
        assert pair.county.switching.link_kept(VILLAGE) == ""
        assert pair.county.gone == []
        pair.unlink()
        assert pair.county.gone == [VILLAGE]

    story()


@on_loop
async def test_a_neighbour_that_takes_its_leave_is_gone_at_once() -> None:
    pair = Pair()
    pair.unlink(parted=True)
    assert (pair.county.gone, pair.village.gone) == ([VILLAGE], [COUNTY])
    assert pair.county.switching.trunks == pair.village.switching.trunks == {}


@on_loop
async def test_a_neighbour_that_does_not_come_back_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.trunks.HELD_S", 0.01)
    pair = Pair()
    pair.unlink()
    assert pair.county.gone == []
    await eventually(lambda: pair.county.gone == [VILLAGE] and pair.village.gone == [COUNTY])


@on_loop
async def test_a_neighbour_that_comes_anew_begins_anew() -> None:
    pair = Pair()
    before = pair.ends
    pair.unlink()
    pair.link()
    pair.settle()
    assert (pair.county.gone, pair.village.gone) == ([VILLAGE], [COUNTY])
    assert not set(pair.ends) & set(before)
    assert pair.page.slots[0].participant == "camera"


def media(trunk: Trunk) -> LinkEnd:
    return cast(LinkEnd, trunk._peer)
