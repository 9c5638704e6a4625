"""Somebody else's HTTP server on loopback: remembers what it was asked, answers what it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FarSide:
    """Answers with each of ``statuses`` once, then with 200."""

    statuses: list[int]
    calls: list[Asked] = field(default_factory=list)
    port: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(Asked(request.path, dict(request.headers), await request.read()))
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/notices"


@asynccontextmanager
async def far_side(*statuses: int) -> AsyncIterator[FarSide]:
    side = FarSide(list(statuses))
    application = web.Application()
    application.router.add_post("/{way}", side.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    side.port = runner.addresses[0][1]
    try:
        yield side
    finally:
        await runner.cleanup()
