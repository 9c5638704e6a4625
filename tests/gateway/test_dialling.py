"""When the parent is dialled, and how often at once; a server that never answers stands in for a stalled line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from gateway.dialling import MAX_DIALS, STEADY_S, Dialling, Uplink, next_attempt
from signaling.ids import NodeCode
from signaling.link import BACKOFF_SHORT_ATTEMPTS
from tests.support.clock import FakeClock
from tests.support.loop import eventually, on_loop

PARENT = NodeCode("county")


@dataclass
class Line:
    """A parent's port, and what its child knows of the link."""

    stalls: bool
    well: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    dialled: int = 0
    open: int = 0
    most: int = 0
    links: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.WebSocketResponse:
        self.dialled += 1
        self.open += 1
        self.most = max(self.most, self.open)
        socket = web.WebSocketResponse()
        try:
            while self.stalls:
                await asyncio.sleep(0.01)
            await socket.prepare(request)
            async for _ in socket:
                pass
        finally:
            self.open -= 1
        return socket

    async def serve(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.links.append(socket)
        self.moved(well=True)
        try:
            async for _ in socket:
                pass
        finally:
            await socket.close()

    def moved(self, *, well: bool) -> None:
        self.well = well
        self.news.set()


@asynccontextmanager
async def line(*, stalls: bool) -> AsyncIterator[Line]:
    made = Line(stalls)
    application = web.Application()
    application.router.add_get("/link", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    uplink = Uplink(f"ws://{host}:{port}/link", PARENT)
    task = asyncio.create_task(Dialling(uplink, FakeClock(), made.serve, lambda: made.well, made.news).run())
    try:
        yield made
    finally:
        made.stalls = False
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await runner.cleanup()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dialling.backoff_s", lambda attempt, draw: 0.02)


@on_loop
async def test_a_dial_that_brings_no_link_is_joined_by_others_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.dialling.PATIENCE_S", 0.05)
    async with line(stalls=True) as on:
        await eventually(lambda: on.dialled == MAX_DIALS)
        on.news.set()
        await eventually(lambda: not on.news.is_set())
        on.stalls = False
        await eventually(lambda: len(on.links) == MAX_DIALS)
        assert on.most == MAX_DIALS


@on_loop
async def test_a_link_that_is_well_is_joined_by_none_and_one_in_doubt_by_another() -> None:
    async with line(stalls=False) as on:
        await eventually(lambda: on.well)
        on.news.set()
        await eventually(lambda: not on.news.is_set())
        assert on.dialled == 1
        on.moved(well=False)
        await eventually(lambda: on.well)
        assert (on.dialled, on.open) == (2, 2)


@on_loop
async def test_a_link_that_ended_is_dialled_anew() -> None:
    async with line(stalls=False) as on:
        await eventually(lambda: on.well)
        on.well = False
        await on.links[0].close()
        await eventually(lambda: len(on.links) == 2)


@on_loop
async def test_the_waits_for_one_whose_links_fall_soon_stay_short(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def noted(attempt: int, draw: float) -> float:
        attempts.append(attempt)
        return 0.0

    monkeypatch.setattr("gateway.dialling.backoff_s", noted)
    async with line(stalls=False) as on:
        for fallen in range(2 * BACKOFF_SHORT_ATTEMPTS):
            await eventually(lambda: on.well)
            on.moved(well=False)
            await eventually(lambda fallen=fallen: len(attempts) > fallen)
            for link in on.links:
                await link.close()
    assert max(attempts) == BACKOFF_SHORT_ATTEMPTS


def test_the_waits_for_one_who_is_not_there_grow_and_a_good_link_ends_that() -> None:
    assert next_attempt(40, 1.0, came_up=False) == 41
    assert next_attempt(40, 1.0, came_up=True) == BACKOFF_SHORT_ATTEMPTS
    assert next_attempt(40, STEADY_S + 1, came_up=True) == 0
