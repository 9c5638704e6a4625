"""A link's media and its WebSocket, between two real gateways: each may fail without the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.proving.streams import Streams
from media.peer import PeerState
from signaling.ids import NodeCode
from tests.support.cluster import Running, until
from tests.support.loop import on_loop
from tests.support.places import COUNTY, TOWNSHIP


@dataclass
class Linked:
    """A county and a township; the WebSocket between them goes by ``network``, media does not."""

    county: Running
    township: Running
    network: Streams

    @property
    def ends(self) -> tuple[tuple[Running, NodeCode], ...]:
        return (self.county, TOWNSHIP), (self.township, COUNTY)

    def transports(self) -> list[int | None]:
        return [running.node.conferences.link_transports.get(peer) for running, peer in self.ends]

    def wires(self) -> list[object]:
        return [running.node.links._wires.get(peer) for running, peer in self.ends]

    def works(self) -> bool:
        """Whether link and media are there, seen from both ends."""
        trunks = [running.node.conferences._switching.trunks.get(peer) for running, peer in self.ends]
        return None not in self.wires() and all(trunk and trunk.state == PeerState.CONNECTED for trunk in trunks)

    async def anew(self, before: list[object]) -> None:
        """Return once link and media are there over another WebSocket than ``before``."""
        await until(lambda: self.works() and not set(self.wires()) & set(before), "another WebSocket")


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[Linked]:
    county = await Running(folder, COUNTY, None).start()
    address = urlsplit(county.url)
    network = await Streams.open((str(address.hostname), address.port or 0))
    township = await Running(folder, TOWNSHIP, f"http://127.0.0.1:{network.port}").start()
    made = Linked(county, township, network)
    try:
        await until(made.works, "link and media")
        yield made
    finally:
        for running in (township, county):
            await running.stop()
        await network.close()


@on_loop
async def test_media_goes_on_over_a_websocket_that_is_cut_and_dialled_anew(tmp_path: Path) -> None:
    async with linked(tmp_path) as on:
        media, wires = on.transports(), on.wires()
        on.network.cut()
        await until(lambda: on.wires() == [None, None], "both noticed")
        assert on.transports() == media
        on.network.mend()
        await on.anew(wires)
        assert on.transports() == media


@on_loop
async def test_a_websocket_that_stalls_is_replaced_before_it_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signaling.link.DEAD_S", 1_000.0)
    monkeypatch.setattr("signaling.link.PING_S", 0.25)
    monkeypatch.setattr("signaling.link.DOUBT_S", 1.0)
    async with linked(tmp_path) as on:
        media, wires = on.transports(), on.wires()
        on.network.strand()
        await on.anew(wires)
        assert on.transports() == media


@on_loop
async def test_a_gateway_that_started_anew_is_offered_media_anew(tmp_path: Path) -> None:
    async with linked(tmp_path) as on:
        media, wires = on.transports(), on.wires()
        await on.county.stop()
        assert on.transports()[1] in (None, media[1])
        await on.county.start()
        await on.anew(wires)
        assert on.transports()[1] not in (None, media[1])
