"""A neighbour that says what no version can read: three times, then its link ends; everybody else goes on."""

from __future__ import annotations

import asyncio
import statistics
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from gateway import telemetry
from signaling.link import FORGIVEN
from signaling.messages import LinkFailure
from signaling.session import CloseCode
from tests.gateway.test_links import Impostor
from tests.support.cluster import Cluster, cluster, until
from tests.support.places import COUNTY, TOWNSHIP, VILLAGE, commander

HUGE = 64 * 1024 * 1024
TRIES = 5


def story(tmp_path: Path, tell: Callable[[Cluster], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), cluster(tmp_path) as tiers:
            await tell(tiers)

    asyncio.run(run())


async def poisoner(tiers: Cluster, tmp_path: Path) -> Impostor:
    """Return a link to the township in the village's name."""
    child = await Impostor.dial(tiers, tmp_path, tiers.township, VILLAGE)
    await child.greet(TOWNSHIP)
    return child


def begin(child: Impostor, length: int, *, more: bool = False, first: bool = True) -> None:
    """Write the header of a frame of ``length`` octets and none of them."""
    connection = child.socket._response.connection
    assert connection is not None
    assert connection.transport is not None
    opcode = (0x1 if first else 0x0) | (0x0 if more else 0x80)
    connection.transport.write(bytes([opcode, 0x80 | 127]) + struct.pack("!Q", length) + bytes(4))


async def delay_s(tiers: Cluster, name: str) -> float:
    """Return how long an order takes from the county's button to the township's screen."""
    began = asyncio.get_running_loop().time()
    order = {"click_id": name, "urgency": "P1", "title": name, "text": "x", "scope": [{"node": TOWNSHIP}]}
    assert (await tiers.call(tiers.county, commander(COUNTY), "POST", "directives", order))[0] == 201
    await until(lambda: name in {view.title for view in tiers.township.node.directives.open_for(TOWNSHIP)})
    return asyncio.get_running_loop().time() - began


def test_of_64_mib_not_one_octet_is_taken_in(tmp_path: Path) -> None:
    """The frame's header alone ends the link: nothing of the message has come yet, nor is waited for."""

    async def tell(tiers: Cluster) -> None:
        await tiers.village.stop()
        child = await poisoner(tiers, tmp_path)
        begin(child, HUGE)
        while await child.hear() is not None:
            pass
        assert child.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        pieces = await poisoner(tiers, tmp_path)
        connection = pieces.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        begin(pieces, 600_000, more=True)
        connection.transport.write(b" " * 600_000)
        begin(pieces, 600_000, more=True, first=False)
        while await pieces.hear() is not None:
            pass
        assert pieces.socket.close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
        assert TOWNSHIP in tiers.county.node.links.up

    story(tmp_path, tell)


def test_poison_ends_its_own_link_at_the_third_time_and_delays_nobody(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def poison(tiers: Cluster) -> None:
        while True:
            child = await poisoner(tiers, tmp_path)
            for _ in range(FORGIVEN):
                await child.socket.send_str('{"type":"link_records","items":[')
            assert (await child.until(LinkFailure)).code == "malformed-message"
            while await child.hear() is not None:
                pass
            assert child.socket.close_code == CloseCode.MALFORMED

    async def tell(tiers: Cluster) -> None:
        await tiers.village.stop()
        quiet = [await delay_s(tiers, f"quiet {number}") for number in range(TRIES)]
        before = telemetry.value("link_refused", code="malformed-message")
        poisoning = asyncio.create_task(poison(tiers))
        await until(lambda: telemetry.value("link_refused", code="malformed-message") >= before + FORGIVEN)
        beside = [await delay_s(tiers, f"beside poison {number}") for number in range(TRIES)]
        assert not poisoning.done(), poisoning
        poisoning.cancel()
        await asyncio.gather(poisoning, return_exceptions=True)
        record_property("delay_quiet_s", round(statistics.median(quiet), 3))
        record_property("delay_beside_poison_s", round(statistics.median(beside), 3))
        print(f"an order takes {statistics.median(quiet):.3f} s, beside poison {statistics.median(beside):.3f} s")
        assert TOWNSHIP in tiers.county.node.links.up

    story(tmp_path, tell)
