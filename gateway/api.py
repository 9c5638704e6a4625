"""The HTTP interface under /api/v1, and WHIP and WHEP: the whole table of endpoints.

Handlers (``gateway/endpoints/``) read a body, ask a driver, and say what came of it.  What is permitted is
decided by the drivers; errors leave as problem documents (``http.py``).  ``openapi.py`` describes this very table.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from .calls import BASE, Call, Endpoint, Services, as_json, bearer
from .endpoints import (
    alarms,
    audit,
    circulars,
    interchange,
    meetings,
    orders,
    people,
    places,
    sources,
    streams,
    superiors,
)

__all__ = ["BASE", "ENDPOINTS", "Endpoint", "Services", "bearer", "routes"]

ENDPOINTS: tuple[Endpoint, ...] = (
    *people.ENDPOINTS,
    *places.ENDPOINTS,
    *meetings.ENDPOINTS,
    *orders.ENDPOINTS,
    *alarms.ENDPOINTS,
    *superiors.ENDPOINTS,
    *sources.ENDPOINTS,
    *circulars.ENDPOINTS,
    *interchange.ENDPOINTS,
    *audit.ENDPOINTS,
    *streams.ENDPOINTS,
)


def routes(services: Services) -> list[web.RouteDef]:
    """Return all routes of the interface."""
    table = [web.route(endpoint.method, endpoint.path, _handler(endpoint, services)) for endpoint in ENDPOINTS]
    return [*table, web.post(f"{BASE}/session", people.sign_in(services)), web.get(f"{BASE}/openapi.json", _describe)]


def _handler(endpoint: Endpoint, services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await endpoint.answer(Call(services, request, bearer(request, services.auth)))

    return handle


async def _describe(request: web.Request) -> web.Response:
    from .openapi import document

    return as_json(document())
