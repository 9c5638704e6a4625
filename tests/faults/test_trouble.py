"""What a gateway and a terminal live through: another address, another port, too little processor, too few files."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import PATIENCE_MS, REMEMBER_PEERS, inbound_video
from tests.e2e.running import COUNTY, TOWNSHIP, call, until

from .directives import Directives
from .measure import figures
from .pressure import Pulses, allow_files, open_files, resident_mb
from .tree import ACCESS
from .watch import Studio

pytestmark = pytest.mark.long
LIMIT_S = 60.0
RESIDENT_MB = 256.0
CALLERS = 200


@pytest.fixture
def village(room: Studio) -> Iterator[Page]:
    """The village's terminal page, in the meeting, by the network in front of its gateway."""
    tree = room.tree
    hop, own = tree.network.hops[ACCESS], tree.demo.url("village")
    context = room.browser.new_context(permissions=["camera", "microphone"], locale="zh-CN")
    context.add_init_script(REMEMBER_PEERS)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(tree.demo.link("village", "terminal").replace(own, f"http://127.0.0.1:{hop.streams.port}"))
    page.get_by_test_id("enter-duty").click()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    until(lambda: grows(page), what="the page never showed a picture")
    yield page
    context.close()


def decoded(page: Page) -> int:
    return int(inbound_video(page)["framesDecoded"])


def grows(page: Page) -> bool:
    before = decoded(page)
    page.wait_for_timeout(100)
    return decoded(page) > before


def gap_s(page: Page) -> float:
    """Return how long pictures stand still from now on; 0 when they never did for half a second."""
    began = last = time.monotonic()
    known = decoded(page)
    while time.monotonic() - began < LIMIT_S:
        page.wait_for_timeout(50)
        now, found = time.monotonic(), decoded(page)
        if found != known and now - last > 0.5:
            return now - last
        if found != known:
            known, last = found, now
        elif now - began > 10 and now - last < 0.5:
            return 0.0
    raise TimeoutError("the picture never came back")


def seats(room: Studio) -> set[str]:
    """Return the participants of the meeting as the village lists them."""
    demo, conference = room.tree.demo, room.tree.conference
    url = demo.url("village", f"/api/v1/participants?conference={conference}")
    listed = call(url, token=demo.token("village", "terminal")).json["participants"]
    return {str(one["participant"]) for one in listed}


def test_a_terminal_with_another_address_keeps_its_meeting(room: Studio, village: Page) -> None:
    hop = room.tree.network.hops[ACCESS]

    def move() -> None:
        hop.datagrams.strand()
        hop.streams.cut()
        hop.streams.mend()

    before = seats(room)
    room.tree.network.do(move)
    gap = gap_s(village)
    until(lambda: len(seats(room)) == len(before), what="the old seat was never given up")
    expect(village.get_by_test_id("connection")).to_have_attribute("data-status", "online")
    print(f"another address: {gap:.1f} s without a picture; the same seat: {before == seats(room)}")
    assert 0 < gap < LIMIT_S


def test_a_terminal_behind_a_router_that_restarts_goes_on(room: Studio, village: Page) -> None:
    hop = room.tree.network.hops[ACCESS]
    room.tree.network.do(hop.datagrams.rebind)
    gap = gap_s(village)
    print(f"another port: {gap:.1f} s without a picture")
    assert gap < LIMIT_S


def test_a_gateway_with_a_fifth_of_a_processor_still_rings(room: Studio) -> None:
    pid = room.tree.demo.node_pid("township")
    directives = Directives(room.tree.demo)
    with room.viewer() as viewer:
        viewer.until(20)
        with Pulses(pid, 0.2):
            viewer.watch(15)
            seen = figures(viewer.run())
        rang = directives.stop()
        viewer.until(20)
    print(f"a fifth of a processor: {seen}; directives {sorted(rang)}; {resident_mb(pid):.0f} MiB")
    assert rang
    assert directives.missing == 0
    assert room.tree.demo.node_pid("township") == pid
    assert resident_mb(pid) < RESIDENT_MB


def test_a_gateway_out_of_files_still_relays_and_rings(room: Studio) -> None:
    demo = room.tree.demo
    pid = demo.node_pid("township")
    directives = Directives(demo)
    with room.viewer() as viewer, contextlib.ExitStack() as open_sockets:
        viewer.until(20)
        allow_files(pid, open_files(pid) + 8)
        for _ in range(CALLERS):
            caller = open_sockets.enter_context(socket.socket())
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(("127.0.0.1", demo.base + 3))
        viewer.until(40)
        viewer.watch(5)
        rang = directives.stop()
        seen = figures(viewer.run())
    allow_files(pid, 4_096)
    print(f"out of files: {seen}; directives {sorted(rang)}")
    assert rang
    assert directives.missing == 0
    until(lambda: call(demo.url("township", "/healthz")).status == 200, what="never well again")
    assert demo.node_pid("township") == pid


def test_a_way_of_1280_bytes_to_the_village_carries_all(room: Studio) -> None:
    network = room.tree.network
    network.apply("mtu-1280", [ACCESS])
    ways = network.hops[ACCESS].datagrams.down, network.hops[ACCESS].datagrams.up
    with room.viewer() as viewer:
        viewer.until(20)
        seen = figures(viewer.run())
        too_big = network.do(lambda: [way.counts["big"] for way in ways])
    network.apply("clean", ())
    print(f"1280 bytes: {seen}; too big, down and up: {too_big}")
    assert too_big == [0, 0]


def test_a_half_open_link_is_noticed_and_dialled_anew_and_the_directive_rings(room: Studio) -> None:
    tree = room.tree
    streams = tree.network.hops["county-township"].streams
    directives = Directives(tree.demo)
    began_ms = time.time_ns() // 1_000_000
    tree.network.do(streams.strand)

    def seen() -> list[float | None]:
        sides = (("county", TOWNSHIP), ("township", COUNTY))
        return [tree.noticed(tier, began_ms, "link up", peer=peer) for tier, peer in sides]

    until(lambda: None not in seen(), what="the link was never dialled anew")
    rang = directives.stop()
    print(f"half-open link: up again after {seen()} s; directives {sorted(rang)}")
    assert rang
    assert directives.missing == 0
